"""Training and scoring of expression networks as Prefect tasks."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.expressions import ExpressionTraining
from schemas.runs import ExpressionScoreRun
from tasks.expression.scoring import ExpressionScoring, score_expression
from tasks.expression.stage import ExpressionRun, train_expression
from tasks.training.task import gpu_slot


@task(name="train-expression", task_run_name="train {settings.name}", tags=["training"], cache_policy=NO_CACHE)
def train_expression_task(
    store: Path, data: Path, settings: ExpressionTraining, votes: Path | None, score_test: bool
) -> ExpressionRun:
    """See `tasks.expression.stage.train_expression`."""
    with gpu_slot(settings.device):
        return train_expression(store, data, settings, votes=votes, score_test=score_test)


@task(name="score-expression", task_run_name="score {run.model}", tags=["evaluation"], cache_policy=NO_CACHE)
def score_expression_task(run: ExpressionScoreRun) -> ExpressionScoring:
    """See `tasks.expression.scoring.score_expression`."""
    with gpu_slot(run.device):
        return score_expression(
            run.store,
            run.data,
            run.model,
            splits=run.splits,
            votes=run.votes,
            views=run.views,
            device=run.device,
        )
