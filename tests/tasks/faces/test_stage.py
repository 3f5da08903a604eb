"""Faces of whole recordings: rows beside PyAV, any number of workers, any interruption, and every kind of damage."""

from __future__ import annotations

import itertools
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from schemas.errors import RecordingError, StoreError, WorkerError
from schemas.settings import FacesSettings
from schemas.tables import INDEX
from tasks.faces import supervisor
from tasks.faces.plan import frames_key, pending, stored_frames_key
from tasks.faces.pool import Worker
from tasks.faces.stage import num_workers
from tasks.faces.supervisor import segment_bounds, segment_jobs
from tasks.store.failures import read_failures
from tasks.store.layout import part_name
from tasks.store.parts import read_provenance, read_table

from .conftest import (
    FACELESS,
    NUM_FRAMES,
    SETTINGS,
    Films,
    Ingested,
    Ingester,
    by_pyav,
    complete,
    extract,
    frames,
    parts,
    write_portrait,
)


def test_one_row_for_every_decoded_frame(reference: Ingested, films: Films) -> None:
    table = pl.read_parquet(reference.store.frames("A") / "*.parquet")
    expected = by_pyav(films.portrait())
    assert len(table) == len(expected) == NUM_FRAMES
    assert table["frame_index"].to_list() == list(range(NUM_FRAMES))
    np.testing.assert_allclose(table["time_seconds"].to_numpy(), [f.time_seconds for f in expected], atol=1e-9)
    assert set(table["recording_id"]) == {"A"}


def test_faces_where_there_is_one_and_nulls_elsewhere(reference: Ingested) -> None:
    table = pl.read_parquet(reference.store.frames("A") / "*.parquet")
    shown = ~table["frame_index"].is_in(list(FACELESS))
    assert table.filter(shown)["face_valid"].mean() >= 0.98  # type: ignore[operator]
    without = table.filter(~pl.col("face_valid"))
    assert without["frame_index"].is_in(list(FACELESS)).sum() == len(FACELESS)
    assert set(without["face_source"]) == {"none"}
    assert set(without["num_other_faces"]) == {0}  # the whole picture was searched
    always = {"recording_id", "frame_index", "time_seconds", "face_valid", "face_source", "num_other_faces"}
    for name in set(table.columns) - always:
        assert without[name].null_count() == len(without), name
    found = table.filter(pl.col("face_valid"))
    assert set(found["face_source"]) == {"detected", "tracked"}
    for name in ("box_left", "landmarks", "chip", "sharpness", "brightness", "yaw", "pitch", "roll"):
        assert found[name].null_count() == 0, name
    assert found["detection_score"].is_null().to_list() == (found["face_source"] == "tracked").to_list()
    assert found["tracking_score"].is_null().to_list() == (found["face_source"] == "detected").to_list()
    assert found["tracking_score"].min() >= SETTINGS.tracking_threshold  # type: ignore[operator]
    assert found["num_other_faces"].fill_null(0).max() == 0
    widths = found["box_right"] - found["box_left"]
    assert widths.min() > 60  # type: ignore[operator]
    assert found["roll"].abs().max() < 20  # type: ignore[operator]


def test_chips_of_a_pan_show_the_same_face(reference: Ingested) -> None:
    """The camera moves, the portrait does not: aligned, neighbouring chips differ by little."""
    table = pl.read_parquet(reference.store.frames("A") / "*.parquet").filter(pl.col("face_valid"))
    chips = np.stack([np.frombuffer(c, np.uint8).reshape(96, 96, 3) for c in table["chip"]]).astype(float)
    middle = np.median(chips, axis=0)
    apart = np.abs(chips - middle).mean(axis=(1, 2, 3))  # landmarks are whole pixels, and jitter by one
    assert np.median(apart) < 9
    assert apart.max() < 18
    assert middle.std() > 25


def test_parts_are_segments_and_the_last_says_so(reference: Ingested) -> None:
    recording = reference.recordings["A"]
    key = frames_key(recording, SETTINGS)
    told = [read_provenance(reference.store.frames("A") / part_name(n)) for n in range(3)]
    assert [p["is_last"] for p in told if p] == ["false", "false", "true"]
    for found in told:
        assert found is not None
        assert (found["stage_key"], found["source_sha256"], found["stage"]) == (key, recording.sha256, "faces")
        assert found["decoder_version"]
    lengths = [pl.read_parquet(reference.store.frames("A") / part_name(n)).height for n in range(3)]
    keys = read_table(reference.store.index("A"), INDEX)["is_keyframe"].to_numpy(zero_copy_only=False)
    assert lengths == np.diff(segment_bounds(keys, 50)).tolist()
    assert stored_frames_key(reference.store, "A") == key
    assert pending(reference.store, [recording], SETTINGS) == []


def test_two_workers_write_what_one_writes(reference: Ingested, ingested: Ingester, films: Films) -> None:
    made = ingested(A=films.portrait())
    assert extract(made, workers=2) == NUM_FRAMES
    assert frames(made).equals(frames(reference))


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_only_a_lost_part_is_written_again(reference: Ingested, ingested: Ingester, films: Films, lost: int) -> None:
    made = ingested(A=films.portrait())
    made.store.frames("A").mkdir(parents=True)
    for path in reference.store.frames("A").iterdir():
        (made.store.frames("A") / path.name).write_bytes(path.read_bytes())
    before = parts(made)
    assert complete(made)
    (made.store.frames("A") / part_name(lost)).unlink()
    assert not complete(made)
    assert stored_frames_key(made.store, "A") is None
    assert pending(made.store, list(made.recordings.values()), SETTINGS) == [made.recordings["A"]]
    extract(made, workers=1)
    after = parts(made)
    assert after.keys() == before.keys()
    for name in before:
        assert (after[name] == before[name]) == (name != part_name(lost)), name
    assert frames(made).equals(frames(reference))
    again = parts(made)
    extract(made)
    assert parts(made) == again


class _Killer:
    """A progress bar that kills the worker when told of frames, up to `times` times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left, self.total, self.workers = times, 0.0, list[Any]()
        started: Callable[[Worker], Any] = Worker.start

        def remembered(worker: Worker) -> Any:
            process = started(worker)
            if process not in self.workers:
                self.workers.append(process)
            return process

        monkeypatch.setattr(Worker, "start", remembered)

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.total += amount
        if amount > 0 and self.left:
            self.left -= 1
            os.kill(self.workers[-1].pid, signal.SIGKILL)


def test_a_killed_worker_costs_nothing(
    reference: Ingested, ingested: Ingester, films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ingested(A=films.portrait())
    killer = _Killer(monkeypatch, 1)
    settings = SETTINGS.model_copy(update={"segment_frames": 110})
    total = supervisor.extract_recording(made.store, made.recordings["A"], settings, workers=1, bar=killer)
    assert total == NUM_FRAMES == killer.total
    assert len(killer.workers) == 2
    assert all(process.poll() is not None for process in killer.workers)
    assert complete(made, settings=settings)
    ours, theirs = frames(made), frames(reference)
    assert ours.column("time_seconds").equals(theirs.column("time_seconds"))
    assert ours.slice(0, 40).equals(theirs.slice(0, 40))  # as far as the first segments are the same


def test_a_worker_that_dies_twice_fails_its_recording(
    ingested: Ingester, films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ingested(A=films.portrait())
    killer = _Killer(monkeypatch, 2)
    settings = SETTINGS.model_copy(update={"segment_frames": 110})
    with pytest.raises(WorkerError, match=r"A: the worker process died 2 times on frames \[0, 116\)"):
        supervisor.extract_recording(made.store, made.recordings["A"], settings, workers=1, bar=killer)
    assert not complete(made, settings=settings)
    monkeypatch.undo()
    extract(made, settings=settings, workers=1)
    assert complete(made, settings=settings)
    assert not list(made.store.frames("A").glob(".tmp-*"))


def test_longer_segments_leave_no_part_of_shorter_ones(ingested: Ingester, films: Films) -> None:
    made = ingested(A=films.portrait())
    extract(made)
    whole = SETTINGS.model_copy(update={"segment_frames": 500})
    extract(made, settings=whole)
    assert [p.name for p in made.store.frames("A").iterdir()] == [part_name(0)]
    assert frames(made)["frame_index"].to_pylist() == list(range(NUM_FRAMES))


def test_another_chip_format_replaces_every_part(ingested: Ingester, films: Films) -> None:
    made = ingested(A=films.portrait())
    extract(made)
    colour = frames(made)
    gray = SETTINGS.model_copy(update={"chip_format": "gray96"})
    extract(made, settings=gray)
    found = frames(made, settings=gray)
    for name in ("landmarks", "box_left", "face_valid"):
        assert found[name].equals(colour[name])
    at = 20
    rgb = np.frombuffer(colour["chip"][at].as_py(), np.uint8).reshape(96, 96, 3).astype(float)
    luma = np.frombuffer(found["chip"][at].as_py(), np.uint8).reshape(96, 96).astype(float)
    inside = ((rgb > 4) & (rgb < 251)).all(axis=-1)
    assert np.abs(rgb @ [0.299, 0.587, 0.114] - luma)[inside].max() < 2


def test_one_damaged_recording_costs_no_other(ingested: Ingester, films: Films, tmp_path: Path) -> None:
    gone, cut = tmp_path / "gone.mp4", tmp_path / "cut.mkv"
    write_portrait(cut, [None] * 75, "-c:v", "mpeg4", "-g", "10", "-q:v", "3")
    gone.write_bytes(films.portrait().read_bytes() + b"\0\0\0\x08free")
    made = ingested(A=films.portrait(), B=gone, C=cut)
    gone.unlink()
    cut.write_bytes(b"overwritten since" * 100)
    failed = {}
    for name in made.recordings:
        try:
            extract(made, name)
        except RecordingError as error:
            failed[name] = str(error)
    assert sorted(failed) == ["B", "C"]
    assert "gone.mp4" in failed["B"]
    assert "No such file" in failed["B"]
    assert "cut.mkv" in failed["C"]
    rows = {row["recording_id"]: row for row in read_failures(made.store).to_pylist()}
    assert {name: row["error"] for name, row in rows.items()} == {"B": "SourceError", "C": "SourceError"}
    assert {row["stage"] for row in rows.values()} == {"faces"}
    assert rows["B"]["path"] == str(gone)
    assert complete(made, "A")
    assert not complete(made, "B")
    gone.write_bytes(films.portrait().read_bytes() + b"\0\0\0\x08free")
    extract(made, "B")
    assert [row["recording_id"] for row in read_failures(made.store).to_pylist()] == ["C"]


def test_a_film_without_a_face_is_no_failure(ingested: Ingester, tmp_path: Path) -> None:
    wall = write_portrait(tmp_path / "wall.mp4", [None] * 30)
    made = ingested(A=wall)
    assert extract(made) == 30
    assert not any(frames(made)["face_valid"].to_pylist())
    assert read_failures(made.store).num_rows == 0


def test_a_full_disk_stops_the_run_by_name(ingested: Ingester, films: Films) -> None:
    made = ingested(A=films.portrait())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # the workers inherit it
    try:
        with pytest.raises(StoreError, match=r"part-0000\d\.parquet: cannot be written .*free space"):
            extract(made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not complete(made)
    assert extract(made) == NUM_FRAMES
    assert complete(made)


def test_an_error_nobody_expects_is_not_lost(ingested: Ingester, films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ingested(A=films.portrait())

    def broken(*_: object) -> int:
        raise OSError("cannot start a process")

    monkeypatch.setattr(Worker, "run", broken)
    with pytest.raises(OSError, match="cannot start a process"):
        extract(made)
    assert not complete(made)


def test_jobs_cover_every_frame_once(reference: Ingested) -> None:
    for step in (25, 50, 64, 130, 131):
        jobs = segment_jobs(reference.store, reference.recordings["A"], FacesSettings(segment_frames=step))
        covered = [frame for job in jobs for frame in range(job.first, job.last or 0)]
        assert covered == list(range(NUM_FRAMES))


@pytest.mark.parametrize("step", [25, 40, 64, 1000])
@pytest.mark.parametrize("gap", [1, 7, 12, 33, 250])
def test_segments_begin_on_key_frames_where_one_is_near(step: int, gap: int) -> None:
    keys = np.arange(1003) % gap == 0
    bounds = segment_bounds(keys, step)
    assert bounds[0] == 0
    assert bounds[-1] == 1003
    assert all(step / 2 <= after - before <= step * 3 / 2 for before, after in itertools.pairwise(bounds[:-1]))
    for number, bound in enumerate(bounds[1:-1], start=1):
        near = [key for key in range(0, 1003, gap) if abs(key - number * step) <= step // 4]
        assert bound in (near or [number * step])


def test_workers_by_setting_or_core() -> None:
    assert num_workers(FacesSettings(workers=3)) == 3
    assert num_workers(FacesSettings()) == len(os.sched_getaffinity(0))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("obama_speech.mp4", None),
        ("single_face.mp4", None),
        ("face_noface.mov", None),
        ("id2_vcd_swwp2s.mpg", None),
        ("Cisco_Men_whisper_640x320_CABAC_Bframe_9.264", 25.0),
    ],
)
def test_shared_clips_keep_every_frame(shared_data: Path, ingested: Ingester, name: str, rate: float | None) -> None:
    path = shared_data / "videos" / name
    made = ingested(A=path, declared_frame_rate=rate)
    expected = by_pyav(path)
    extract(made, settings=FacesSettings(segment_frames=60))
    table = frames(made)
    assert table.num_rows == len(expected)
    times = np.arange(len(expected)) / rate if rate else [frame.time_seconds for frame in expected]
    np.testing.assert_allclose(table["time_seconds"].to_numpy(), times, atol=1e-9)


def test_a_finished_recording_starts_no_worker(reference: Ingested, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(_: Worker) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(Worker, "start", started)
    assert extract(reference) == NUM_FRAMES
