"""What is told of gold standards: weights computed a second time, fallbacks beside every score, in words and files."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.evaluation import EvaluateSettings
from schemas.tables import RATINGS
from tasks.evaluation.fusions import read_fusions
from tasks.evaluation.plan import FUSIONS, HUMAN_REST, TRAINING_MEAN, metrics_path, pending
from tasks.evaluation.stage import evaluate, gold_standards
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part

from ..conftest import EVALUATE, Corpus, rating_columns

GOLD = EVALUATE.model_copy(update={"protocol": "gold", "gold": ("none", "ewe"), "scored_on": ("test",)})


def scored(corpus: Corpus, settings: EvaluateSettings, *model_ids: str) -> list[pl.DataFrame]:
    evaluate(corpus.store, corpus.recordings, model_ids, "valence", settings)
    return [pl.read_parquet(metrics_path(corpus.store, name, settings.protocol)) for name in model_ids]


def contradict(store: Store, name: str) -> None:
    """Leave a recording two raters, the second of whom says the opposite of the first, sample by sample."""
    table = pl.read_parquet(store.ratings(name))
    one = table.filter(pl.col("rater") == "FM1")["value"]
    turned = pl.concat(
        [
            table.filter(pl.col("rater") == "FM1"),
            table.filter(pl.col("rater") == "FM2").with_columns((-one).alias("value")),
        ]
    )
    provenance = Provenance(stage="ratings", stage_key="contradicting")
    write_part(store.ratings(name), turned.to_arrow().cast(RATINGS), provenance)


def test_weights_are_the_correlations_with_the_mean(full_corpus: Corpus) -> None:
    scored(full_corpus, GOLD, TRAINING_MEAN)
    (told,) = read_fusions(full_corpus.store, "valence", "gold")
    values = rating_columns(full_corpus.fakes["C1"])[1]
    expected = [float(np.corrcoef(column, values.mean(axis=1))[0, 1]) for column in values.T]
    assert [one.rater for one in told.raters] == list(full_corpus.fakes["C1"].raters)
    assert [one.weight for one in told.raters] == pytest.approx(expected, abs=1e-12)
    assert [one.share for one in told.raters] == pytest.approx([one / sum(expected) for one in expected], abs=1e-12)
    assert (told.partition, told.num_recordings, told.fallbacks) == ("test", 1, ())
    assert "correlates with the mean of all" in told.words
    assert told.words.endswith("no fallback")
    assert gold_standards(full_corpus.store, full_corpus.recordings, "valence", GOLD) == (told,)


def test_a_fallback_stands_beside_the_score(full_corpus: Corpus) -> None:
    contradict(full_corpus.store, "C1")
    model, mean, people = scored(full_corpus, GOLD, full_corpus.cnn.model_id, TRAINING_MEAN, HUMAN_REST)
    (told,) = read_fusions(full_corpus.store, "valence", "gold")
    assert [one.share for one in told.raters] == [0.5, 0.5]
    assert all(one.num_unweighted == 1 for one in told.raters)
    assert "FELL BACK to the plain mean in 1 of 1 recordings: C1 (weights that add up to 0" in told.words
    for table in (model, mean):
        reasons = table.filter(pl.col("target") == "gold").group_by("recording_id").agg(pl.col("reason").first())
        by_recording = dict(reasons.iter_rows())
        assert "gold standard ewe: weights that add up to 0" in by_recording["C1"]
        assert "gold standard ewe is the plain mean in 1 of 1 recordings" in by_recording[None]
        assert not table.filter((pl.col("target") == "rater") & pl.col("reason").str.contains("gold")).height
    assert not people.filter(pl.col("reason").str.contains("gold standard ewe:")).height


def test_the_table_is_missed_and_removed_with_the_gold_standard(full_corpus: Corpus) -> None:
    store, recordings = full_corpus.store, full_corpus.recordings
    scored(full_corpus, GOLD, TRAINING_MEAN)
    path = store.fusions("valence", "gold")
    assert pending(store, recordings, [TRAINING_MEAN], "valence", GOLD) == []
    path.unlink()
    assert pending(store, recordings, [TRAINING_MEAN], "valence", GOLD) == [FUSIONS]
    scored(full_corpus, GOLD, TRAINING_MEAN)
    assert path.exists()
    apart = GOLD.model_copy(update={"gold": ("none",)})
    assert pending(store, recordings, [TRAINING_MEAN], "valence", apart) == [FUSIONS, TRAINING_MEAN]
    scored(full_corpus, apart, TRAINING_MEAN)
    assert not path.exists()
    assert read_fusions(store, "valence", "gold") == ()
