"""Where the time of face extraction goes: core-milliseconds for each frame, by step, at 1, 2 and 4 workers.

    uv run benchmarks/faces_profile.py --videos ../shared/data/videos --out /tmp/profile

As many processes as workers run `extract_segment` over the clip's segments at once, as the stage does; every step is
timed by the thread's own CPU clock, ffmpeg by its process's. CPU time is what a busy machine changes least, but caches
and memory are shared: the same step costs more beside others.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from schemas.settings import FacesSettings
from tasks.faces import pool, rows, track
from tasks.faces.decode import FrameStream
from tasks.faces.detect import Detector, find_landmarks
from tasks.faces.segment import SegmentJob, extract_segment
from tasks.faces.settle import write_settled
from tasks.faces.supervisor import identities_job, segment_jobs
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store

STEPS = (
    "decoding (ffmpeg)",
    "reading the pipe",
    "detection",
    "recognition",
    "landmarks",
    "chip",
    "quality",
    "Parquet",
    "the rest",
)


class Clock:
    """CPU time of the current thread by step; what a step calls of another step counts there alone."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner = 0.0

    def wrap(self, owner: Any, name: str, step: str) -> None:
        """Time `owner.name` as `step` from now on."""
        timed: Callable[..., Any] = getattr(owner, name)

        def measured(*arguments: Any, **options: Any) -> Any:
            outer, self._inner = self._inner, 0.0
            started = time.thread_time()
            try:
                return timed(*arguments, **options)
            finally:
                elapsed = time.thread_time() - started
                self.spent[step] += elapsed - self._inner
                self._inner = outer + elapsed

        setattr(owner, name, measured)


def profile(jobs: list[SegmentJob]) -> dict[str, float]:
    """Core-seconds of some segments by step, and their number of frames."""
    clock = Clock()
    clock.wrap(FrameStream, "_fill", "reading the pipe")
    for name in ("around", "everywhere"):
        clock.wrap(Detector, name, "detection")
    for name in ("embed", "recognition_chip"):
        clock.wrap(track, name, "recognition")
    clock.wrap(track, "find_landmarks", "landmarks")
    clock.wrap(track, "aligned_luma", "chip")
    clock.wrap(rows, "finished_chip", "chip")
    clock.wrap(rows, "brightness_and_sharpness", "quality")
    clock.wrap(rows, "head_pose", "quality")
    clock.wrap(pq.ParquetWriter, "write_batch", "Parquet")
    clock.wrap(rows, "_batch", "Parquet")
    Detector(FacesSettings()).everywhere(np.zeros((96, 96), np.uint8), small=False)  # a worker loads its models once
    find_landmarks(np.zeros((96, 96), np.uint8), (8, 8, 88, 88))
    clock.spent.clear()
    started = time.process_time()
    frames = sum(extract_segment(job, lambda _: None) for job in jobs)
    clock.spent["the rest"] = time.process_time() - started - sum(clock.spent.values())
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {**clock.spent, "decoding (ffmpeg)": children.ru_utime + children.ru_stime, "frames": frames}


def share(jobs: list[SegmentJob], workers: int) -> list[dict[str, float]]:
    """`profile` in so many processes at once, each with its share of the jobs."""
    processes = []
    environment = {**os.environ, **pool._ENVIRONMENT}
    for number in range(workers):
        text = json.dumps([job.as_dict() for job in jobs[number::workers]])
        command = [sys.executable, __file__, "--jobs"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        process.stdin.write(text.encode())
        process.stdin.close()
        processes.append(process)
    found = []
    for process in processes:
        assert process.stdout is not None
        found.append(json.loads(process.stdout.read()))
        process.wait()
    return found


def main() -> None:
    """Profile the clips and print a table for each."""
    if sys.argv[1:] == ["--jobs"]:
        given = [{key: value for key, value in job.items() if key != "kind"} for job in json.load(sys.stdin)]
        print(json.dumps(profile([SegmentJob(**job) for job in given])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", nargs="+", default=["s18_720p.mp4", "grid_s1_5min.mp4"])
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--segments", type=int, default=4, help="segments of the clip, shared out among the workers")
    arguments = parser.parse_args()
    for name in arguments.clips:
        table = Table(title=f"{name}: core-ms for each frame", title_justify="left")
        table.add_column("workers")
        for step in (*STEPS, "in all"):
            table.add_column(step, justify="right")
        jobs = _jobs(arguments.videos / name, arguments.out, arguments.segments)
        for workers in arguments.workers:
            found = share(jobs, workers)
            frames = sum(one["frames"] for one in found)
            cells = [1000 * sum(one.get(step, 0.0) for one in found) / frames for step in STEPS]
            table.add_row(str(workers), *(f"{cell:.2f}" for cell in (*cells, sum(cells))))
        Console(width=140).print(table)


def _jobs(clip: Path, out: Path, segments: int) -> list[SegmentJob]:
    """The first segments of a looped clip, ingested, with its main person settled."""
    from faces import ingest_clip, looped

    out.mkdir(parents=True, exist_ok=True)
    settings = FacesSettings()
    store: Store = ingest_clip(looped(clip, out, segments * settings.segment_frames), out / clip.stem)
    (recording,) = read_recordings(store)
    write_settled(identities_job(store, recording, settings))
    return segment_jobs(store, recording, settings)[:segments]


if __name__ == "__main__":
    main()
