"""Streams decoded as one stretch: no seeking, no times of their own, or an index that the decoder contradicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.errors import DecodeError
from schemas.tables import INDEX
from tasks.faces.decode import FrameStream, Picture
from tasks.faces.segment import extract_segment
from tasks.faces.stage import frames_on_disk
from tasks.faces.supervisor import segment_jobs, whole_job
from tasks.store.layout import part_name
from tasks.store.parts import Provenance, read_provenance, read_table, write_part

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
    run_ffmpeg,
    settle_nobody,
)


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
