"""Failures stand until their stage succeeds, one per stage and recording."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from schemas.errors import DecodeError, ProbeError, StoreError
from schemas.tables import FAILURES
from tasks.store.cards import read_card, read_cards
from tasks.store.failures import clear_failure, read_failures, record_failure
from tasks.store.layout import Store, part_name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_nothing_failed(store: Store) -> None:
    assert read_failures(store).num_rows == 0
    assert read_failures(store).schema.equals(FAILURES)
    clear_failure(store, "faces", "A")


def test_a_failure_says_what_where_and_when(store: Store) -> None:
    before = datetime.now(UTC)
    record_failure(store, "faces", "A", DecodeError("a.mp4: stopped\nhere"), "/videos/a.mp4")
    (row,) = read_failures(store).to_pylist()
    at = row.pop("at")
    assert before <= at <= datetime.now(UTC)
    assert row == {
        "recording_id": "A",
        "stage": "faces",
        "error": "DecodeError",
        "message": "a.mp4: stopped\nhere",
        "path": "/videos/a.mp4",
    }
    assert pl.read_parquet(store.failures / "*.parquet")["error"].to_list() == ["DecodeError"]


def test_one_row_per_stage_and_recording(store: Store) -> None:
    record_failure(store, "faces", "A", DecodeError("first"))
    record_failure(store, "faces", "A", DecodeError("second"))
    record_failure(store, "ingest", "A", ProbeError("third"))
    record_failure(store, "faces", "B", DecodeError("fourth"))
    found = {(row["stage"], row["recording_id"]): row["message"] for row in read_failures(store).to_pylist()}
    assert found == {("faces", "A"): "second", ("ingest", "A"): "third", ("faces", "B"): "fourth"}
    clear_failure(store, "faces", "A")
    clear_failure(store, "faces", "A")
    assert {row["message"] for row in read_failures(store).to_pylist()} == {"third", "fourth"}


def test_names_of_parts_and_folders(store: Store) -> None:
    assert part_name(0) == "part-00000.parquet"
    assert part_name(99_999) == "part-99999.parquet"
    root = store.root
    assert store.frames("P16") == root / "frames" / "P16"
    assert store.features("m-1", "P16") == root / "features" / "m-1" / "P16" / part_name(0)
    assert store.predictions("m-1", "P16") == root / "predictions" / "m-1" / "P16" / part_name(0)


def test_unknown_and_damaged_models_are_named(store: Store) -> None:
    assert read_cards(store) == []
    with pytest.raises(StoreError, match="no such model; models in this store: none"):
        read_card(store, "cnn-12345678")
    folder = store.model("cnn-12345678")
    folder.mkdir(parents=True)
    for text in ("{}", "no JSON", '{"model_id": 5}'):
        (folder / "card.json").write_text(text, encoding="utf-8")
        with pytest.raises(StoreError, match=r"card\.json: damaged card"):
            read_card(store, "cnn-12345678")
    unfinished = store.models / ".training-1"
    unfinished.mkdir()
    (unfinished / "card.json").write_text("{}", encoding="utf-8")
    (folder / "card.json").unlink()
    assert read_cards(store) == []
