"""What a person and a machine read of a store's agreement, through the command itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from tasks.agreement.stage import measure_agreement
from tasks.agreement.told import read_agreement
from tasks.ingest.recordings import recordings_table
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part

from .test_stage import curves, write


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A flipped rater in two recordings, measured once by the command's stage."""
    store = Store(tmp_path / "store")
    recordings = []
    for number in range(2):
        values = curves(2000, (0, 0, 0, 0), seed=number)
        values[:, 3] *= -1
        recordings.append(write(store, f"P{number}", values))
    write_part(store.recordings, recordings_table(recordings), Provenance(stage="ingest", stage_key="i"))
    assert measure_agreement(store, recordings, "valence")
    return store


def test_the_command(store: Store) -> None:
    said = CliRunner().invoke(app, ["agreement", "--store", str(store.root)])
    assert said.exit_code == 0, said.output
    assert "agreement on valence: 4 raters, 2 recordings" in said.stdout
    assert "over all recordings, rater B correlates" in said.stdout
    told = read_agreement(store, "valence")
    expected = told.value("ccc", "others", "A", "concatenated")
    assert f"{expected:.3f}" in next(line for line in said.stdout.splitlines() if line.startswith("A "))
    assert max(len(line) for line in said.stdout.split("look at these")[0].splitlines()) <= 100


def test_for_machines(store: Store) -> None:
    said = CliRunner().invoke(app, ["agreement", "--store", str(store.root), "--json"])
    found = json.loads(said.stdout)
    assert list(found["raters"]) == ["A", "B", "C", "D"]
    assert found["raters"]["B"]["pearson_with_others"] < -0.9
    assert {one["kind"] for one in found["findings"]} == {"sign_flip"}
    assert found["overall"]["concatenated"]["icc_2k"] is not None
    assert np.isclose(found["overall"]["per_recording"]["ccc"], found["overall"]["concatenated"]["ccc"], atol=0.1)


def test_no_store(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["agreement", "--store", str(tmp_path / "nowhere")])
    assert said.exit_code == 2
    assert "no store there" in said.stderr
