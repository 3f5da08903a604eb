"""A worker process: `python -m tasks.faces.worker`. Jobs come in and events go out as JSON lines.

It never imports Prefect. It ends at once when its input closes, and its ffmpeg with it, so that killing the run leaves
no orphan.

In:  {"kind": "segment", "recording_id": ..., ...}             a `SegmentJob`; or one of `_JOBS`
Out: {"event": "frames", "count": n}                           progress
     {"event": "done", "frames": n, "result": ...}             the part is in place; frames that count as progress
     {"event": "failed", "error": "DecodeError", "message": m} this segment failed; the worker lives on
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any

from schemas.errors import AffectFlowError
from tasks.faces.detect import load_models
from tasks.faces.segment import SegmentJob, extract_segment
from tasks.faces.settle import LookJob, SampledFaces, look_at
from tasks.people.join import JoinJob, join_people
from tasks.people.segment import PeopleJob, find_people


def main() -> None:
    """Serve jobs until the input closes."""
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    load_models()
    while True:
        job = json.loads(jobs.get())
        try:
            frames, result = _JOBS[job.pop("kind")](job)
        except AffectFlowError as error:
            _tell({"event": "failed", "error": type(error).__name__, "message": str(error)})
        else:
            _tell({"event": "done", "frames": frames, "result": result})


def _segment(job: dict[str, Any]) -> tuple[int, int]:
    frames = extract_segment(SegmentJob(**job), lambda count: _tell({"event": "frames", "count": count}))
    return frames, frames


def _look(job: dict[str, Any]) -> tuple[int, SampledFaces]:
    return 0, look_at(LookJob(**job))


def _people(job: dict[str, Any]) -> tuple[int, None]:
    wanted = PeopleJob(**{**job, "segment": SegmentJob(**job["segment"])})
    return find_people(wanted, lambda count: _tell({"event": "frames", "count": count})), None


def _join(job: dict[str, Any]) -> tuple[int, None]:
    join_people(JoinJob(**job))
    return 0, None


_JOBS: dict[str, Callable[[dict[str, Any]], tuple[int, Any]]] = {
    "segment": _segment,
    "look": _look,
    "people": _people,
    "join": _join,
}


def _read_jobs(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)  # the supervisor is gone or done; a half-written part has a temporary name


def _tell(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
