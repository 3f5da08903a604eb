"""From what a flow is given to the settings of its stages."""

from __future__ import annotations

from schemas.errors import SettingsError
from schemas.loading import load_pipeline, load_protocol, load_training
from schemas.pipeline import PipelineSettings
from schemas.presets import preset_path
from schemas.runs import CompareRun, EvaluateRun, FacesRun, IngestRun, PipelineRun, StoreRun, TrainRun
from schemas.training import CnnTraining, RnnTraining


def settings_of(run: StoreRun) -> PipelineSettings:
    """The preset of a run, with the run's own choices laid over it.

    Raises:
        SettingsError: no such preset, or a setting is out of range.
    """
    settings = load_pipeline(preset_path(run.preset))
    if isinstance(run, IngestRun):
        chosen = {name: getattr(run, name) for name in ("manifest", "partitions") if getattr(run, name) is not None}
        settings = settings.model_copy(update={"ingest": settings.ingest.model_copy(update=chosen)})
    if isinstance(run, FacesRun | PipelineRun):
        chosen = {name: getattr(run, name) for name in ("workers", "all_faces") if getattr(run, name) is not None}
        settings = settings.model_copy(update={"faces": settings.faces.model_copy(update=chosen)})
    if isinstance(run, EvaluateRun | CompareRun) and run.protocol is not None:
        evaluation = load_protocol(run.protocol).model_copy(update={"ceiling": settings.evaluate.ceiling})
        settings = settings.model_copy(update={"evaluate": evaluation})
    if isinstance(run, PipelineRun) and run.control is not None:
        settings = settings.model_copy(update={"control": run.control})
    if isinstance(run, PipelineRun) and run.start_from is not None:
        settings = settings.model_copy(update={"cnn": starting_from(settings.cnn, run.start_from)})
    return settings


def training_of(run: TrainRun) -> CnnTraining | RnnTraining:
    """The settings of one training, from what the run says it starts from.

    Raises:
        SettingsError: no such preset, a setting is out of range, or an RNN is to start from an expression model.
    """
    settings = load_training(preset_path(run.config))
    if run.start_from is None:
        return settings
    if not isinstance(settings, CnnTraining):
        raise SettingsError(f"{run.config}: an RNN starts from no expression model; leave out --start-from")
    return starting_from(settings, run.start_from)


def starting_from(training: CnnTraining, start_from: str) -> CnnTraining:
    """The training with another start; checked anew."""
    return CnnTraining.model_validate({**training.model_dump(), "start_from": start_from})
