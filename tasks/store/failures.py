"""Failures on disk: one small part per stage and recording, removed once that stage succeeds there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from schemas.tables import FAILURES
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, remove, write_part


def record_failure(store: Store, stage: str, recording_id: str, error: Exception, path: str | None = None) -> None:
    """Write what went wrong with one recording in one stage, replacing what stood there before."""
    row = {
        "recording_id": recording_id,
        "stage": stage,
        "error": type(error).__name__,
        "message": str(error),
        "path": path,
        "at": datetime.now(UTC),
    }
    table = pa.Table.from_pylist([row], schema=FAILURES)
    write_part(_path(store, stage, recording_id), table, Provenance(stage=stage, stage_key="failure"))


def clear_failure(store: Store, stage: str, recording_id: str) -> None:
    """Forget a failure: the stage has succeeded there since."""
    remove(_path(store, stage, recording_id))


def read_failures(store: Store) -> pa.Table:
    """Every failure that still stands, `schemas.tables.FAILURES`; no rows when all is well."""
    if not any(store.failures.glob("part-*.parquet")):
        return FAILURES.empty_table()
    return read_table(store.failures, FAILURES)


def _path(store: Store, stage: str, recording_id: str) -> Path:
    return store.failures / f"part-{stage}-{recording_id}.parquet"
