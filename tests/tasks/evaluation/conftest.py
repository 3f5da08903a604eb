"""A protocol with everything in it, and scores under one."""

from __future__ import annotations

import polars as pl

from schemas.evaluation import EvaluateSettings
from tasks.evaluation.plan import metrics_path
from tasks.evaluation.stage import evaluate

from ..conftest import EVALUATE, Corpus

FULL = EVALUATE.model_copy(
    update={
        "protocol": "full",
        "gold": ("none", "mean", "ewe"),
        "chain": ("median", "centre", "scale", "shift"),
        "scored_on": ("test",),
        "declares_overlap": False,
    }
)


def scored(corpus: Corpus, model_id: str, settings: EvaluateSettings) -> pl.DataFrame:
    evaluate(corpus.store, corpus.recordings, [model_id], "valence", settings)
    return pl.read_parquet(metrics_path(corpus.store, model_id, settings.protocol))
