"""Evaluation as a Prefect task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.evaluation import EvaluateSettings
from tasks.evaluation.stage import evaluate
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store


@task(name="evaluate", task_run_name="evaluate {settings.protocol}", tags=["evaluation"], cache_policy=NO_CACHE)
def evaluate_task(store: Path, model_ids: Sequence[str], dimension: str, settings: EvaluateSettings) -> list[str]:
    """See `tasks.evaluation.stage.evaluate`."""
    where = Store(store)
    return evaluate(where, read_recordings(where), model_ids, dimension, settings)
