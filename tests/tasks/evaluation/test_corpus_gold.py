"""The gold standard that a corpus ships, as a target: alone, beside raters, at times of its own; computed again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest

from models.metrics import agreement
from schemas.errors import TrainingError, UnusableInputError
from schemas.evaluation import EvaluateSettings
from schemas.tables import PREDICTIONS
from tasks.agreement.stage import measure_agreement
from tasks.evaluation.plan import HUMAN, HUMAN_REST, TRAINING_MEAN, metrics_path, pending
from tasks.evaluation.protocol import describe
from tasks.evaluation.stage import evaluate
from tasks.evaluation.targets import targets_of
from tasks.ingest.ratings import RatingTraces
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part
from tasks.training.plan import training_inputs

from ..conftest import EVALUATE, RATERS, STEP_SECONDS, Corpus, CorpusMaker, Fake, hidden_valence, rating_columns

FloatArray = npt.NDArray[np.float64]

MODEL = "elsewhere-01234567"  # predictions without a card
SHIPPED = EVALUATE.model_copy(update={"protocol": "shipped", "gold": ("none", "ewe", "corpus")})
ALONE = EVALUATE.model_copy(update={"protocol": "alone", "gold": ("corpus",), "scored_on": ("test",)})

FAKES = (
    Fake(recording_id="A1", partition="train"),
    Fake(recording_id="B1", partition="dev"),
    Fake(recording_id="C1", partition="test", rated=False),
    Fake(recording_id="C2", partition="test", rated=False),
)


def gold_of(name: str) -> tuple[FloatArray, FloatArray]:
    fake = next(one for one in FAKES if one.recording_id == name)
    times = np.round(np.arange(fake.num_frames + 1) * STEP_SECONDS, 2)
    return times, 0.5 * hidden_valence(fake, times.size) + 0.1


def ship(store: Store, name: str, times: FloatArray, values: FloatArray, *, key: str = "gold-1") -> None:
    table = RatingTraces(times, values[:, None], ("GoldStandard",), (-1, 1)).gold_table(name, "valence")
    write_part(store.gold_standards(name), table, Provenance(stage="gold_standards", stage_key=f"{key}-{name}"))


def predicted(name: str, rater: str) -> FloatArray:
    rng = np.random.default_rng(sum(map(ord, name + rater)))
    fake = next(one for one in FAKES if one.recording_id == name)
    return hidden_valence(fake, fake.num_frames) + rng.normal(0, 0.2, fake.num_frames)


def write_predictions(store: Store, name: str) -> None:
    frames = predicted(name, "FM1").size
    rows = frames * len(RATERS)
    columns = {
        "recording_id": [name] * rows,
        "model_id": [MODEL] * rows,
        "frame_index": np.tile(np.arange(frames, dtype=np.int32), len(RATERS)),
        "time_seconds": np.tile(np.arange(frames) * STEP_SECONDS, len(RATERS)),
        "dimension": ["valence"] * rows,
        "rater": np.repeat(RATERS, frames),
        "value": np.concatenate([predicted(name, rater) for rater in RATERS]).astype(np.float32),
        "face_valid": np.ones(rows, dtype=bool),
    }
    table = pa.table({name: columns[name] for name in PREDICTIONS.names}).cast(PREDICTIONS)
    write_part(store.predictions(MODEL, name), table, Provenance(stage="predict", stage_key=f"predict-{name}"))


@pytest.fixture
def shipped(make_corpus: CorpusMaker) -> Corpus:
    """Train and dev are rated; of test the corpus ships a gold standard and no more, as AVEC does."""
    corpus = make_corpus(*FAKES)
    for fake in FAKES:
        write_predictions(corpus.store, fake.recording_id)
        if fake.recording_id != "A1":
            ship(corpus.store, fake.recording_id, *gold_of(fake.recording_id))
    return corpus


def scored(corpus: Corpus, settings: EvaluateSettings, model_id: str = MODEL) -> pl.DataFrame:
    evaluate(corpus.store, corpus.recordings, [model_id], "valence", settings)
    return pl.read_parquet(metrics_path(corpus.store, model_id, settings.protocol))


def expected(*names: str) -> float:
    """Of the mean output, each frame at its label; the last label has no frame."""
    means = [np.mean([predicted(name, rater) for rater in RATERS], axis=0) for name in names]
    found = agreement(np.concatenate(means), np.concatenate([gold_of(name)[1][:-1] for name in names])).ccc
    assert found is not None
    return found


def test_a_recording_without_raters_is_scored(shipped: Corpus) -> None:
    table = scored(shipped, ALONE).filter(pl.col("metric") == "ccc")
    assert set(table["target"]) == {"gold"}
    assert set(table["rater"]) == {"corpus"}
    single = table.filter(pl.col("recording_id") == "C1")["value"].item()
    assert single == pytest.approx(expected("C1"), abs=1e-6)
    pooled = table.filter(pl.col("recording_id").is_null() & (pl.col("pooling") == "concatenated"))
    assert pooled["value"].item() == pytest.approx(expected("C1", "C2"), abs=1e-6)
    assert "gold standard the corpus's own against the mean" in pooled["protocol_line"].item()


def test_beside_raters(shipped: Corpus) -> None:
    """On dev, which has both; a recording without a shipped one says so, and training ratings predict it."""
    shipped.store.gold_standards("C2").unlink()
    table = scored(shipped, SHIPPED).filter(pl.col("metric") == "ccc")
    dev = table.filter(pl.col("recording_id") == "B1")
    assert dict(zip(dev["rater"], dev["target"], strict=True)) == dict.fromkeys(RATERS, "rater") | {
        "ewe": "gold",
        "corpus": "gold",
    }
    assert dev.filter(pl.col("rater") == "corpus")["value"].item() == pytest.approx(expected("B1"), abs=1e-6)
    times, values = rating_columns(FAKES[1])
    alone = agreement(predicted("B1", "FM1"), values[:-1, 0]).ccc
    assert times.size == 151
    assert dev.filter(pl.col("rater") == "FM1")["value"].item() == pytest.approx(alone, abs=1e-6)
    assert table.filter(pl.col("recording_id") == "C2").is_empty()
    mean = scored(shipped, SHIPPED, TRAINING_MEAN)
    assert "corpus" not in set(mean["rater"])  # no training recording ships one


def test_people_are_not_held_against_what_they_are_part_of(shipped: Corpus) -> None:
    table = scored(shipped, SHIPPED, HUMAN_REST)
    assert set(table.filter(pl.col("target") == "gold")["rater"]) == {"ewe"}
    evaluate(shipped.store, shipped.recordings, list(HUMAN), "valence", ALONE)
    assert pl.read_parquet(metrics_path(shipped.store, HUMAN_REST, "alone")).is_empty()


def test_times_of_its_own(shipped: Corpus) -> None:
    """Raters at every .04 s, the gold standard at every .1 s: each keeps to its own labels."""
    sparse = np.round(np.arange(0, 6, 0.1), 1)
    ship(shipped.store, "B1", sparse, np.interp(sparse, *gold_of("B1")))
    found = targets_of(shipped.store, "valence", ("none", "ewe", "corpus"))("B1")
    plain = targets_of(shipped.store, "valence", ("none", "ewe"))("B1")
    kept = np.isin(found.times, plain.times)
    np.testing.assert_array_equal(found.ratings[:, kept], plain.ratings)
    np.testing.assert_array_equal(found.golds["ewe"][kept], plain.golds["ewe"])
    assert np.isnan(found.ratings[:, ~kept]).all()
    given = ~np.isnan(found.golds["corpus"])
    np.testing.assert_array_equal(found.times[given], sparse)
    before = scored(shipped, EVALUATE).filter(pl.col("recording_id") == "B1").select("rater", "metric", "value", "n")
    after = scored(shipped, SHIPPED).filter(pl.col("recording_id") == "B1").select("rater", "metric", "value", "n")
    apart, before = (one.sort("rater", "metric") for one in (after.filter(pl.col("rater").is_in(RATERS)), before))
    assert apart.drop("value").equals(before.drop("value"))
    np.testing.assert_allclose(apart["value"].to_numpy(), before["value"].to_numpy(), rtol=1e-12)
    assert after.filter(pl.col("rater") == "corpus")["n"].unique().to_list() == [sparse.size]


def test_a_changed_gold_standard_is_scored_anew(shipped: Corpus) -> None:
    scored(shipped, ALONE)
    assert not pending(shipped.store, shipped.recordings, [MODEL], "valence", ALONE)
    times, values = gold_of("C1")
    ship(shipped.store, "C1", times, values + 0.2, key="gold-2")
    assert pending(shipped.store, shipped.recordings, [MODEL], "valence", ALONE) == [MODEL]


def test_where_it_cannot_be_used_the_message_says_what_can(shipped: Corpus) -> None:
    store, recordings = shipped.store, shipped.recordings
    only_test = EVALUATE.model_copy(update={"scored_on": ("test",)})
    wanted = r"ratings \(C1, C2: a gold standard of the corpus alone, which gold = \[\"corpus\"\] scores\)"
    with pytest.raises(UnusableInputError, match=wanted):
        evaluate(store, recordings, [MODEL], "valence", only_test)
    unrated = [one for one in recordings if one.partition == "test"]
    with pytest.raises(UnusableInputError, match=r"found none, and in C1, C2 the corpus's gold standard alone"):
        measure_agreement(store, unrated, "valence")
    partitions = {"A1": "train", "B1": None, "C1": "dev", "C2": "test"}
    moved = [replace(one, partition=partitions[one.recording_id]) for one in recordings]  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match=r"Training reads raters, and C1 have the corpus's gold standard alone"):
        training_inputs(store, moved, dimension="valence", features_model_id=None)
    for fake in FAKES:
        store.gold_standards(fake.recording_id).unlink(missing_ok=True)
    with pytest.raises(UnusableInputError, match="has both a gold standard of the corpus and predictions"):
        evaluate(store, recordings, [MODEL], "valence", ALONE)
    assert "the corpus's own" in describe(ALONE, [])
