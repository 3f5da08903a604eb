"""The worker processes that make recordings, and what becomes of one that dies."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from schemas.errors import StoreError, WorkerError

_ATTEMPTS = 2
_COMMAND = (sys.executable, "-P", "-m", "tasks.demo.worker")


def make_recordings(
    jobs: Sequence[Mapping[str, Any]],
    *,
    workers: int,
    told: Callable[[float], None],
    finished: Callable[[str], None],
) -> None:
    """Give the jobs to worker processes, each job to the next one free; a dead worker's job is tried once more.

    Args:
        jobs: as `tasks.demo.worker` takes them.
        workers: how many processes at most.
        told: called here, in the caller's thread, with each number of frames done.
        finished: called here with the id of each finished recording.

    Raises:
        StoreError: a recording could not be written.
        WorkerError: a worker died twice on the same recording.
    """
    waiting: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = threading.Event()
    hands = [_Hand(waiting, events, stop) for _ in range(min(workers, len(jobs)))]
    try:
        for hand in hands:
            hand.start()
        left = len(jobs)
        while left:
            event = events.get()
            if "frames" in event:
                told(event["frames"])
            elif "done" in event:
                finished(event["done"])
                left -= 1
            elif "died" in event:
                raise WorkerError(event["died"])
            else:
                raise StoreError(event["error"])
    finally:
        stop.set()
        for hand in hands:
            hand.end()


class _Hand(threading.Thread):
    """One worker process at a time, and the thread that feeds it."""

    def __init__(
        self,
        waiting: queue.SimpleQueue[Mapping[str, Any]],
        events: queue.SimpleQueue[dict[str, Any]],
        stop: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._waiting, self._events, self._stopped = waiting, events, stop
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> None:
        try:
            self._serve()
        except (OSError, ValueError) as error:  # no process can be started, or it says what no worker says
            self._events.put(
                {"died": f"{sys.executable}: {error}, expected a worker process; install affectflow again"}
            )

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                return
            for _ in range(_ATTEMPTS):
                if self._stopped.is_set() or self._work(job):
                    break
            else:
                recording = job["recording_id"]
                self._events.put(
                    {"died": f"{recording}: its process ended {_ATTEMPTS} times, expected a recording; free memory"}
                )

    def _work(self, job: Mapping[str, Any]) -> bool:
        """False if the worker died before it answered; what it had counted is taken back."""
        if self._process is None or self._process.poll() is not None:
            self._close()  # one that ended between two jobs
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        talk = self._process
        assert talk.stdin is not None
        assert talk.stdout is not None
        counted = 0
        try:
            talk.stdin.write(json.dumps(job) + "\n")
            talk.stdin.flush()
        except BrokenPipeError:
            self._close()
            return False
        for line in talk.stdout:
            event = json.loads(line)
            self._events.put(event)
            if "frames" not in event:
                return True
            counted += event["frames"]
        self._events.put({"frames": -counted})
        self._close()
        return False

    def end(self) -> None:
        """Close the worker's input; if it is in the middle of a recording, end it."""
        while self.is_alive():
            if self._process is not None:
                self._process.terminate()
            self.join(timeout=0.1)
        self._close()

    def _close(self) -> None:
        if self._process is not None:
            with suppress(BrokenPipeError), self._process:  # closes both pipes and waits
                pass
