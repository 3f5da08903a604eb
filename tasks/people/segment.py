"""One segment: every face in every frame, whose they are still open. Runs in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.pose import head_pose
from schemas.errors import DecodeError
from schemas.settings import FacesSettings
from schemas.tables import UNJOINED, frames_schema
from tasks.faces.chip import brightness_and_sharpness
from tasks.faces.decode import Picture, decoder_version
from tasks.faces.segment import SegmentJob, Stretch, reported, stretches
from tasks.people.finder import PeopleFinder, Seen
from tasks.store.layout import part_name
from tasks.store.parts import Provenance, read_table, remove, write_part

_TIME_TOLERANCE = 1e-3

_Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PeopleJob:
    """Everybody in the frames of a `SegmentJob`, which says where `frames` stand."""

    segment: SegmentJob
    folder: str
    stage_key: str

    @property
    def recording_id(self) -> str:
        return self.segment.recording_id

    @property
    def path(self) -> str:
        return self.segment.path

    @property
    def what(self) -> str:
        """For messages."""
        return f"everybody in {self.segment.what}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": "people", **asdict(self)}


def find_people(job: PeopleJob, advance: Callable[[int], None]) -> int:
    """Write the part, or parts, of one job as `schemas.tables.UNJOINED`.

    Args:
        job: what to decode and where to write.
        advance: called with a number of frames now and then.

    Returns: frames looked at.

    Raises:
        DecodeError: the frames decoded are not those of `frames`, or decoding failed.
        StoreError: a part cannot be read or written.
    """
    finder = PeopleFinder(FacesSettings(**job.segment.settings))
    if job.segment.last is None:
        for path in Path(job.folder).glob("part-*.parquet"):
            remove(path)  # segments by the index may stand here under the same key: these are not to mix with them
    looked_at = 0
    with closing(stretches(job.segment)) as pieces:
        for stretch in pieces:
            finder.reset()
            looked_at += _write_stretch(job, stretch, finder, advance)
    return looked_at


def _write_stretch(job: PeopleJob, stretch: Stretch, finder: PeopleFinder, advance: Callable[[int], None]) -> int:
    settings, name = FacesSettings(**job.segment.settings), part_name(stretch.number)
    schema = frames_schema(settings.chip_format)
    columns = [column for column in schema.names if column not in ("chip", "num_other_faces")]
    frames = read_table(Path(job.segment.frames_dir) / name, schema, columns).to_pylist()
    rows = list(_rows(job, finder, reported(stretch.pictures, advance), frames))
    _add_poses([row for row in rows if not row["is_main"]])
    provenance = Provenance(
        stage="people",
        stage_key=job.stage_key,
        source_sha256=job.segment.source_sha256,
        decoder_version=decoder_version(),
    )
    write_part(Path(job.folder) / name, pa.Table.from_pylist(rows, schema=UNJOINED), provenance)
    return len(frames)


def _rows(
    job: PeopleJob, finder: PeopleFinder, pictures: Iterator[tuple[int, float, Picture]], frames: list[_Row]
) -> Iterator[_Row]:
    """The main person's rows as they stand in `frames`, and everybody else's."""
    tracks: dict[object, int] = {}
    main_track = -1  # the frame in which the main person's face was last found anew
    had_main, taken = False, 0
    for position, time_seconds, picture in pictures:
        if (
            taken == len(frames)
            or frames[taken]["frame_index"] != position
            or abs(frames[taken]["time_seconds"] - time_seconds) > _TIME_TOLERANCE
        ):
            raise DecodeError(
                f"{job.path}: frame {position} at {time_seconds:.6f} s has no row in {job.segment.frames_dir}"
            )
        frame = frames[taken]
        taken += 1
        has_main = bool(frame.pop("face_valid"))
        if has_main:
            main_track = main_track if had_main else position
            yield {**frame, "track": tracks.setdefault(("main", main_track), len(tracks)), "is_main": True}
        had_main = has_main
        main = tuple(frame[f"box_{edge}"] for edge in ("left", "top", "right", "bottom")) if has_main else None
        at = {"recording_id": job.recording_id, "frame_index": position, "time_seconds": time_seconds}
        for seen in finder.find(picture, main):
            yield {**at, **_columns(seen), "track": tracks.setdefault(seen.track, len(tracks)), "is_main": False}
    if taken < len(frames):
        raise DecodeError(
            f"{job.path}: ends before frame {frames[taken]['frame_index']}, which has a row; copy it again"
        )


def _columns(seen: Seen) -> _Row:
    face = seen.face
    brightness, sharpness = brightness_and_sharpness(face.luma)
    return {
        "face_source": face.source,
        f"{'detection' if face.source == 'detected' else 'tracking'}_score": face.score,
        **dict(zip(("box_left", "box_top", "box_right", "box_bottom"), face.box, strict=True)),
        "landmarks": face.landmarks.ravel().tolist(),
        "sharpness": sharpness,
        "brightness": brightness,
        "embedding": None if seen.embedding is None else seen.embedding.tolist(),
    }


def _add_poses(rows: list[_Row]) -> None:
    """Yaw, pitch and roll of all rows at once: one by one takes fifty times as long."""
    if rows:
        poses = head_pose(np.array([row["landmarks"] for row in rows]).reshape(-1, 5, 2))
        for row, pose in zip(rows, poses.tolist(), strict=True):
            row.update(zip(("yaw", "pitch", "roll"), pose, strict=True))
