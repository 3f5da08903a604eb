"""Six outputs, six models, or everyone's mean: the experiment of `conf/experiments/` on the synthetic store."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from schemas.pipeline import PipelineSettings
from schemas.presets import conf_dir
from schemas.sweeps import load_sweep, sweep_protocol
from tasks.evaluation.plan import TRIVIAL
from tasks.evaluation.stage import evaluate
from tasks.features.stage import extract_features
from tasks.prediction.stage import predict
from tasks.sweep.figures import Outcome
from tasks.sweep.plan import jobs
from tasks.sweep.stage import write_sweep
from tasks.training.data import frame_labels
from tasks.training.stage import train_model

from ..conftest import CNN, FEATURES_RUN, PREDICT_RUN, RATERS, RNN, Corpus, rating_columns


def test_the_mean_is_everyones_label(untrained_corpus: Corpus) -> None:
    times, values = rating_columns(untrained_corpus.fakes["A2"])  # where FM2 has a gap
    settings = CNN.model_copy(update={"raters": "mean"})
    found = frame_labels(untrained_corpus.store, "A2", times, RATERS, settings)
    expected = [float(np.nanmean(row)) for row in values]
    for column in found.T:
        assert column == pytest.approx(np.array(expected), abs=1e-6)


def test_the_experiment_ends_in_one_table(corpus: Corpus) -> None:
    sweep = load_sweep(str(conf_dir() / "experiments" / "per-rater-heads.toml"))
    short = CNN.model_copy(update={"max_epochs": 2})
    base = PipelineSettings(
        cnn=short, rnn=RNN, features=FEATURES_RUN, predict=PREDICT_RUN, evaluate=sweep_protocol(sweep)
    )
    store, recordings, outcomes = corpus.store, corpus.recordings, {}
    todo = [job for job in jobs(sweep, base, origin="test") if job.seed == 0]
    assert [job.settings.cnn.raters for job in todo] == ["together", "apart", "mean"]
    for job in todo:
        card = train_model(store, recordings, job.settings.cnn)
        extract_features(store, recordings, card, FEATURES_RUN)
        predict(store, recordings, card, PREDICT_RUN)
        evaluate(store, recordings, [card.model_id, *TRIVIAL], "valence", base.evaluate)
        outcomes[job.row.label] = Outcome(cards={0: card})
    files = write_sweep(store, "per-rater-heads", sweep, outcomes, base.evaluate)
    table = pl.read_parquet(files.table).filter((pl.col("metric") == "ccc") & (pl.col("partition") == "test"))
    assert table.filter(pl.col("rater").is_null())["measured"].null_count() == 0
    assert set(table["row"]) >= {job.row.label for job in todo}
    assert set(table["rater"].drop_nulls()) == set(RATERS)
    assert table["measured_protocol"].str.contains("selected on the scored partition").all()
