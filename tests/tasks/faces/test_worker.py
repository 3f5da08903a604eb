"""The worker process itself: what it imports, what it says, and that nothing of it outlives its input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.settings import FacesSettings
from tasks.faces.plan import frames_key, is_complete
from tasks.faces.supervisor import segment_jobs

from .conftest import REPOSITORY, Films, Ingested, Ingester, run_ffmpeg, settle_nobody

SETTINGS = FacesSettings(segment_frames=5000)


@pytest.fixture
def long_film(films: Films, ingested: Ingester) -> Ingested:
    """A film that takes a worker many seconds."""
    path = films.path("long-worker.mp4")
    if not path.exists():
        run_ffmpeg("-stream_loop", "30", "-i", films.portrait(), "-c", "copy", path)
    made = ingested(A=path)
    settle_nobody(made)
    return made


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.faces.worker"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def tell(process: subprocess.Popen[str], made: Ingested) -> None:
    assert process.stdin is not None
    for job in segment_jobs(made.store, made.recordings["A"], SETTINGS)[:1]:
        process.stdin.write(json.dumps(job.as_dict()) + "\n")
    process.stdin.flush()


def next_event(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    event: dict[str, object] = json.loads(process.stdout.readline())
    return event


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # a thread's children are its own
    return [int(word) for path in lists for word in path.read_text().split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def decoders(pid: int) -> list[int]:
    found = [child for child in children(pid) if "ffmpeg" in Path(f"/proc/{child}/cmdline").read_text()]
    assert found
    return found


def test_a_worker_ends_with_its_input_and_ffmpeg_with_it(long_film: Ingested, worker: subprocess.Popen[str]) -> None:
    tell(worker, long_film)
    assert next_event(worker)["event"] == "frames"
    running = decoders(worker.pid)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(timeout=20) == 0
    assert wait_until(lambda: not any(alive(pid) for pid in running))
    recording = long_film.recordings["A"]
    assert not is_complete(long_film.store, "A", frames_key(recording, SETTINGS))
    assert not list(long_film.store.frames("A").glob("part-*"))


def test_a_killed_worker_leaves_no_ffmpeg(long_film: Ingested, worker: subprocess.Popen[str]) -> None:
    tell(worker, long_film)
    assert next_event(worker)["event"] == "frames"
    running = decoders(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(timeout=20)
    assert wait_until(lambda: not any(alive(pid) for pid in running))


_RUN = """
import sys
from pathlib import Path
from schemas.settings import FacesSettings
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store

store = Store(Path(sys.argv[1]))
extract_faces(store, read_recordings(store)[0], FacesSettings(segment_frames=1000), workers=2)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_nothing_behind(long_film: Ingested, how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(long_film.store.root)], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )
    try:
        assert wait_until(lambda: len(children(process.pid)) == 2)
        workers = children(process.pid)
        assert wait_until(lambda: all(children(pid) for pid in workers))
        family = [*workers, *(child for pid in workers for child in children(pid))]
    finally:
        process.send_signal(how)
        process.wait(timeout=20)
    assert wait_until(lambda: not any(alive(pid) for pid in family))


def test_failures_are_told_and_the_worker_lives_on(
    films: Films, ingested: Ingester, tmp_path: Path, worker: subprocess.Popen[str]
) -> None:
    path = tmp_path / "copy.mp4"
    path.write_bytes(films.portrait().read_bytes())
    made = ingested(A=path)
    settle_nobody(made)
    path.rename(tmp_path / "away.mp4")
    for _ in range(2):
        tell(worker, made)
        event = next_event(worker)
        assert (event["event"], event["error"]) == ("failed", "DecodeError")
        assert "copy.mp4" in str(event["message"])
    (tmp_path / "away.mp4").rename(path)
    tell(worker, made)
    told = next_event(worker)
    while told["event"] == "frames":
        told = next_event(worker)
    assert told == {"event": "done", "frames": 130, "result": 130}
