"""One segment: decode, find, align, write. Runs in a worker process."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DecodeError
from schemas.settings import FacesSettings
from schemas.tables import INDEX
from tasks.faces.decode import ColourMatrix, FrameStream, Picture, decoder_version
from tasks.faces.identity import read_identities
from tasks.faces.rows import FrameRow, frame_row, write_rows
from tasks.faces.track import FaceFinder
from tasks.store.layout import part_name, part_number
from tasks.store.parts import Provenance, read_provenance, read_table, remove

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
    identities_path: str
    frames_dir: str
    stage_key: str
    width: int
    height: int
    colour_matrix: ColourMatrix | None
    number: int
    first: int
    last: int | None
    declared_rate: bool
    settings: dict[str, Any]

    @property
    def what(self) -> str:
        """For messages."""
        return f"frames [{self.first}, {'end' if self.last is None else self.last})"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": "segment", **asdict(self)}


@dataclass(frozen=True)
class _Index:
    """The seek index as columns; times are what the store says, `pts` what the decoder will say."""

    pts: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    is_keyframe: npt.NDArray[np.bool_]


def extract_segment(job: SegmentJob, advance: Callable[[int], None]) -> int:
    """Write the part, or parts, of one job.

    Args:
        job: what to decode and where to write.
        advance: called with a number of frames now and then.

    Returns: frames on disk now, those of parts that were there included.

    Raises:
        DecodeError: the frames decoded are not those of the index (a segment), or decoding failed.
        StoreError: a part cannot be written.
    """
    settings = FacesSettings(**job.settings)
    finder = FaceFinder(settings, read_identities(Path(job.identities_path)))
    kept = _kept_parts(job) if job.last is None else frozenset()
    done = 0
    with closing(stretches(job)) as pieces:
        for stretch in pieces:
            pictures = reported(stretch.pictures, advance)
            if stretch.number in kept:
                done += sum(1 for _ in pictures)
                continue
            finder.reset()
            done += _write_part(job, settings, stretch, _rows(settings, finder, pictures))
    return done


def is_whole(part: Path, key: str) -> bool:
    """True if a part was written under stage key `key` while the stream was decoded as one stretch."""
    found = read_provenance(part) or {}
    return found.get("stage_key") == key and found.get("stretch") == "whole"


def _kept_parts(job: SegmentJob) -> frozenset[int]:
    """Parts that an interrupted run has left; segments by the index, whose frames are not to mix with these, go."""
    kept = set()
    for path in Path(job.frames_dir).glob("part-*.parquet"):
        if is_whole(path, job.stage_key):
            kept.add(part_number(path))
        else:
            remove(path)
    return frozenset(kept)


@dataclass(frozen=True)
class Stretch:
    """The frames of one part, `number`: index, time and picture of each. `is_last` knows once they have been taken."""

    number: int
    pictures: Iterator[tuple[int, float, Picture]]
    is_last: Callable[[], bool]


def stretches(job: SegmentJob) -> Generator[Stretch]:
    """What a job decodes, part by part; each is to be taken whole before the next.

    Raises:
        DecodeError: the frames decoded are not those of the index (a segment), or decoding failed.
        StoreError: the index cannot be read.
    """
    settings = FacesSettings(**job.settings)
    table = read_table(Path(job.index_path), INDEX, ["pts", "time_seconds", "is_keyframe"])
    index = _Index(
        table["pts"].to_numpy(),
        table["time_seconds"].to_numpy(),
        table["is_keyframe"].to_numpy(zero_copy_only=False),
    )
    if job.last is not None:
        yield Stretch(job.number, _indexed_pictures(job, index), lambda: job.last == len(index.pts))
        return
    # Every frame the decoder yields, in parts of one segment each; the decoder is right, not the index.
    with _stream(job) as stream:
        pictures = _one_ahead(_timed_pictures(job, index, stream))
        for number in count():
            chunk = _Chunk(pictures, settings.segment_frames)
            yield Stretch(number, iter(chunk), chunk.has_ended)
            if chunk.ended:
                return


def _indexed_pictures(job: SegmentJob, index: _Index) -> Iterator[tuple[int, float, Picture]]:
    """Frame index, time and picture of a segment, each checked against the index."""
    assert job.last is not None
    at_end = job.last == len(index.pts)
    position = job.first
    with _stream(job, **_start(job, index)) as stream:
        for picture in stream:
            if position == job.first and picture.pts < index.pts[position]:
                continue  # of the group of pictures before
            if position == job.last and not at_end:
                break
            if position >= job.last or picture.pts != index.pts[position]:
                expected = index.pts[position] if position < job.last else "the end of the stream"
                raise DecodeError(
                    f"{job.path}: frame {position} came with presentation time {picture.pts}, expected {expected}"
                )
            yield position, float(index.times[position]), picture
            position += 1
    if position < job.last:
        raise DecodeError(
            f"{job.path}: decoding ended after frame {position - 1}, expected frames [{job.first}, {job.last})"
        )


def _start(job: SegmentJob, index: _Index) -> dict[str, Any]:
    """How to begin at frame `job.first`: on its key frame, or by decoding up to it."""
    if job.first == 0:
        return {}
    before, first = float(index.times[job.first - 1]), float(index.times[job.first])
    if index.is_keyframe[job.first]:
        return {"seek_seconds": first + (first - before) / 2, "from_keyframe": True}
    return {"seek_seconds": (before + first) / 2}


def _stream(job: SegmentJob, *, seek_seconds: float | None = None, from_keyframe: bool = False) -> FrameStream:
    return FrameStream(
        Path(job.path),
        size=(job.width, job.height),
        matrix=job.colour_matrix,
        seek_seconds=seek_seconds,
        from_keyframe=from_keyframe,
        max_pixels=FacesSettings(**job.settings).max_pixels,
    )


def _timed_pictures(job: SegmentJob, index: _Index, stream: FrameStream) -> Iterator[tuple[int, float, Picture]]:
    zero: float | None = None
    previous = -math.inf
    for position, picture in enumerate(stream):
        if job.declared_rate:
            if position >= len(index.times):
                raise DecodeError(f"{job.path}: more frames than the {len(index.times)} counted at ingestion")
            time_seconds = float(index.times[position])
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
    return float(int(index.pts[0]) * time_base) - float(index.times[0])


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


def reported(
    pictures: Iterator[tuple[int, float, Picture]], advance: Callable[[int], None]
) -> Iterator[tuple[int, float, Picture]]:
    """The same, told to `advance` now and then; what is left at the end is told by the worker's final count."""
    for done, item in enumerate(pictures, start=1):
        yield item
        if done % _PROGRESS_FRAMES == 0:
            advance(_PROGRESS_FRAMES)


def _rows(
    settings: FacesSettings, finder: FaceFinder, pictures: Iterator[tuple[int, float, Picture]]
) -> Iterator[FrameRow]:
    for position, time_seconds, picture in pictures:
        yield frame_row(position, time_seconds, picture, finder.find(picture), chip_format=settings.chip_format)


def _write_part(job: SegmentJob, settings: FacesSettings, stretch: Stretch, rows: Iterator[FrameRow]) -> int:
    provenance = Provenance(
        stage="faces",
        stage_key=job.stage_key,
        source_sha256=job.source_sha256,
        decoder_version=decoder_version(),
        extra={"stretch": "whole"} if job.last is None else None,
    )
    return write_rows(
        Path(job.frames_dir) / part_name(stretch.number),
        rows,
        provenance,
        recording_id=job.recording_id,
        chip_format=settings.chip_format,
        is_last=stretch.is_last,
    )
