"""The ingest stage as a Prefect task."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.settings import IngestSettings
from tasks.ingest.stage import IngestSummary, ingest_corpus
from tasks.store.layout import Store


@task(name="ingest-corpus", task_run_name="ingest {corpus.name}", tags=["ingest"], cache_policy=NO_CACHE)
def ingest_corpus_task(corpus: Path, store: Path, settings: IngestSettings) -> IngestSummary:
    """See `tasks.ingest.stage.ingest_corpus`."""
    return ingest_corpus(corpus, Store(store), settings)
