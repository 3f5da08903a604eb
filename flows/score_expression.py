"""Flow: score a finished expression network on labelled faces."""

from __future__ import annotations

import logging

from prefect import flow

from flows import stages
from schemas.runs import ExpressionScoreRun
from tasks.expression.scoring import ExpressionScoring
from tasks.expression.task import score_expression_task

_logger = logging.getLogger(__name__)


@flow(name="score-expression", flow_run_name="score {run.model} on {run.data.name}")
def score_expression(run: ExpressionScoreRun) -> ExpressionScoring:
    """Ask a network about every face that is not in Training, and hold its answers against the labels.

    Raises:
        DatasetError: the data is malformed, or has no such split.
        StoreError: there is no such model, or it is damaged.
    """
    with stages.on_store(run.store):
        done = score_expression_task(run)
    _logger.info("%s", done)
    return done
