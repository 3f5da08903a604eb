"""The report as a Prefect task, which also leaves it as a markdown artifact on the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.ingest.recordings import read_corpus_note
from tasks.report.stage import ReportFiles, ReportRow, write_report
from tasks.store.layout import Store

ARTIFACT_KEY = "affectflow-report"


@task(name="write-report", task_run_name="report {title}", tags=["report"], cache_policy=NO_CACHE)
def write_report_task(
    store: Path,
    rows: Sequence[ReportRow],
    title: str,
    protocol: str,
    protocol_name: str,
    dimension: str,
    notes: Sequence[str] = (),
) -> ReportFiles:
    """See `tasks.report.stage.write_report`."""
    where = Store(store)
    note = read_corpus_note(where)
    files = write_report(
        where,
        rows=rows,
        title=title,
        protocol=protocol,
        protocol_name=protocol_name,
        corpus_note=note,
        dimension=dimension,
        notes=notes,
    )
    create_markdown_artifact(
        markdown=files.markdown.read_text(encoding="utf-8"), key=ARTIFACT_KEY, description=f"{title}: {files.html}"
    )
    return files
