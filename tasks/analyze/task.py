"""The analysis of a clip as a Prefect task."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.settings import FacesSettings
from tasks.analyze.clips import Clip, work_store
from tasks.analyze.stage import ClipSummary, analyze_clip
from tasks.expression.plan import FinishedModel
from tasks.ingest.recordings import Recording
from tasks.training.task import gpu_slot


@task(name="analyze-clip", task_run_name="analyze {recording.recording_id}", tags=["analyze"], cache_policy=NO_CACHE)
def analyze_clip_task(
    clip: Clip, recording: Recording, model: FinishedModel, settings: FacesSettings, device: str
) -> ClipSummary:
    """See `tasks.analyze.stage.analyze_clip`."""
    with gpu_slot(device):
        return analyze_clip(work_store(clip.out), recording, clip, model, settings, device=device)
