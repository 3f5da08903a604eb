"""Worker processes that die, and errors that they report."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from schemas.errors import StoreError, WorkerError
from tasks.demo import crew

_ANSWER = """
import json, pathlib, sys
for line in sys.stdin:
    job = json.loads(line)
    mark = pathlib.Path(job["corpus"]) / job["recording_id"]
    deaths = len(mark.read_text()) if mark.exists() else 0
    print(json.dumps({"frames": 3}), flush=True)
    if deaths < job["seed"]:
        mark.write_text("x" * (deaths + 1))
        sys.exit(9)
    if job["frames"] == 0:
        print(json.dumps({"error": "disk full"}), flush=True)
    else:
        print(json.dumps({"done": job["recording_id"]}), flush=True)
"""

_ONE_ANSWER = """
import json, sys
print(json.dumps({"done": json.loads(sys.stdin.readline())["recording_id"]}), flush=True)
"""


def run(jobs: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, workers: int = 2) -> tuple[list[str], float]:
    monkeypatch.setattr(crew, "_COMMAND", (sys.executable, "-c", _ANSWER))
    finished: list[str] = []
    counted: list[float] = []
    crew.make_recordings(jobs, workers=workers, told=counted.append, finished=finished.append)
    return sorted(finished), sum(counted)


def job(corpus: Path, name: str, *, deaths: int = 0, frames: int = 3) -> dict[str, object]:
    return {"corpus": str(corpus), "recording_id": name, "seed": deaths, "frames": frames}


def test_a_dead_workers_recording_is_made_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(tmp_path, "P16", deaths=1), job(tmp_path, "P17"), job(tmp_path, "P19")]
    finished, counted = run(jobs, monkeypatch)
    assert finished == ["P16", "P17", "P19"]
    assert counted == 9  # what the dead one had counted is taken back


def test_a_worker_that_ends_between_two_recordings_is_replaced_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_COMMAND", (sys.executable, "-c", _ONE_ANSWER))
    hand = crew._Hand(queue.SimpleQueue(), queue.SimpleQueue(), threading.Event())
    assert hand._work(job(tmp_path, "P16"))
    first = hand._process
    assert first is not None
    assert first.wait(timeout=60) == 0
    assert hand._work(job(tmp_path, "P17"))
    assert hand._process is not first
    for pipe in (first.stdin, first.stdout):
        assert pipe is not None
        assert pipe.closed
    hand.end()


def test_two_deaths_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkerError, match="P16"):
        run([job(tmp_path, "P16", deaths=2)], monkeypatch)


def test_an_error_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="disk full"):
        run([job(tmp_path, "P16", frames=0), job(tmp_path, "P17")], monkeypatch, workers=1)


def test_no_jobs_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run([], monkeypatch) == ([], 0)


def test_the_worker_never_imports_prefect_and_ends_with_its_input() -> None:
    probe = "import sys, tasks.demo.worker as w; w.main(); sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], input=b"", timeout=60, check=False).returncode == 0
