"""Worker processes: started when first needed, kept for the next recording, replaced when they die."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Protocol

from schemas import errors
from schemas.errors import StoppedError, WorkerError
from tasks.progress import Bar

_logger = logging.getLogger(__name__)
_ATTEMPTS = 2
_ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""The landmark model is read all over in every frame: on large pages that takes a fifth less. Ignored where unknown."""

_stopping = threading.Event()
_keepers: list[None] = []
_starting = threading.Lock()
_processes: set[subprocess.Popen[str]] = set()
_idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
_slots: AbstractContextManager[Any] = nullcontext()


class Job(Protocol):
    """Work for one worker, named for messages."""

    @property
    def recording_id(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def what(self) -> str: ...

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `kind` says what `tasks.faces.worker` is to do."""


@contextmanager
def worker_pool(workers: int | None = None) -> Iterator[None]:
    """Around a whole stage: workers outlive their recording, as a start takes most of a second.

    Ctrl-C or an error ends every worker process at once, in the middle of its segment.

    Args:
        workers: most processes at a time, whoever asks for them; None: as many as `run_jobs` is told each time.
    """
    global _slots
    _stopping.clear()
    _slots = nullcontext() if workers is None else threading.BoundedSemaphore(workers)
    with workers_kept():
        try:
            yield
        except BaseException:
            _stopping.set()
            for process in list(_processes):
                process.kill()
            raise


@contextmanager
def workers_kept() -> Iterator[None]:
    """While the block runs, and any other like it, idle workers wait for more work."""
    _keepers.append(None)
    try:
        yield
    finally:
        _keepers.pop()
        if not _keepers:
            _end_idle()


def run_jobs(jobs: Sequence[Job], *, workers: int, bar: Bar) -> list[Any]:
    """Run jobs on several workers; the first error stops the handing out and is raised.

    Args:
        jobs: what to do, handed out in this order.
        workers: processes at a time.
        bar: counts frames.

    Returns: what each job gave, in the order of `jobs`.

    Raises:
        WorkerError: a worker died twice on a job.
        StoppedError: the run is being stopped.
        AffectFlowError: whatever a worker reported, under its own name.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(jobs)):
        waiting.put(number)
    results: list[Any] = [None] * len(jobs)
    failures: list[Exception] = []

    def serve() -> None:
        with _borrowed() as worker:
            while not failures:
                try:
                    number = waiting.get_nowait()
                    results[number] = worker.run(jobs[number], bar)
                except queue.Empty:
                    return
                except Exception as error:  # noqa: BLE001  # raised below: a thread cannot
                    if not isinstance(error, errors.AffectFlowError):
                        worker.end()  # what it still has to say belongs to this job
                    failures.append(error)

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def warm(workers: int) -> None:
    """Have `workers` processes start in the background, so that they are ready when there is work for all."""
    with _starting:
        for _ in range(workers - len(_processes)):
            worker = Worker()
            worker.start()
            _idle.put(worker)


@contextmanager
def _borrowed() -> Iterator[Worker]:
    with _slots:
        with _starting:  # else two could start where there is room for one
            try:
                worker = _idle.get_nowait()
            except queue.Empty:
                worker = Worker()
                worker.start()
        try:
            yield worker
        finally:
            _idle.put(worker)


def _end_idle() -> None:
    with suppress(queue.Empty):
        while True:
            _idle.get_nowait().end()


class Worker:
    """One worker process, started at its first job and again after a death."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, job: Job, bar: Bar) -> Any:
        """Run one job; where the worker or its ffmpeg dies, another worker tries it once more.

        Returns: what the job gave.

        Raises:
            WorkerError: the worker died twice on this job.
            StoppedError: the run is being stopped.
            AffectFlowError: whatever the worker reported, under its own name.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            told, died = 0, ""
            for event in self._events(job):
                if event["event"] == "frames":
                    told += event["count"]
                    bar.advance(event["count"])
                elif event["event"] == "done":
                    bar.advance(event["frames"] - told)
                    return event["result"]
                else:
                    bar.advance(-told)
                    error = getattr(errors, event["error"])
                    if error is not errors.DecoderDiedError or attempt == _ATTEMPTS:
                        raise error(event["message"])
                    told, died = 0, event["message"]
                    break
            bar.advance(-told)
            status = self.end()
            if _stopping.is_set():
                raise StoppedError(f"{job.recording_id}: stopped at {job.what}; run again to go on from there")
            _logger.warning(
                "%s on %s of %s, attempt %d of %d",
                died or f"worker died (status {status})", job.what, job.recording_id, attempt, _ATTEMPTS,
            )  # fmt: skip
        raise WorkerError(
            f"{job.recording_id}: the worker process died {_ATTEMPTS} times on {job.what} of {job.path}; "
            "look for a lack of memory, or for a damaged stretch of the video"
        )

    def _events(self, job: Job) -> Iterator[dict[str, Any]]:
        process = self.start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.as_dict()) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return
        for line in process.stdout:
            if line.endswith("\n"):  # else it was killed on the way
                yield json.loads(line)

    def start(self) -> subprocess.Popen[str]:
        """The process, started if there is none."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tasks.faces.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,  # Ctrl-C reaches the run alone; workers end when their input closes
            )
            _processes.add(self._process)
            if _stopping.is_set():
                self._process.kill()
        return self._process

    def end(self) -> int | None:
        """End the process; its exit status, None if there is none."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        status = process.wait()
        _processes.discard(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        return status
