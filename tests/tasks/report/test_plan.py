"""When the report is of what the store holds, and when not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from schemas.sweeps import SWEEPS
from tasks.evaluation.chain import chain_path
from tasks.report.plan import report_is_current
from tasks.report.stage import write_report

from .conftest import Build, FakeStore


def is_current(fake: FakeStore, *, protocol: str = "per-rater", dimension: str = "valence") -> bool:
    return report_is_current(fake.store, fake.rows, protocol=protocol, dimension=dimension)


def report(fake: FakeStore) -> None:
    write_report(fake.store, rows=list(fake.rows), title="t", protocol="per-rater", protocol_name="per-rater")


@pytest.fixture
def reported(build: Build) -> FakeStore:
    fake = build()
    assert not is_current(fake)
    report(fake)
    assert is_current(fake)
    return fake


def read_by_the_report(fake: FakeStore) -> list[Path]:
    store, model = fake.store, fake.rows[0].model_id
    return [
        store.recordings,
        store.metrics / model / "per-rater.parquet",
        store.agreement / "valence" / "agreement.parquet",
        store.agreement / "valence" / "findings.parquet",
        store.delay(fake.rows[1].model_id, "valence"),
        store.model(model) / "card.json",
        store.ratings(fake.recordings[0]),
        store.predictions(model, fake.recordings[0]),
        store.frames(fake.recordings[0]) / "part-00001.parquet",
        next(store.failures.glob("part-*.parquet")),
    ]


def test_whatever_is_newer_is_noticed(reported: FakeStore) -> None:
    for path in read_by_the_report(reported):
        before = path.stat().st_mtime_ns
        os.utime(path, ns=(before + 1, before + 1))
        assert not is_current(reported), path
        os.utime(path, ns=(before, before))
        assert is_current(reported), path


def test_what_comes_and_goes_is_noticed(reported: FakeStore) -> None:
    store = reported.store
    new = [
        store.root / SWEEPS / "K-table5" / "table.parquet",
        chain_path(store, reported.rows[0].model_id, "per-rater"),
        store.fusions("valence", "per-rater"),
    ]
    for path in new:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        assert not is_current(reported), path
        path.unlink()
        assert is_current(reported), path
    next(store.failures.glob("part-*.parquet")).unlink()
    assert not is_current(reported)
    report(reported)
    assert is_current(reported)


def test_of_another_protocol_dimension_or_set_of_rows(reported: FakeStore) -> None:
    assert not is_current(reported, protocol="default")
    assert not is_current(reported, dimension="arousal")
    reported.rows = reported.rows[:-1]
    assert not is_current(reported)


def test_half_a_report_is_none(reported: FakeStore) -> None:
    (reported.store.reports / "report.md").unlink()
    assert not is_current(reported)
