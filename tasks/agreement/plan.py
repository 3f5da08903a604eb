"""What the agreement stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.ingest.recordings import Recording, ratings_key
from tasks.store.layout import Store
from tasks.store.parts import is_current, stage_key

STAGE = "agreement"
STAGE_VERSION = 3


def agreement_path(store: Store, dimension: str) -> Path:
    """The statistics, `schemas.score_tables.AGREEMENT`."""
    return store.agreement / dimension / "agreement.parquet"


def lags_path(store: Store, dimension: str) -> Path:
    """Correlation by lag, `schemas.score_tables.AGREEMENT_LAGS`."""
    return store.agreement / dimension / "lags.parquet"


def findings_path(store: Store, dimension: str) -> Path:
    """What looks wrong, `schemas.score_tables.AGREEMENT_FINDINGS`; written last."""
    return store.agreement / dimension / "findings.parquet"


def agreement_key(store: Store, recordings: Sequence[Recording], dimension: str) -> str:
    """Stage key: every recording's ratings of the dimension."""
    read = [f"{one.recording_id}:{ratings_key(store, one.recording_id, dimension)}" for one in recordings]
    return stage_key(STAGE, STAGE_VERSION, {"dimension": dimension}, sorted(read))


def is_pending(store: Store, recordings: Sequence[Recording], dimension: str) -> bool:
    """True if the agreement of a dimension is missing or stale."""
    return not is_current(findings_path(store, dimension), agreement_key(store, recordings, dimension))
