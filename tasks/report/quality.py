"""What each recording gave: frames decoded, share of them with a face, gaps, and where its file came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.tables import INDEX, frames_schema
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, read_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Span = tuple[float, float]
"""Half-open span of time, seconds."""


@dataclass(frozen=True)
class Quality:
    """One row of the table of data quality.

    `frames_decoded` and everything about faces are None where the recording has no `frames` table.
    """

    recording_id: str
    partition: str | None
    duration_seconds: float
    time_source: str
    frame_rate: float | None
    """Frames per second, from the first and the last time in the stream's index."""
    num_frames_indexed: int
    num_frames_decoded: int | None
    face_share: float | None
    gaps: tuple[Span, ...] = ()
    """Where no face was found."""

    @property
    def longest_gap_seconds(self) -> float | None:
        """None where there is no frames table, 0 where every frame has a face."""
        if self.num_frames_decoded is None:
            return None
        return max((end - start for start, end in self.gaps), default=0.0)

    @property
    def num_frames_missing(self) -> int:
        """Frames that the stream's index names and the frames table lacks."""
        return 0 if self.num_frames_decoded is None else self.num_frames_indexed - self.num_frames_decoded


@dataclass(frozen=True)
class Source:
    """Where a recording came from and what wrote its tables; "" where the part says nothing."""

    recording_id: str
    path: str
    sha256: str
    keys: Mapping[str, str]
    """Stage key of each of its tables: index, ratings, frames, and the corpus's own gold standard if it has one."""
    decoder_version: str
    code_version: str


def read_quality(store: Store, recording: Recording) -> Quality:
    """Data quality of one row of `recordings.parquet`."""
    recording_id = recording.recording_id
    duration = recording.duration_seconds
    num_indexed, frame_rate = recording.num_frames, recording.frame_rate_nominal
    if store.index(recording_id).exists():
        times = _numpy(read_table(store.index(recording_id), INDEX, ["time_seconds"]), "time_seconds")
        num_indexed = len(times)
        if len(times) > 1 and times[-1] > times[0]:
            frame_rate = (len(times) - 1) / float(times[-1] - times[0])
    decoded: int | None = None
    share: float | None = None
    gaps: tuple[Span, ...] = ()
    if any(store.frames(recording_id).glob("part-*.parquet")):
        columns = ["frame_index", "time_seconds", "face_valid"]
        table = read_table(store.frames(recording_id), frames_schema("rgb96"), columns).sort_by("frame_index")
        valid = _numpy(table, "face_valid").astype(bool)
        decoded = len(valid)
        share = float(valid.mean()) if decoded else None
        gaps = tuple(face_gaps(_numpy(table, "time_seconds"), valid, duration_seconds=duration))
    return Quality(
        recording_id=recording_id,
        partition=recording.partition,
        duration_seconds=duration,
        time_source=recording.time_source,
        frame_rate=frame_rate,
        num_frames_indexed=num_indexed,
        num_frames_decoded=decoded,
        face_share=share,
        gaps=gaps,
    )


def face_gaps(times: NDArray[np.float64], valid: NDArray[np.bool_], *, duration_seconds: float) -> Iterator[Span]:
    """Half-open spans from a first frame without a face to the next frame with one, or to the end.

    Args:
        times: seconds, `[frame]`, ascending.
        valid: whether the frame has a face, `[frame]`.
        duration_seconds: where a gap ends that reaches the last frame.
    """
    import numpy as np

    edges = np.flatnonzero(np.diff(np.concatenate(([True], valid, [True])).astype(np.int8)))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        end = float(times[after]) if after < len(times) else max(duration_seconds, float(times[-1]))
        yield float(times[first]), end


def read_source(store: Store, recording: Recording) -> Source:
    """Provenance of one row of `recordings.parquet` and of the tables made from it."""
    recording_id = recording.recording_id
    frames = sorted(store.frames(recording_id).glob("part-*.parquet"))
    parts: dict[str, Path] = {"index": store.index(recording_id), "ratings": store.ratings(recording_id)}
    if store.gold_standards(recording_id).exists():
        parts["gold standard"] = store.gold_standards(recording_id)
    if frames:
        parts["frames"] = frames[0]
    found = {name: read_provenance(path) or {} for name, path in parts.items()}
    return Source(
        recording_id=recording_id,
        path=recording.path,
        sha256=recording.sha256,
        keys={name: said.get("stage_key", "") for name, said in found.items()},
        decoder_version=_first(found, "decoder_version"),
        code_version=_first(found, "code_version"),
    )


def _first(found: Mapping[str, Mapping[str, str]], name: str) -> str:
    """What the latest stage says about `name`."""
    return next((said[name] for said in reversed(list(found.values())) if said.get(name)), "")


def _numpy(table: Any, column: str) -> NDArray[Any]:
    return table[column].to_numpy()  # type: ignore[no-any-return]
