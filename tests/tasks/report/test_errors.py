"""Where the errors are, against direct computations over the store's tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from tasks.report.errors import LOST_WORDS, lost
from tasks.report.scatter import FINE, LEVELS
from tasks.report.signals import RecordingScore
from tasks.report.told import error_charts

from .conftest import ROWS, Build, FakeStore
from .test_traces import signals_of


def errors_of(fake: FakeStore, recordings: list[str]) -> pl.DataFrame:
    """Every error of the model, one row each, joined by time as a reader of the store would."""
    found = []
    for name in recordings:
        rated = pl.read_parquet(fake.store.ratings(name)).select(
            "time_seconds", "rater", pl.col("value").alias("given")
        )
        predicted = pl.read_parquet(fake.store.predictions(ROWS[0].model_id, name))
        joined = predicted.join(rated, on=["time_seconds", "rater"])
        assert len(joined) == len(rated)
        found.append(joined.with_columns((pl.col("value") - pl.col("given")).alias("error")))
    return pl.concat(found)


def _rmse(errors: pl.DataFrame) -> float:
    return float(np.sqrt(np.mean(errors["error"].to_numpy() ** 2)))


def test_error_by_time_equals_a_group_by(build: Build) -> None:
    fake = build(num_frames=500)
    errors = signals_of(fake).errors
    width = errors.width_seconds
    assert width == 1.0  # 20 s in 20 bins
    direct = errors_of(fake, ["P13", "P14"]).with_columns((pl.col("time_seconds") // width).alias("bin"))
    grouped = direct.group_by("bin").agg(
        pl.col("error").pow(2).mean().sqrt(), pl.len(), pl.col("error").mean().alias("b")
    )
    rows = {row["bin"]: row for row in grouped.to_dicts()}
    assert len(errors.by_time) == len(rows) == 20
    for one in errors.by_time:
        row = rows[one.start / width]
        assert one.n == row["len"]
        assert one.rmse == pytest.approx(row["error"], abs=1e-12)
        assert one.bias == pytest.approx(row["b"], abs=1e-12)


def test_error_by_missing_faces_equals_a_filter(build: Build) -> None:
    fake = build()
    errors = signals_of(fake).errors
    direct = errors_of(fake, ["P13", "P14"])
    for number, wanted in ((0, direct.filter(pl.col("face_valid"))), (1, direct.filter(~pl.col("face_valid")))):
        assert errors.by_face[number].n == len(wanted)
        assert errors.by_face[number].rmse == pytest.approx(_rmse(wanted), abs=1e-12)
    assert [one.n for one in errors.by_face[2:]] == [0, 0]


def test_how_long_a_face_is_lost_equals_a_loop() -> None:
    times = np.arange(0, 20, 0.04)
    gaps = [(2.0, 2.48), (4.0, 12.0), (19.0, 20.0)]

    def naive() -> Iterator[int]:
        for at in np.round(times, 6):
            since = [at - start for start, end in gaps if start <= at < end]
            yield 0 if not since else 1 + sum(round(since[0], 6) >= edge for edge in (1.0, 5.0))

    assert lost(times, gaps).tolist() == list(naive())
    assert len(LOST_WORDS) == 4


def test_recordings_stand_worst_first(build: Build) -> None:
    fake = build(num_recordings=6)
    recordings = signals_of(fake).recordings
    model = ROWS[0].model_id

    def direct(name: str, metric: str) -> float:
        values = [fake.metrics[model, "test", "per_recording", metric, name, rater] for rater in fake.raters]
        return float(np.mean([value for value in values if value is not None]))

    assert [one.ccc for one in recordings] == pytest.approx(sorted(direct(n, "ccc") for n in ("P13", "P14", "P15")))
    worst: RecordingScore = recordings[0]
    assert worst.rmse == pytest.approx(direct(worst.recording_id, "rmse"))
    assert {one.recording_id for one in recordings} == {"P13", "P14", "P15"}


def test_scatter_counts_every_sample_once(build: Build) -> None:
    fake = build()
    signals = signals_of(fake)
    assert [one.column for one in signals.scatters] == list(fake.raters)
    direct = errors_of(fake, ["P13", "P14"]).filter(pl.col("rater") == "FM1")
    one = signals.scatters[0]
    assert one.n == len(direct)
    side = len(one.levels)
    cell = (one.high - one.low) / side
    assert cell in (pytest.approx(2 / FINE), pytest.approx(4 / FINE))
    column = np.floor((direct["given"].to_numpy() - one.low) / cell + 1e-9).astype(int)
    row = np.floor((direct["value"].to_numpy() - one.low) / cell + 1e-9).astype(int)
    counts = np.zeros((side, side), int)
    np.add.at(counts, (row, column), 1)
    levels = np.array(one.levels)
    assert np.array_equal(levels > 0, counts > 0)
    assert levels[np.unravel_index(counts.argmax(), counts.shape)] == LEVELS == levels.max()


def test_words_say_what_the_numbers_say(build: Build) -> None:
    signals = signals_of(build())
    told = error_charts(signals)
    assert told.time is not None
    assert "7.0 % of the scored samples have no face" in told.face_words  # 25 and 10 of 250 frames, of one in two
    assert [row.label for row in told.faces] == list(LOST_WORDS[:2])
    assert sum(row.share for row in told.faces) == pytest.approx(1.0)


def test_without_frames_nothing_is_said_of_faces(build: Build) -> None:
    fake = build()
    for name in fake.recordings:
        for part in fake.store.frames(name).glob("part-*.parquet"):
            part.unlink()
    told = error_charts(signals_of(fake))
    assert (told.faces, told.face_words) == ((), "No frames in the store: where faces were missed is not known.")
