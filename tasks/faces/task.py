"""The faces stage as a Prefect task: one run for each recording."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.settings import FacesSettings
from tasks.faces.stage import FacesSummary, extract_faces
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store


# No Prefect caching anywhere: what is current is decided from stage keys on disk, which outlive any server.
@task(name="extract-faces", task_run_name="faces {recording.recording_id}", tags=["faces"], cache_policy=NO_CACHE)
def extract_faces_task(store: Path, recording: Recording, settings: FacesSettings, workers: int) -> FacesSummary:
    """See `tasks.faces.stage.extract_faces`."""
    return extract_faces(Store(store), recording, settings, workers=workers)
