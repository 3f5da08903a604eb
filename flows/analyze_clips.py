"""Flow: expressions and an estimate of valence in clips, with the weights that ship or one's own."""

from __future__ import annotations

import logging

from prefect import flow

from flows import stages
from flows.presets import settings_of
from schemas.errors import RecordingError
from schemas.pipeline import PipelineSettings
from schemas.runs import AnalyzeRun, FacesRun
from tasks.analyze.clips import Clip, corpus_folder, list_clips, work_store, write_manifest
from tasks.analyze.model import analysis_model
from tasks.analyze.plan import stored_key
from tasks.analyze.stage import ClipSummary
from tasks.analyze.task import analyze_clip_task
from tasks.expression.plan import FinishedModel
from tasks.faces.plan import frames_key, is_complete
from tasks.ingest.recordings import Recording, read_recordings
from tasks.store.layout import Store
from tasks.training.devices import resolve_device

_logger = logging.getLogger(__name__)


@flow(name="analyze-clips", flow_run_name="analyze into {run.out.name}")
def analyze_clips(run: AnalyzeRun) -> list[ClipSummary]:
    """Find faces in clips, name their expressions, and write a table, a page and a video of each.

    Clips that fail are reported and cost the others nothing. Goes on from where an earlier run was stopped.

    Raises:
        UnusableInputError: a clip is no file, something else lies where a result goes, or the model has a class
            without a valence.
        StoreError: there is no such model, or it is damaged.
        SettingsError: the device is unknown, or not there.
    """
    clips, model = list_clips(run.clips, run.out), analysis_model(run.model)
    resolve_device(run.device)  # a wrong one is found before the work, as is what is not ours to replace
    for clip in clips:
        for result in clip.results:
            stored_key(result)
    settings = faces_settings(run)
    with stages.on_store(work_store(run.out).root) as store:
        write_manifest(store, clips)
        stages.ingest(store, corpus_folder(store), settings)
        stages.extract_faces(store, settings)
        by_id = {recording.recording_id: recording for recording in read_recordings(store)}
        found = [_analyzed(store, clip, by_id.get(clip.recording_id), model, settings, run.device) for clip in clips]
        return stages.concluded(store, [summary for summary in found if summary is not None])


def faces_settings(run: AnalyzeRun) -> PipelineSettings:
    """How faces are found: as the default preset says."""
    return settings_of(FacesRun(store=work_store(run.out).root, workers=run.workers))


def _analyzed(
    store: Store,
    clip: Clip,
    recording: Recording | None,
    model: FinishedModel,
    settings: PipelineSettings,
    device: str,
) -> ClipSummary | None:
    """The clip's summary; None where it has failed, now or on the way here."""
    if recording is None:
        return None
    if not is_complete(store, recording.recording_id, frames_key(recording, settings.faces)):
        return None
    try:
        return analyze_clip_task(clip, recording, model, settings.faces, device)
    except RecordingError as error:
        _logger.error("%s", error)
        return None
