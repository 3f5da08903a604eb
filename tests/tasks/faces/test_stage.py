"""Faces of whole recordings: rows beside PyAV, any number of workers, any interruption, and every kind of damage."""

from __future__ import annotations

import itertools
import os
import resource
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from schemas.errors import DecodeError, RecordingError, StoreError, WorkerError
from schemas.settings import FacesSettings
from schemas.tables import INDEX, frames_schema
from tasks.faces import supervisor
from tasks.faces.decode import FrameStream, Picture
from tasks.faces.plan import frames_key, is_complete, pending, stored_frames_key
from tasks.faces.pool import Worker
from tasks.faces.segment import extract_segment
from tasks.faces.stage import extract_faces, frames_on_disk, num_workers
from tasks.faces.supervisor import segment_bounds, segment_jobs, whole_job
from tasks.store.failures import read_failures
from tasks.store.layout import part_name
from tasks.store.parts import Provenance, read_provenance, read_table, write_part

from .conftest import (
    FACELESS,
    NUM_FRAMES,
    Films,
    Ingested,
    Ingester,
    by_pyav,
    run_ffmpeg,
    settle_nobody,
    write_portrait,
)

SETTINGS = FacesSettings(segment_frames=50)


def extract(made: Ingested, name: str = "A", *, workers: int = 2, settings: FacesSettings = SETTINGS) -> int:
    return extract_faces(made.store, made.recordings[name], settings, workers=workers).num_frames


def frames(made: Ingested, name: str = "A", settings: FacesSettings = SETTINGS) -> pa.Table:
    return read_table(made.store.frames(name), frames_schema(settings.chip_format))


def complete(made: Ingested, name: str = "A", settings: FacesSettings = SETTINGS) -> bool:
    return is_complete(made.store, name, frames_key(made.recordings[name], settings))


def parts(made: Ingested, name: str = "A") -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(made.store.frames(name).iterdir())}


@pytest.fixture(scope="module")
def reference(films: Films, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """The portrait's frames by one worker. Read only."""
    from schemas.settings import IngestSettings
    from tasks.store.layout import Store

    from .conftest import ingest

    folder = tmp_path_factory.mktemp("reference")
    made = ingest(folder / "corpus", Store(folder / "store"), IngestSettings(), A=films.portrait())
    extract(made, workers=1)
    return made


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


@pytest.mark.parametrize(("suffix", "options"), [(".ts", ("-c:v", "libx264", "-g", "20")), (".mpg", ("-g", "9"))])
def test_streams_that_cannot_be_sought_are_whole(
    ingested: Ingester, tmp_path: Path, films: Films, suffix: str, options: tuple[str, ...]
) -> None:
    path = run_ffmpeg("-i", films.portrait(), *options, "-bf", "2", "-q:v", "2", tmp_path / f"film{suffix}")
    made = ingested(A=path)
    assert extract(made) == NUM_FRAMES
    table = frames(made)
    expected = [frame.time_seconds for frame in by_pyav(path)]
    np.testing.assert_allclose(table["time_seconds"].to_numpy(), expected, atol=1e-9)
    assert table["frame_index"].to_pylist() == list(range(NUM_FRAMES))
    assert complete(made)
    assert sum(table["face_valid"].to_pylist()) >= 0.95 * (NUM_FRAMES - len(FACELESS))


def test_a_stream_in_one_stretch_goes_on_where_it_was(ingested: Ingester, films: Films, tmp_path: Path) -> None:
    path = run_ffmpeg("-i", films.portrait(), "-c:v", "libx264", "-g", "20", tmp_path / "whole.ts")
    made = ingested(A=path)
    extract(made)
    parts = sorted(made.store.frames("A").iterdir())
    assert len(parts) == 3
    expected, kept = frames(made), parts[0].stat().st_mtime_ns
    parts[1].unlink()
    extract(made)
    assert frames(made).equals(expected)
    assert parts[0].stat().st_mtime_ns == kept


def _reindex(made: Ingested, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = made.store.index("A")
    table, told = read_table(path, INDEX), read_provenance(path)
    assert told is not None
    rows = change(table.to_pylist())
    write_part(path, pa.Table.from_pylist(rows, schema=INDEX), Provenance(stage="index", stage_key=told["stage_key"]))
    object.__setattr__(made.recordings["A"], "num_frames", len(rows))


@pytest.mark.parametrize("num_rows", [100, 120, 140, 151])
def test_where_index_and_decoder_differ_the_decoder_is_right(
    reference: Ingested, ingested: Ingester, films: Films, num_rows: int
) -> None:
    made = ingested(A=films.portrait())

    def resized(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        step = rows[1]["pts"] - rows[0]["pts"]
        extra = [
            {**rows[-1], "frame_index": n, "pts": rows[-1]["pts"] + (n - 129) * step, "time_seconds": n * 0.04}
            for n in range(len(rows), num_rows)
        ]
        return (rows + extra)[:num_rows]

    _reindex(made, resized)
    assert extract(made) == NUM_FRAMES
    table = frames(made)
    np.testing.assert_allclose(
        table["time_seconds"].to_numpy(), frames(reference)["time_seconds"].to_numpy(), atol=1e-9
    )
    assert table["frame_index"].to_pylist() == list(range(NUM_FRAMES))
    assert complete(made)
    assert sorted(p.name for p in made.store.frames("A").iterdir()) == [part_name(n) for n in range(3)]


def test_one_stretch_that_was_interrupted_behind_its_index_goes_on(ingested: Ingester, films: Films) -> None:
    made = ingested(A=films.portrait())
    _reindex(made, lambda rows: rows[:50])
    extract(made)
    before = parts(made)
    assert list(before) == [part_name(n) for n in range(3)]
    (made.store.frames("A") / part_name(2)).unlink()
    assert frames_on_disk(made.store, made.recordings["A"], SETTINGS) == 0
    extract(made)
    assert complete(made)
    after = parts(made)
    assert {name: after[name] for name in list(before)[:2]} == {name: before[name] for name in list(before)[:2]}
    assert frames(made)["frame_index"].to_pylist() == list(range(NUM_FRAMES))


def test_a_whole_run_that_fails_leaves_nothing_that_counts_as_complete(
    ingested: Ingester, films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments may be in place under the same key: they must not complete what a whole run has begun."""
    made = ingested(A=films.portrait())
    extract(made)
    assert complete(made)
    pictures = FrameStream.__iter__

    def cut_short(stream: FrameStream) -> Iterator[Picture]:
        yield from islice(pictures(stream), 110)
        raise DecodeError("damaged behind frame 109")

    monkeypatch.setattr(FrameStream, "__iter__", cut_short)
    job = whole_job(segment_jobs(made.store, made.recordings["A"], SETTINGS)[0])
    with pytest.raises(DecodeError, match="behind frame 109"):
        extract_segment(job, lambda _: None)
    assert [path.name for path in sorted(made.store.frames("A").iterdir())] == [part_name(0), part_name(1)]
    assert not complete(made)
    monkeypatch.undo()
    assert extract(made) == NUM_FRAMES
    assert frames(made)["frame_index"].to_pylist() == list(range(NUM_FRAMES))


def test_a_stream_without_a_frame_leaves_no_part(
    ingested: Ingester, films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ingested(A=films.portrait())
    settle_nobody(made)
    monkeypatch.setattr(FrameStream, "__iter__", lambda _: iter(()))
    job = whole_job(segment_jobs(made.store, made.recordings["A"], SETTINGS)[0])
    with pytest.raises(DecodeError, match="yields no frame"):
        extract_segment(job, lambda _: None)
    assert not complete(made)
    assert list(made.store.frames("A").iterdir()) == []


def test_a_declared_rate_gives_the_times(ingested: Ingester, tmp_path: Path, films: Films) -> None:
    raw = run_ffmpeg("-i", films.portrait(), "-c:v", "copy", "-f", "h264", tmp_path / "raw.264")
    made = ingested(declared_frame_rate=12.5, A=raw)
    assert made.recordings["A"].time_source == "declared_rate"
    assert [job.last for job in segment_jobs(made.store, made.recordings["A"], SETTINGS)] == [None]
    assert extract(made) == NUM_FRAMES
    table = frames(made)
    np.testing.assert_array_equal(table["time_seconds"].to_numpy(), np.arange(NUM_FRAMES) / 12.5)
    assert complete(made)
    assert len(list(made.store.frames("A").iterdir())) == 3
    before = parts(made)
    extract(made)
    assert parts(made) == before


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
