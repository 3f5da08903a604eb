"""Flow: train a network to name expressions, once for each seed."""

from __future__ import annotations

import logging

from prefect import flow
from pydantic import TypeAdapter

from flows import stages
from schemas.expressions import ExpressionTraining, load_expression_training
from schemas.presets import preset_path
from schemas.runs import ExpressionTrainRun
from schemas.toml_files import validated
from schemas.training import NamedNetwork
from tasks.expression.stage import ExpressionRun
from tasks.expression.task import train_expression_task

_logger = logging.getLogger(__name__)


@flow(name="train-expression", flow_run_name="train expressions of {run.data.name} in {run.store.name}")
def train_expression(run: ExpressionTrainRun) -> ExpressionRun:
    """Train on a labelled set of faces; what was trained on exactly this is taken as it is.

    Raises:
        SettingsError: the settings are out of range, or network, class or option is unknown.
        DatasetError: the data is malformed.
    """
    with stages.on_store(run.store) as store:
        done = train_expression_task(store.root, run.data, settings_of(run), run.votes, run.score_test)
    _logger.info("%s", done)
    return done


def settings_of(run: ExpressionTrainRun) -> ExpressionTraining:
    """The preset, with the run's own choices laid over it. Another network takes its place whole, options included.

    Raises:
        SettingsError: no such preset, or what it and the choices come to is out of range.
    """
    path = preset_path(run.config)
    settings = load_expression_training(path)
    chosen: dict[str, object] = {}
    if run.network is not None and run.network != settings.network.name:
        chosen |= {"network": NamedNetwork(name=run.network), "name": f"{settings.name}-{run.network}"}
    if run.start_from is not None:
        chosen["start_from"] = run.start_from
    if run.seeds:
        chosen["seeds"] = run.seeds
    if run.device is not None:
        chosen["device"] = run.device
    return validated(TypeAdapter(ExpressionTraining), {**settings.model_dump(), **chosen}, path)
