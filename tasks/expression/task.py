"""Training of expression networks as a Prefect task."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.expressions import ExpressionTraining
from tasks.expression.stage import ExpressionRun, train_expression
from tasks.training.task import gpu_slot


@task(name="train-expression", task_run_name="train {settings.name}", tags=["training"], cache_policy=NO_CACHE)
def train_expression_task(
    store: Path, data: Path, settings: ExpressionTraining, votes: Path | None, score_test: bool
) -> ExpressionRun:
    """See `tasks.expression.stage.train_expression`."""
    with gpu_slot(settings.device):
        return train_expression(store, data, settings, votes=votes, score_test=score_test)
