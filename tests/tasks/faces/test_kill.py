"""kill -9 at any moment: nothing half-written, nothing done twice, the same table. More of it: `benchmarks/kill.py`."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.settings import FacesSettings, IngestSettings
from schemas.tables import frames_schema
from tasks.faces.stage import extract_faces
from tasks.store.layout import Store
from tasks.store.parts import read_table

from .conftest import REPOSITORY, Films, Ingested, Ingester, ingest
from .test_worker import alive, children, wait_until

_RUN = """
import sys
from pathlib import Path
from schemas.settings import FacesSettings
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store

store = Store(Path(sys.argv[1]))
with worker_pool():
    extract_faces(store, read_recordings(store)[0], FacesSettings(segment_frames=25), workers=2)
"""
SETTINGS = FacesSettings(segment_frames=25)


def start(made: Ingested) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(made.store.root)], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )


def descendants(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *descendants(child))]


def parts(made: Ingested) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in made.store.frames("A").glob("part-*.parquet")}


def table(made: Ingested) -> pa.Table:
    return read_table(made.store.frames("A"), frames_schema("rgb96"))


@pytest.fixture(scope="module")
def expected(films: Films, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """What an uninterrupted run writes."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    made = ingest(folder / "corpus", Store(folder / "store"), IngestSettings(), A=films.portrait())
    extract_faces(made.store, made.recordings["A"], SETTINGS, workers=2)
    return table(made)


@pytest.fixture
def made(films: Films, ingested: Ingester) -> Ingested:
    return ingested(A=films.portrait())


def test_killed_runs_go_on_where_they_were(made: Ingested, expected: pa.Table) -> None:
    """Killed again and again on the way through one recording; each run must find the others' parts untouched."""
    dice = random.Random(0)
    for _ in range(3):
        before = parts(made)
        process = start(made)
        wait_until(lambda before=before: len(parts(made)) > len(before))  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.1))
        family = descendants(process.pid)
        process.kill()
        process.wait()
        assert wait_until(lambda family=family: not any(map(alive, family)), 5)  # type: ignore[misc]
        now = parts(made)
        assert before.items() <= now.items()
        assert len(list(made.store.frames("A").glob(".tmp-*"))) <= 2
        rows = table(made)
        assert rows.equals(expected.take(rows["frame_index"]))
    before = parts(made)
    extract_faces(made.store, made.recordings["A"], SETTINGS, workers=2)
    assert before.items() <= parts(made).items()
    assert table(made).equals(expected)
    assert not list(made.store.frames("A").glob(".tmp-*"))


@pytest.mark.parametrize("victim", ["worker", "ffmpeg"])
def test_a_run_outlives_its_workers_and_decoders(made: Ingested, expected: pa.Table, victim: str) -> None:
    process = start(made)

    def killed() -> bool:
        """Kill the first process of the kind that turns up once a part is finished."""
        for worker in children(process.pid) if parts(made) else []:
            for pid in [worker] if victim == "worker" else children(worker):
                os.kill(pid, signal.SIGKILL)
                return True
        return process.poll() is not None

    assert wait_until(killed)
    finished = parts(made)
    assert process.wait(timeout=60) == 0
    assert finished.items() <= parts(made).items()
    assert table(made).equals(expected)
    assert not list(made.store.frames("A").glob(".tmp-*"))
