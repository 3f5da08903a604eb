"""Flow: find recordings, ratings and partitions, and validate them."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from schemas.runs import IngestRun
from tasks.ingest.stage import IngestSummary


@flow(name="ingest-recordings", flow_run_name="ingest {run.corpus.name} into {run.store.name}")
def ingest_recordings(run: IngestRun) -> IngestSummary:
    """Write `recordings`, `index`, `ratings` and `audio` of a corpus.

    Raises:
        CorpusError: the corpus contradicts itself; every problem is listed.
    """
    with stages.on_store(run.store) as store:
        return stages.concluded(store, stages.ingest(store, run.corpus, settings_of(run)))
