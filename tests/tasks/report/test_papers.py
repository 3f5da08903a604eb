"""The papers' tables beside figures that a sweep has left in the store."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from schemas.score_tables import SWEEP_ROWS
from schemas.sweeps import SWEEPS
from tasks.report.papers import PAPERS, Papers, read_papers
from tasks.report.summary import read_scores, tabulate
from tasks.store.parts import Provenance, write_part

from .conftest import Build, FakeStore


def papers_of(fake: FakeStore) -> Papers:
    scores = read_scores(fake.store, fake.rows, dimension="valence", protocol="per-rater")
    headline = tabulate(scores, partition="test", pooling="concatenated", metric="ccc")
    return read_papers(fake.store, scores, headline, protocol="per-rater", corpus_note="synthetic")


def row(label: str, partition: str, metric: str, published: float | None, measured: float | None) -> dict[str, Any]:
    return {
        "sweep": "K-table3",
        "row": label,
        "model": "rnn",
        "partition": partition,
        "pooling": "concatenated",
        "rater": None,
        "metric": metric,
        "published": published,
        "measured": measured,
        "spread": None if measured is None else 0.011,
        "num_seeds": 3,
        "selected_here": partition == "dev",
        "published_protocol": "as printed",
        "measured_protocol": "khorrami2016 on dev and test",
        "corpus_note": "",
        "model_ids": "a b c",
        "missing": "",
    }


def test_without_a_sweep_the_published_figures_stand_alone(build: Build) -> None:
    papers = papers_of(build())
    assert [table.name for table in papers.tables] == list(PAPERS)
    for table in papers.tables:
        assert table.command == f"affectflow sweep {table.name} --store S"
        assert not any(line.is_measured for line in table.lines)
    windows = {line.label: line.cells for line in papers.tables[2].lines}
    assert windows["W = 25"] == ("0.114", "0.499", "0.433")
    others = {line.label: line.cells for line in papers.tables[4].lines}
    assert others["CNN + LSTM + epsilon loss"] == ("0.116", "0.561", "0.538")
    assert "LGBP-TOP + LSTM: reads LGBP-TOP features" in " ".join(papers.tables[4].notes)
    raters = {line.label: line.cells for line in papers.tables[5].by_rater}
    assert raters["CNN + fine-tuning"] == ("0.220", "0.136", "0.213", "0.136", "0.124", "0.066")


def test_measured_figures_stand_below_with_another_letter(build: Build) -> None:
    fake = build()
    rows = [row("W = 25", "dev", "ccc", 0.433, 0.25), row("W = 25", "test", "ccc", None, 0.125)]
    path = fake.store.root / SWEEPS / "K-table3" / "table.parquet"
    write_part(path, pa.Table.from_pylist(rows, schema=SWEEP_ROWS), Provenance(stage="sweep", stage_key="k"))
    papers = papers_of(fake)
    table = papers.tables[2]
    told = [(line.source, line.cells[2], line.is_measured) for line in table.lines if line.label == "W = 25"]
    assert told == [
        ("published, dev", "0.433", False),
        ("here, dev, selected there", "0.250 \N{PLUS-MINUS SIGN} 0.011", True),
        ("here, test", "0.125 \N{PLUS-MINUS SIGN} 0.011", True),
    ]
    letters = {line.protocol for line in table.lines}
    words = dict(papers.protocols)
    assert len(letters) == 2
    assert any("khorrami2016 on dev and test" in words[letter] for letter in letters)
    assert table.command == ""


def test_this_stores_rows_are_the_scores(build: Build) -> None:
    fake = build()
    own = papers_of(fake).own
    model = fake.rows[0]
    values = [fake.metrics[model.model_id, "test", "concatenated", "ccc", None, rater] for rater in fake.raters]
    known = [value for value in values if value is not None]
    assert own[0].label == model.label
    assert float(own[0].cells[2]) == pytest.approx(sum(known) / len(known), abs=5.1e-4)
    assert {line.protocol for line in own} == {"A"}
