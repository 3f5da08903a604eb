"""Agreement as a Prefect task."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.agreement.stage import measure_agreement
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store


@task(name="measure-agreement", task_run_name="agreement on {dimension}", tags=["agreement"], cache_policy=NO_CACHE)
def measure_agreement_task(store: Path, dimension: str) -> bool:
    """See `tasks.agreement.stage.measure_agreement`."""
    where = Store(store)
    return measure_agreement(where, read_recordings(where), dimension)
