"""Hands a recording's segments to worker processes, and survives the death of any of them."""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from schemas import errors
from schemas.errors import DecodeError, StoppedError, WorkerError
from schemas.settings import FacesSettings
from tasks.faces.decode import upright_size
from tasks.faces.plan import frames_key
from tasks.faces.segment import SegmentJob
from tasks.ingest.recordings import Recording
from tasks.progress import Bar
from tasks.store.layout import Store, part_name
from tasks.store.parts import is_current

_logger = logging.getLogger(__name__)
_ATTEMPTS = 2

_stopping = threading.Event()
_processes: set[subprocess.Popen[str]] = set()


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, Ctrl-C or an error ends every worker process at once, in the middle of its segment."""
    _stopping.clear()
    try:
        yield
    except BaseException:
        _stopping.set()
        for process in list(_processes):
            process.kill()
        raise


class Worker:
    """One worker process, started at its first job and again after a death. Close it to end it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, job: SegmentJob, bar: Bar) -> int:
        """Run one job; a dead worker is started anew and the job tried once more.

        Returns: frames written.

        Raises:
            WorkerError: the worker died twice on this job.
            StoppedError: the run is being stopped.
            AffectFlowError: whatever the worker reported, under its own name.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            told = 0
            for event in self._events(job):
                if event["event"] == "frames":
                    told += event["count"]
                    bar.advance(event["count"])
                elif event["event"] == "done":
                    bar.advance(event["frames"] - told)
                    return int(event["frames"])
                else:
                    bar.advance(-told)
                    raise getattr(errors, event["error"])(event["message"])
            bar.advance(-told)
            status = self._end()
            if _stopping.is_set():
                raise StoppedError(
                    f"{job.recording_id}: stopped at frames {_range(job)}; run again to go on from there"
                )
            _logger.warning(
                "worker died (status %s) on frames %s of %s, attempt %d of %d",
                status, _range(job), job.recording_id, attempt, _ATTEMPTS,
            )  # fmt: skip
        raise WorkerError(
            f"{job.recording_id}: the worker process died {_ATTEMPTS} times on frames {_range(job)} of {job.path}; "
            "look for a lack of memory, or for a damaged stretch of the video"
        )

    def _events(self, job: SegmentJob) -> Any:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.as_dict()) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return
        for line in process.stdout:
            yield json.loads(line)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tasks.faces.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C reaches the run alone; workers end when their input closes
            )
            _processes.add(self._process)
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        status = process.wait()
        _processes.discard(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    _logger.debug("worker %d had closed its input", process.pid)
        return status


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
        bar: counts frames.

    Returns: frames of the recording.

    Raises:
        RecordingError: decoding failed, or a worker died twice.
    """
    jobs = segment_jobs(store, recording, settings)
    _remove_leftovers(store.frames(recording.recording_id), keep=len(jobs))
    if len(jobs) == 1 and jobs[0].last is None:
        with Worker() as worker:
            return worker.run(jobs[0], bar)
    stale = [job for job in jobs if not is_current(_part(job, settings), job.stage_key)]
    bar.advance(sum(_length(job) for job in jobs if job not in stale))
    try:
        _run_all(stale, workers, bar)
    except DecodeError as error:
        _logger.warning("%s; decoding %s as one stretch", error, recording.recording_id)
        with Worker() as worker:
            return worker.run(whole_job(jobs[0]), bar)
    return recording.num_frames


def _remove_leftovers(folder: Path, *, keep: int) -> None:
    """Remove parts beyond the first `keep`, left by shorter segments or a longer video, and what dead workers left.

    First of all, so that a recording never counts as complete beside them.
    """
    for path in folder.glob("part-*.parquet"):
        if path.name >= part_name(keep):
            path.unlink()
    for path in folder.glob(".tmp-*"):
        path.unlink()


def segment_jobs(store: Store, recording: Recording, settings: FacesSettings) -> list[SegmentJob]:
    """The fixed segments of a recording as jobs, in order."""
    width, height = upright_size(
        width=recording.width,
        height=recording.height,
        rotation=recording.rotation,
        pixel_aspect=recording.pixel_aspect,
    )
    base = SegmentJob(
        recording_id=recording.recording_id,
        path=recording.path,
        source_sha256=recording.sha256,
        index_path=str(store.index(recording.recording_id)),
        frames_dir=str(store.frames(recording.recording_id)),
        stage_key=frames_key(recording, settings),
        width=width,
        height=height,
        first=0,
        last=None,
        declared_rate=recording.time_source == "declared_rate",
        settings=settings.model_dump(mode="json"),
    )
    if base.declared_rate:
        return [base]
    step, end = settings.segment_frames, recording.num_frames
    return [
        SegmentJob(**{**base.as_dict(), "first": first, "last": min(first + step, end)})
        for first in range(0, end, step)
    ]


def whole_job(job: SegmentJob) -> SegmentJob:
    """The same recording as one stretch."""
    return SegmentJob(**{**job.as_dict(), "first": 0, "last": None})


def _run_all(jobs: Sequence[SegmentJob], workers: int, bar: Bar) -> None:
    """Run jobs on several workers; the first error stops the handing out and is raised."""
    waiting: queue.SimpleQueue[SegmentJob] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    failures: list[Exception] = []

    def serve() -> None:
        with Worker() as worker:
            while not failures:
                try:
                    worker.run(waiting.get_nowait(), bar)
                except queue.Empty:
                    return
                except Exception as error:  # noqa: BLE001  # raised below: a thread cannot
                    failures.append(error)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _part(job: SegmentJob, settings: FacesSettings) -> Path:
    return Path(job.frames_dir) / part_name(job.first // settings.segment_frames)


def _length(job: SegmentJob) -> int:
    return 0 if job.last is None else job.last - job.first


def _range(job: SegmentJob) -> str:
    return f"[{job.first}, {'end' if job.last is None else job.last})"
