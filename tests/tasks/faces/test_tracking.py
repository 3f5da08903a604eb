"""What the stage tells of its progress, after an interruption above all."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from schemas.settings import FacesSettings
from tasks.faces import pool
from tasks.faces.stage import extract_faces, frames_on_disk
from tasks.progress import Meter, track
from tasks.store.layout import part_name

from .conftest import NUM_FRAMES, Films, Ingester

SETTINGS = FacesSettings(segment_frames=50)


def test_segments_on_disk_are_done_and_cost_no_time(ingested: Ingester, films: Films, lines: list[str]) -> None:
    made = ingested(A=films.portrait())
    recording = made.recordings["A"]
    lines.clear()
    assert frames_on_disk(made.store, recording, SETTINGS) == 0
    extract_faces(made.store, recording, SETTINGS, workers=2)
    assert lines[0].startswith(f"faces A: {NUM_FRAMES}/{NUM_FRAMES} frames, ")
    assert frames_on_disk(made.store, recording, SETTINGS) == NUM_FRAMES
    assert frames_on_disk(made.store, recording, FacesSettings(segment_frames=60)) == 0

    (made.store.frames("A") / part_name(2)).unlink()
    (made.store.frames("A") / part_name(0)).unlink()
    left = frames_on_disk(made.store, recording, SETTINGS)
    assert left == pl.read_parquet(made.store.frames("A") / part_name(1)).height
    seconds = recording.duration_seconds
    with track("faces", NUM_FRAMES, "frames", done=left, recorded_seconds=seconds, recordings=1) as whole:
        extract_faces(made.store, recording, SETTINGS, workers=2)
        assert isinstance(whole, Meter)
        now = whole.read()
    assert (now.done, now.total, now.fresh) == (NUM_FRAMES, NUM_FRAMES, NUM_FRAMES - left)
    after = whole.read()
    assert after.rate == pytest.approx((NUM_FRAMES - left) / after.elapsed_seconds)
    assert after.rate is not None
    assert after.speed == pytest.approx(after.rate * seconds / NUM_FRAMES)
    assert lines[-1].endswith(f"1/1 recordings, {left} frames were there already")


def test_recordings_side_by_side_share_the_workers(
    ingested: Ingester, films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many recordings run at once, and however many workers each may use, no more processes than the pool's."""
    made = ingested(A=films.portrait(), B=films.portrait(), C=films.portrait())
    alive: list[int] = []
    start = pool.Worker.start

    def counted(worker: pool.Worker) -> subprocess.Popen[str]:
        process = start(worker)
        alive.append(len(pool._processes))
        return process

    monkeypatch.setattr(pool.Worker, "start", counted)
    with pool.worker_pool(2), ThreadPoolExecutor(3) as threads:
        done = [
            threads.submit(extract_faces, made.store, recording, SETTINGS, workers=2)
            for recording in made.recordings.values()
        ]
        assert [future.result().num_frames for future in done] == [NUM_FRAMES] * 3
    assert max(alive) == 2
    assert not pool._processes
