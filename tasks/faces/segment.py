"""One segment: decode, find, align, write. Runs in a worker process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.errors import DecodeError
from schemas.settings import FacesSettings
from schemas.tables import INDEX, frames_schema
from tasks.faces.chip import aligned_chip, brightness_and_sharpness
from tasks.faces.decode import FrameStream, Picture, decoder_version
from tasks.faces.detect import Face, FaceFinder
from tasks.store.layout import part_name
from tasks.store.parts import Provenance, part_writer, read_table

_ROWS_PER_GROUP = 250  # 7 MB of chips
_PROGRESS_FRAMES = 50


@dataclass(frozen=True, kw_only=True)
class SegmentJob:
    """Frames `[first, last)` of one recording to one part; `last` None: decode all of it, part by part.

    Whole decoding serves streams that cannot be sought, and those whose frames turn out to differ from their index.
    """

    recording_id: str
    path: str
    source_sha256: str
    index_path: str
    frames_dir: str
    stage_key: str
    width: int
    height: int
    first: int
    last: int | None
    declared_rate: bool
    settings: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Index:
    """The seek index as columns; times are what the store says, `pts` what the decoder will say."""

    pts: list[int]
    times: list[float]


def extract_segment(job: SegmentJob, advance: Callable[[int], None]) -> int:
    """Write the part, or parts, of one job.

    Args:
        job: what to decode and where to write.
        advance: called with a number of frames now and then.

    Returns: frames written.

    Raises:
        DecodeError: the frames decoded are not those of the index (a segment), or decoding failed.
        StoreError: a part cannot be written.
    """
    settings = FacesSettings(**job.settings)
    table = read_table(Path(job.index_path), INDEX, ["pts", "time_seconds"])
    index = _Index(table["pts"].to_pylist(), table["time_seconds"].to_pylist())
    finder = FaceFinder(settings)
    if job.last is None:
        return _extract_whole(job, settings, index, finder, advance)
    rows = _rows(job, settings, finder, _indexed_pictures(job, index), advance)
    _write_part(job, settings, job.first // settings.segment_frames, rows, is_last=lambda: job.last == len(index.pts))
    return job.last - job.first


def _indexed_pictures(job: SegmentJob, index: _Index) -> Iterator[tuple[int, float, Picture]]:
    """Frame index, time and picture of a segment, each checked against the index."""
    assert job.last is not None
    at_end = job.last == len(index.pts)
    seek = (index.times[job.first - 1] + index.times[job.first]) / 2 if job.first else None
    wanted = None if at_end else job.last - job.first
    size = (job.width, job.height)
    position = job.first
    with FrameStream(Path(job.path), size=size, seek_seconds=seek, num_frames=wanted) as stream:
        for picture in stream:
            if position >= job.last or picture.pts != index.pts[position]:
                expected = index.pts[position] if position < job.last else "the end of the stream"
                raise DecodeError(
                    f"{job.path}: frame {position} came with presentation time {picture.pts}, expected {expected}"
                )
            yield position, index.times[position], picture
            position += 1
    if position < job.last:
        raise DecodeError(
            f"{job.path}: decoding ended after frame {position - 1}, expected frames [{job.first}, {job.last})"
        )


def _extract_whole(
    job: SegmentJob, settings: FacesSettings, index: _Index, finder: FaceFinder, advance: Callable[[int], None]
) -> int:
    """Every frame the decoder yields, in parts of one segment each; the decoder is right, not the index."""
    for path in Path(job.frames_dir).glob("part-*.parquet"):
        path.unlink()  # segments by the index may stand here under the same key: these frames are not to mix with them
    with FrameStream(Path(job.path), size=(job.width, job.height)) as stream:
        pictures = _one_ahead(_timed_pictures(job, index, stream))
        written = 0
        for number in count():
            finder.reset()
            chunk = _Chunk(pictures, settings.segment_frames)
            written += _write_part(
                job, settings, number, _rows(job, settings, finder, iter(chunk), advance), is_last=chunk.has_ended
            )
            if chunk.ended:
                break
    return written


def _timed_pictures(job: SegmentJob, index: _Index, stream: FrameStream) -> Iterator[tuple[int, float, Picture]]:
    zero: float | None = None
    previous = -math.inf
    for position, picture in enumerate(stream):
        if job.declared_rate:
            if position >= len(index.times):
                raise DecodeError(f"{job.path}: more frames than the {len(index.times)} counted at ingestion")
            time_seconds = index.times[position]
        else:
            ticks = picture.pts * picture.time_base
            if zero is None:
                zero = _container_start(index, picture.time_base)
            time_seconds = float(ticks) - zero
        if time_seconds <= previous:
            raise DecodeError(f"{job.path}: frame {position} at {time_seconds:.6f} s does not follow {previous:.6f} s")
        previous = time_seconds
        yield position, time_seconds, picture


def _container_start(index: _Index, time_base: Fraction) -> float:
    """Seconds from the zero of presentation times to the container's start, as ingestion found it."""
    return float(index.pts[0] * time_base) - index.times[0]


class _Chunk:
    """At most `size` items of a shared iterator that knows its next item; `ended` once nothing follows."""

    def __init__(self, pictures: Iterator[tuple[tuple[int, float, Picture], bool]], size: int) -> None:
        self._pictures, self._size = pictures, size
        self.ended = False

    def __iter__(self) -> Iterator[tuple[int, float, Picture]]:
        for taken, (item, is_last) in enumerate(self._pictures, start=1):
            yield item
            self.ended = is_last
            if is_last or taken == self._size:
                return
        self.ended = True

    def has_ended(self) -> bool:
        """True once the last frame of the stream has been taken."""
        return self.ended


def _one_ahead(
    items: Iterator[tuple[int, float, Picture]],
) -> Iterator[tuple[tuple[int, float, Picture], bool]]:
    """Each item with True if it is the last."""
    held = next(items, None)
    while held is not None:
        following = next(items, None)
        yield held, following is None
        held = following


def _rows(
    job: SegmentJob,
    settings: FacesSettings,
    finder: FaceFinder,
    pictures: Iterator[tuple[int, float, Picture]],
    advance: Callable[[int], None],
) -> Iterator[dict[str, Any]]:
    told = 0
    for done, (position, time_seconds, picture) in enumerate(pictures, start=1):
        face = finder.find(picture.y)
        row = {"recording_id": job.recording_id, "frame_index": position, "time_seconds": time_seconds}
        yield row | (_no_face() if face is None else _face_columns(picture, face, settings.chip_format))
        if done - told >= _PROGRESS_FRAMES:
            advance(done - told)
            told = done
    # what is left is told by the worker's final count


def _no_face() -> dict[str, Any]:
    return {"face_valid": False, "face_source": "none", "num_other_faces": None}


def _face_columns(picture: Picture, face: Face, chip_format: str) -> dict[str, Any]:
    chip = aligned_chip(picture, face.landmarks, chip_format=chip_format)
    brightness, sharpness = brightness_and_sharpness(chip)
    left, top, right, bottom = face.box
    eyes = face.landmarks[[0, 1]].mean(axis=0) - face.landmarks[[2, 3]].mean(axis=0)
    return {
        "face_valid": True,
        "face_source": "detected",
        "detection_score": face.score,
        "box_left": left,
        "box_top": top,
        "box_right": right,
        "box_bottom": bottom,
        "landmarks": face.landmarks.ravel().astype(np.float32),
        "chip": chip.tobytes(),
        "sharpness": sharpness,
        "brightness": brightness,
        "roll": math.degrees(math.atan2(float(eyes[1]), float(eyes[0]))),
        "num_other_faces": face.num_other_faces,
    }


def _write_part(
    job: SegmentJob,
    settings: FacesSettings,
    number: int,
    rows: Iterator[dict[str, Any]],
    *,
    is_last: Callable[[], bool],
) -> int:
    """Stream rows into part `number`, a row group at a time; `is_last` is asked once all are in."""
    schema = frames_schema(settings.chip_format)
    provenance = Provenance(
        stage="faces",
        stage_key=job.stage_key,
        source_sha256=job.source_sha256,
        decoder_version=decoder_version(),
    )
    written = 0
    with part_writer(Path(job.frames_dir) / part_name(number), schema, provenance) as writer:
        group: list[dict[str, Any]] = []
        for row in rows:
            group.append(row)
            if len(group) == _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema=writer.schema))
                written += len(group)
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema=writer.schema))
            written += len(group)
        if written == 0:
            raise DecodeError(f"{job.path}: the decoder yields no frame; try playing the file, or copy it again")
        writer.add_key_value_metadata({"affectflow.is_last": str(is_last()).lower()})
    return written
