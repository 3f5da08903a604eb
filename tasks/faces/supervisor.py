"""Hands a recording's work to worker processes: first who is in it, then its segments."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import DecodeError, DecoderDiedError
from schemas.settings import FacesSettings
from schemas.tables import INDEX
from tasks.faces.decode import shown_size
from tasks.faces.identity import identities_key
from tasks.faces.plan import frames_key
from tasks.faces.pool import Job, run_jobs, warm, workers_kept
from tasks.faces.segment import SegmentJob, is_whole
from tasks.faces.settle import IdentitiesJob, write_settled
from tasks.ingest.recordings import Recording
from tasks.ingest.source import check_source
from tasks.progress import Bar
from tasks.store.layout import Store, part_name
from tasks.store.parts import is_current, read_table, remove

_logger = logging.getLogger(__name__)


def extract_recording(store: Store, recording: Recording, settings: FacesSettings, *, workers: int, bar: Bar) -> int:
    """Write every missing or stale part of a recording's `frames`.

    Segments are fixed ranges of the frame index, so the result does not depend on the number of workers or on where
    an earlier run stopped. A stream that cannot be sought is one stretch; so is one whose decoded frames turn out to
    differ from its index, where the decoder is right.

    Args:
        store: where `index` is and `frames` goes.
        recording: which.
        settings: of the stage.
        workers: processes to use for this recording.
        bar: counts frames written now.

    Returns: frames of the recording.

    Raises:
        RecordingError: decoding failed, the file is gone, or a worker died twice.
    """
    jobs = segment_jobs(store, recording, settings)
    _remove_leftovers(store.frames(recording.recording_id), keep=len(jobs), key=jobs[0].stage_key)
    stale = [job for job in jobs if job.last is None or not is_current(_part(job), job.stage_key)]
    whole = jobs[0].last is None or any(is_whole(_part(job), job.stage_key) for job in jobs)
    if not stale and not whole:  # one stretch may go on behind the index
        return recording.num_frames
    with workers_kept():
        _settle(store, recording, settings, workers=1 if whole else min(workers, len(stale)), bar=bar)
        if whole:
            return int(run_jobs([whole_job(jobs[0])], workers=1, bar=bar)[0])
        decoded = run_segments(stale, whole_job(jobs[0]), recording, workers=workers, bar=bar)
    return recording.num_frames if decoded is None else int(decoded)


def run_segments(segments: Sequence[Job], whole: Job, recording: Recording, *, workers: int, bar: Bar) -> Any:
    """Run the jobs of a recording's segments; where its frames differ from its index, one job for all of it instead.

    Returns: what `whole` gave; None where the segments did.

    Raises:
        RecordingError: decoding failed, the file is gone, or a worker died twice.
    """
    try:
        run_jobs(segments, workers=workers, bar=bar)
    except DecoderDiedError:
        raise
    except DecodeError as error:
        check_source(recording)  # a file that is gone is no reason to begin anew
        _logger.warning("%s; decoding %s as one stretch", error, recording.recording_id)
        return run_jobs([whole], workers=1, bar=bar)[0]
    return None


def _settle(store: Store, recording: Recording, settings: FacesSettings, *, workers: int, bar: Bar) -> None:
    """Settle who the main person is, unless that is on disk; all workers start for it, needed there or not."""
    job = identities_job(store, recording, settings)
    if not is_current(Path(job.identities_path), job.stage_key):
        warm(workers)
        write_settled(job, lambda looks: run_jobs(looks, workers=workers, bar=bar))


def _remove_leftovers(folder: Path, *, keep: int, key: str) -> None:
    """Remove parts beyond the first `keep`, left by shorter segments or a longer video, and what dead workers left.

    First of all, so that a recording never counts as complete beside them. Parts of one stretch under this key stay:
    an interrupted run goes on behind them.
    """
    for path in folder.glob("part-*.parquet"):
        if path.name >= part_name(keep) and not is_whole(path, key):
            remove(path)
    for path in folder.glob(".tmp-*"):
        remove(path)


def identities_job(store: Store, recording: Recording, settings: FacesSettings) -> IdentitiesJob:
    """The first pass over a recording as a job."""
    width, height = shown_size(recording)
    return IdentitiesJob(
        recording_id=recording.recording_id,
        path=recording.path,
        source_sha256=recording.sha256,
        index_path=str(store.index(recording.recording_id)),
        identities_path=str(store.identities(recording.recording_id)),
        stage_key=identities_key(recording, settings),
        width=width,
        height=height,
        seekable=recording.time_source == "stream",
        settings=settings.model_dump(mode="json"),
    )


def segment_jobs(store: Store, recording: Recording, settings: FacesSettings) -> list[SegmentJob]:
    """The fixed segments of a recording as jobs, in order."""
    width, height = shown_size(recording)
    base = SegmentJob(
        recording_id=recording.recording_id,
        path=recording.path,
        source_sha256=recording.sha256,
        index_path=str(store.index(recording.recording_id)),
        identities_path=str(store.identities(recording.recording_id)),
        frames_dir=str(store.frames(recording.recording_id)),
        stage_key=frames_key(recording, settings),
        width=width,
        height=height,
        colour_matrix=recording.colour_matrix,
        number=0,
        first=0,
        last=None,
        declared_rate=recording.time_source == "declared_rate",
        settings=settings.model_dump(mode="json"),
    )
    if base.declared_rate:
        return [base]
    table = read_table(store.index(recording.recording_id), INDEX, ["is_keyframe"])
    bounds = segment_bounds(table["is_keyframe"].to_numpy(zero_copy_only=False), settings.segment_frames)
    return [
        replace(base, number=number, first=first, last=last) for number, (first, last) in enumerate(pairwise(bounds))
    ]


def segment_bounds(is_keyframe: npt.NDArray[np.bool_], step: int) -> list[int]:
    """Where segments begin, and where the last one ends: multiples of `step`, or the nearest key frame close by.

    A segment that begins on a key frame decodes nothing for nought.

    Args:
        is_keyframe: `[frame]`, the index's.
        step: frames of a segment; a key frame within a quarter of it is taken instead.

    >>> segment_bounds(np.array([True, False, False, False, False, True, False, False, False]), 4)
    [0, 5, 8, 9]
    """
    keys, end = np.flatnonzero(is_keyframe), len(is_keyframe)
    bounds = [0]
    for target in range(step, end, step):
        nearest = int(keys[np.abs(keys - target).argmin()]) if len(keys) else target
        bounds.append(nearest if abs(nearest - target) <= step // 4 else target)
    return [*bounds, end]


def whole_job(job: SegmentJob) -> SegmentJob:
    """The same recording as one stretch."""
    return replace(job, number=0, first=0, last=None)


def _part(job: SegmentJob) -> Path:
    return Path(job.frames_dir) / part_name(job.number)
