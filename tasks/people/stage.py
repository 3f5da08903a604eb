"""Everybody's faces in one recording, and the record of how it went."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import RecordingError, StoreError
from schemas.settings import FacesSettings
from tasks.faces.decode import decoder_version
from tasks.faces.plan import count_parts, frames_key
from tasks.faces.pool import run_jobs, workers_kept
from tasks.faces.supervisor import run_segments, segment_jobs, whole_job
from tasks.ingest.recordings import Recording
from tasks.ingest.source import check_source, drop_if_changed
from tasks.people.join import JoinJob
from tasks.people.plan import STAGE, has_people, people_key, unjoined
from tasks.people.segment import PeopleJob
from tasks.progress import Bar, track
from tasks.store.failures import clear_failure, record_failure
from tasks.store.layout import Store, part_name
from tasks.store.parts import is_current, remove


@dataclass(frozen=True, kw_only=True)
class PeopleSummary:
    """How one recording went."""

    recording_id: str
    num_frames: int
    seconds: float


def frames_looked_at(store: Store, recording: Recording, settings: FacesSettings) -> int:
    """Frames in the segments that an interrupted run has left complete; a stream that cannot be sought starts anew."""
    jobs = _jobs(store, recording, settings)
    return sum((job.segment.last or 0) - job.segment.first for job in jobs if _is_done(job, settings))


def extract_people(store: Store, recording: Recording, settings: FacesSettings, *, workers: int) -> PeopleSummary:
    """Write a row for every face of one recording; a failure is written to the store, then raised.

    Args:
        store: where `frames` and `identities` are and `people` goes.
        recording: one row of `recordings`.
        settings: of the stage.
        workers: processes to use for this recording.

    Raises:
        RecordingError: decoding failed, the file is gone or changed, or a worker died twice.
        StoreError: its `frames` are missing or stale.
    """
    started = time.monotonic()
    if has_people(store, recording, settings):
        return PeopleSummary(recording_id=recording.recording_id, num_frames=recording.num_frames, seconds=0.0)
    num_parts = count_parts(store.frames(recording.recording_id), frames_key(recording, settings))
    if num_parts is None:
        raise StoreError(f"{store.frames(recording.recording_id)}: missing or stale; run `affectflow faces` first")
    try:
        with track(
            recording.recording_id,
            recording.num_frames,
            "frames",
            done=frames_looked_at(store, recording, settings),
            recorded_seconds=recording.duration_seconds,
            within=STAGE,
        ) as bar:
            _extract_unchanged(store, recording, settings, num_parts, workers, bar)
    except RecordingError as error:
        record_failure(store, STAGE, recording.recording_id, error, recording.path)
        raise
    clear_failure(store, STAGE, recording.recording_id)
    return PeopleSummary(
        recording_id=recording.recording_id, num_frames=recording.num_frames, seconds=time.monotonic() - started
    )


def _extract_unchanged(
    store: Store, recording: Recording, settings: FacesSettings, num_parts: int, workers: int, bar: Bar
) -> None:
    """All of it, from a file that is the same from beginning to end; otherwise nothing of it stays."""
    folder, waiting = store.people(recording.recording_id), unjoined(store, recording.recording_id)
    check_source(recording)
    for path in [*folder.glob(".tmp-*"), *waiting.glob(".tmp-*")]:
        remove(path)  # of workers that died
    for path in [*folder.glob("part-*.parquet"), *waiting.glob("part-*.parquet")]:
        if path.name >= part_name(num_parts):
            remove(path)
    with workers_kept():
        try:
            _look_at_segments(store, recording, settings, num_parts, workers, bar)
        except RecordingError:
            drop_if_changed(recording, waiting.glob("part-*.parquet"))
            raise
        drop_if_changed(recording, waiting.glob("part-*.parquet"))
        run_jobs([_join_job(store, recording, settings, num_parts)], workers=1, bar=bar)
    _clear(waiting)


def _look_at_segments(
    store: Store, recording: Recording, settings: FacesSettings, num_parts: int, workers: int, bar: Bar
) -> None:
    jobs = _jobs(store, recording, settings)
    stale = [job for job in jobs if not _is_done(job, settings)]
    whole = PeopleJob(segment=whole_job(jobs[0].segment), folder=jobs[0].folder, stage_key=jobs[0].stage_key)
    if len(jobs) == num_parts and jobs[0].segment.last is not None:
        run_segments(stale, whole, recording, workers=workers, bar=bar)
    else:
        run_jobs([whole], workers=1, bar=bar)


def _jobs(store: Store, recording: Recording, settings: FacesSettings) -> list[PeopleJob]:
    folder, key = str(unjoined(store, recording.recording_id)), people_key(recording, settings)
    return [
        PeopleJob(segment=segment, folder=folder, stage_key=key) for segment in segment_jobs(store, recording, settings)
    ]


def _is_done(job: PeopleJob, settings: FacesSettings) -> bool:
    if job.segment.last is None:
        return False
    return is_current(Path(job.folder) / part_name(job.segment.number), job.stage_key)


def _join_job(store: Store, recording: Recording, settings: FacesSettings, num_parts: int) -> JoinJob:
    return JoinJob(
        recording_id=recording.recording_id,
        path=recording.path,
        source_sha256=recording.sha256,
        identities_path=str(store.identities(recording.recording_id)),
        unjoined_dir=str(unjoined(store, recording.recording_id)),
        people_dir=str(store.people(recording.recording_id)),
        stage_key=people_key(recording, settings),
        frames_key=frames_key(recording, settings),
        decoder_version=decoder_version(),
        num_parts=num_parts,
        threshold=settings.people.threshold,
    )


def _clear(folder: Path) -> None:
    """Remove the segments, and with them the embeddings: biometric data that nothing needs any more."""
    for path in folder.glob("*"):
        remove(path)
    try:
        folder.rmdir()
    except OSError as error:
        raise StoreError(f"{folder}: cannot be removed ({error}); fix the permissions, then run again") from error
