"""Flow: decode, detect and align; one row for every decoded frame."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from schemas.runs import FacesRun


@flow(name="extract-faces", flow_run_name="faces into {run.store.name}")
def extract_faces(run: FacesRun) -> list[str]:
    """Write `frames` of every recording where they are missing or stale.

    Returns: ids of recordings that failed; why stands in `failures`.
    """
    with stages.on_store(run.store) as store:
        return stages.concluded(store, stages.extract_faces(store, settings_of(run)))
