"""The people stage as a Prefect task: one run for each recording."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.settings import FacesSettings
from tasks.ingest.recordings import Recording
from tasks.people.stage import PeopleSummary, extract_people
from tasks.store.layout import Store


@task(name="extract-people", task_run_name="people {recording.recording_id}", tags=["faces"], cache_policy=NO_CACHE)
def extract_people_task(store: Path, recording: Recording, settings: FacesSettings, workers: int) -> PeopleSummary:
    """See `tasks.people.stage.extract_people`."""
    return extract_people(Store(store), recording, settings, workers=workers)
