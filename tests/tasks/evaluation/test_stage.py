"""Every metric of a store, computed a second time from its Parquet by polars and sums written here."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from models.metrics import METRICS
from schemas.errors import UnusableInputError
from schemas.tables import RATINGS
from tasks.evaluation.plan import TRAINING_MEAN, TRAINING_MEAN_CURVE, TRIVIAL, evaluation_key, metrics_path, pending
from tasks.evaluation.protocol import describe
from tasks.evaluation.stage import evaluate
from tasks.prediction.stage import predict
from tasks.store.cards import CARD_FILE
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part

from ..conftest import EVALUATE, PREDICT_RUN, Corpus, CorpusMaker, Fake, write_ratings

SETTINGS = EVALUATE
PARTITIONS = {"dev": ("B1", "B2"), "test": ("C1",)}

Pairs = list[tuple[float, float]]


def ratings(store: Store, name: str) -> dict[str, list[tuple[float, float]]]:
    """(time, value) by rater, missing values left out."""
    table = pl.read_parquet(store.ratings(name)).filter(~pl.col("is_imputed")).drop_nulls("value")
    found: dict[str, list[tuple[float, float]]] = {}
    for rater, time, value in table.select("rater", "time_seconds", "value").iter_rows():
        found.setdefault(rater, []).append((time, value))
    return found


def model_pairs(store: Store, model_id: str, name: str, rater: str, delay: float) -> Pairs:
    """Every label with the nearest prediction at most half a frame (.02 s) away; of two as near, the earlier."""
    table = pl.read_parquet(store.predictions(model_id, name)).filter(pl.col("rater") == rater)
    frames = table.select("time_seconds", "value").sort("time_seconds").rows()
    pairs = []
    for time, given in ratings(store, name)[rater]:
        distance, value = min(
            ((round(abs(frame + delay - time), 9), v) for frame, v in frames), key=lambda found: found[0]
        )
        if distance <= 0.02 and value is not None:
            pairs.append((value, given))
    return pairs


def trivial_pairs(store: Store, which: str, name: str, rater: str) -> Pairs:
    known = [ratings(store, train).get(rater, []) for train in ("A1", "A2")]
    every = [value for one in known for _, value in one]
    mean = sum(every) / len(every)
    pairs = []
    for time, given in ratings(store, name)[rater]:
        guess = mean
        if which == TRAINING_MEAN_CURVE:
            at = [
                float(np.interp(time, [t for t, _ in one], [v for _, v in one]))
                for one in known
                if one and one[0][0] <= time <= one[-1][0]
            ]
            guess = sum(at) / len(at) if at else mean
        pairs.append((guess, given))
    return pairs


def lin(pairs: Pairs) -> dict[str, float | None]:
    """RMSE, CC, CCC by their formulas with exact sums; a constant prediction has no CC and CCC 0."""
    n = len(pairs)
    mx, my = math.fsum(x for x, _ in pairs) / n, math.fsum(y for _, y in pairs) / n
    vx, vy = math.fsum((x - mx) ** 2 for x, _ in pairs) / n, math.fsum((y - my) ** 2 for _, y in pairs) / n
    cov = math.fsum((x - mx) * (y - my) for x, y in pairs) / n
    constant = len({x for x, _ in pairs}) == 1 or len({y for _, y in pairs}) == 1
    return {
        "rmse": math.sqrt(math.fsum((x - y) ** 2 for x, y in pairs) / n),
        "mae": math.fsum(abs(x - y) for x, y in pairs) / n,
        "sagr": sum((x > 0) - (x < 0) == (y > 0) - (y < 0) for x, y in pairs) / n,
        "cc": None if constant else cov / math.sqrt(vx * vy),
        "ccc": 0.0 if constant else 2 * cov / (vx + vy + (mx - my) ** 2),
    }


def expected_rows(
    corpus: Corpus, model_id: str, delay: float = 0.0
) -> Iterator[tuple[tuple[object, ...], tuple[float | None, int]]]:
    store = corpus.store
    for partition, names in PARTITIONS.items():
        by_rater: dict[str, list[Pairs]] = {}
        for name in names:
            for rater in corpus.fakes[name].raters:
                pairs = (
                    trivial_pairs(store, model_id, name, rater)
                    if model_id in TRIVIAL
                    else model_pairs(store, model_id, name, rater, delay)
                )
                by_rater.setdefault(rater, []).append(pairs)
                for metric, value in lin(pairs).items():
                    yield (partition, "per_recording", name, rater, metric), (value, len(pairs))
        for rater, parts in by_rater.items():
            total = sum(map(len, parts))
            for metric, value in lin([pair for part in parts for pair in part]).items():
                yield (partition, "concatenated", None, rater, metric), (value, total)
            for metric in METRICS:
                known = [v for v in (lin(part)[metric] for part in parts) if v is not None]
                yield (
                    (partition, "per_recording", None, rater, metric),
                    (sum(known) / len(known) if known else None, total),
                )
        for pooling in ("concatenated", "per_recording"):
            for metric in METRICS:
                values = []
                for parts in by_rater.values():
                    joined = [[pair for part in parts for pair in part]] if pooling == "concatenated" else parts
                    known = [v for v in (lin(part)[metric] for part in joined) if v is not None]
                    values += [sum(known) / len(known)] if known else []
                n = sum(len(part) for parts in by_rater.values() for part in parts)
                yield (
                    (partition, pooling, None, "mean over raters", metric),
                    (sum(values) / len(values) if values else None, n),
                )


def assert_metrics(corpus: Corpus, model_id: str, delay: float = 0.0) -> None:
    table = pl.read_parquet(metrics_path(corpus.store, model_id, "plain"))
    columns = ("partition", "pooling", "recording_id", "rater", "metric")
    found = {tuple(row[c] for c in columns): (row["value"], row["n"]) for row in table.iter_rows(named=True)}
    assert len(found) == len(table)
    expected = dict(expected_rows(corpus, model_id, delay))
    assert found.keys() == expected.keys()
    for at, told in expected.items():
        (value, n), (wanted, count) = found[at], told
        assert n == count, (model_id, at)
        assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-9, abs=1e-12)), (model_id, at)
    assert set(table["model_id"]) == {model_id}
    assert set(table["protocol"]) == {"plain"}


def test_every_metric_is_that_of_the_parquet(trained_corpus: Corpus) -> None:
    for model_id in trained_corpus.model_ids:
        assert_metrics(trained_corpus, model_id)


def test_a_constant_is_no_model(trained_corpus: Corpus) -> None:
    table = pl.read_parquet(metrics_path(trained_corpus.store, TRAINING_MEAN, "plain"))
    assert set(table.filter(pl.col("metric") == "ccc")["value"]) == {0.0}
    assert table.filter(pl.col("metric") == "cc")["value"].null_count() == len(table) // 5
    assert table["degenerate"].all()
    model = pl.read_parquet(metrics_path(trained_corpus.store, trained_corpus.cnn.model_id, "plain"))
    assert not model["degenerate"].any()


def test_frames_without_a_prediction_are_left_out(full_corpus: Corpus) -> None:
    settings = PREDICT_RUN.model_copy(update={"no_face": "null"})
    for card in full_corpus.cards:
        predict(full_corpus.store, full_corpus.recordings, card, settings)
    ids = [card.model_id for card in full_corpus.cards]
    assert evaluate(full_corpus.store, full_corpus.recordings, full_corpus.model_ids, "valence", SETTINGS) == ids
    for model_id in ids:
        assert_metrics(full_corpus, model_id)
    table = pl.read_parquet(metrics_path(full_corpus.store, ids[0], "plain")).filter(pl.col("recording_id") == "C1")
    assert set(table["n"]) == {100}


def test_a_delayed_model_is_scored_later(full_corpus: Corpus) -> None:
    """A model trained on labels 0.4 s earlier answers 0.4 s early: its predictions are moved back for scoring."""
    card = full_corpus.cnn
    settings = {**card.settings, "label_delay_seconds": 0.4}
    path = full_corpus.store.model(card.model_id) / CARD_FILE
    path.write_text(card.model_copy(update={"settings": settings}).model_dump_json(), encoding="utf-8")
    metrics_path(full_corpus.store, card.model_id, "plain").unlink()
    with pytest.raises(UnusableInputError, match=r"trained with a rater delay of 0\.4 s, and protocol plain says 0 s"):
        evaluate(full_corpus.store, full_corpus.recordings, [card.model_id], "valence", SETTINGS)
    later = SETTINGS.model_copy(update={"delay": 0.4})
    evaluate(full_corpus.store, full_corpus.recordings, [card.model_id], "valence", later)
    assert_metrics(full_corpus, card.model_id, delay=0.4)
    table = pl.read_parquet(metrics_path(full_corpus.store, card.model_id, "plain"))
    assert set(table.filter(pl.col("recording_id") == "C1")["n"]) == {121}  # 131 labels, less the first .4 s


def test_two_equal_constant_series_are_null_and_flagged(make_corpus: CorpusMaker) -> None:
    made = make_corpus(
        Fake(recording_id="A1", partition="train", num_frames=10),
        Fake(recording_id="B1", partition="dev", num_frames=10),
    )
    for name in ("A1", "B1"):
        path = made.store.ratings(name)
        table = pl.read_parquet(path).with_columns(value=pl.lit(0.25))
        write_part(path, table.to_arrow().cast(RATINGS), Provenance(stage="ratings", stage_key="constant"))
    evaluate(
        made.store, made.recordings, [TRAINING_MEAN], "valence", SETTINGS.model_copy(update={"scored_on": ("dev",)})
    )
    table = pl.read_parquet(metrics_path(made.store, TRAINING_MEAN, "plain"))
    assert set(table.filter(pl.col("metric").is_in(["rmse", "mae"]))["value"]) == {0.0}
    assert table.filter(pl.col("metric").is_in(["cc", "ccc"]))["value"].is_null().all()
    assert set(table.filter(pl.col("metric") == "sagr")["value"]) == {1.0}
    said = table.filter(pl.col("recording_id") == "B1")["reason"]
    assert said.str.contains("prediction and rater .* are the same constant in B1").all()
    assert table["degenerate"].all()


def test_only_stale_metrics_are_written(full_corpus: Corpus) -> None:
    store, recordings, ids = full_corpus.store, full_corpus.recordings, full_corpus.model_ids
    assert pending(store, recordings, ids, "valence", SETTINGS) == []
    assert evaluate(store, recordings, ids, "valence", SETTINGS) == []
    write_ratings(store, full_corpus.fakes["A1"], key="ratings-2")  # training ratings: the trivial predictors read them
    assert pending(store, recordings, ids, "valence", SETTINGS) == list(TRIVIAL)
    write_ratings(store, full_corpus.fakes["C1"], key="ratings-2")
    assert pending(store, recordings, ids, "valence", SETTINGS) == ids
    assert evaluate(store, recordings, ids, "valence", SETTINGS) == ids
    only_dev = SETTINGS.model_copy(update={"scored_on": ("dev",)})
    assert pending(store, recordings, ids, "valence", only_dev) == ids
    moved = [r if r.recording_id != "C1" else type(r)(**{**vars(r), "partition": "dev"}) for r in recordings]
    assert pending(store, moved, ids, "valence", SETTINGS) == ids
    key = evaluation_key(store, recordings, ids[0], "valence", SETTINGS)
    assert key != evaluation_key(store, recordings, ids[0], "arousal", SETTINGS)


def test_nothing_to_score_is_named(corpus: Corpus) -> None:
    with pytest.raises(UnusableInputError, match=r"nobody-12345678: nothing to score.*dev, test"):
        evaluate(corpus.store, corpus.recordings, ["nobody-12345678"], "valence", SETTINGS)
    assert not metrics_path(corpus.store, "nobody-12345678", "plain").exists()


def test_the_protocol_says_what_was_selected_on(trained_corpus: Corpus) -> None:
    line = describe(SETTINGS, trained_corpus.cards)
    assert "selected on the scored partition" in line
    assert "rater delay 0 s" in line
    unbiased = describe(SETTINGS.model_copy(update={"scored_on": ("test",)}), trained_corpus.cards)
    assert "selected on the scored" not in unbiased
