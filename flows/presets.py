"""From what a flow is given to the settings of its stages."""

from __future__ import annotations

from schemas.presets import preset_path
from schemas.runs import FacesRun, IngestRun, PipelineRun, StoreRun
from schemas.settings import PipelineSettings, load_pipeline


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
    if isinstance(run, PipelineRun) and run.control is not None:
        settings = settings.model_copy(update={"control": run.control})
    return settings
