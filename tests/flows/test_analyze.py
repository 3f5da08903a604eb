"""`affectflow analyze` as a newcomer runs it: the weights that ship, a film of a portrait, a damaged clip beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from models.valence import valence_of
from tasks.expression.plan import read_expression_card
from tasks.expression.shipped import shipped_folder, shipped_network

from ..tasks.faces.conftest import write_portrait


def affectflow(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `affectflow analyze` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "analyze", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_weights_that_ship_are_whole() -> None:
    network, card = shipped_network()
    assert card == read_expression_card(shipped_folder())
    assert sum(parameter.numel() for parameter in network.parameters()) == card.num_parameters
    assert {str(parameter.dtype) for parameter in network.parameters()} == {"torch.float32"}
    assert card.shipped is not None
    assert (shipped_folder() / "model.safetensors").stat().st_size == card.shipped.bytes < 8e6
    assert valence_of(card.classes).shape == (7,)
    assert "FER2013" in card.dataset.name
    assert card.dataset.terms
    assert {(score.split, score.subset) for score in card.scores} >= {("public_test", "all"), ("public_test", "unseen")}
    for split, accuracy in card.shipped.accuracy_before.items():
        assert abs(accuracy - card.shipped.accuracy_after[split]) < 0.005


@pytest.mark.server
def test_clips_in_results_out(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    environment = dict(request.getfixturevalue("prefect_server").environment)
    good = write_portrait(tmp_path / "Grace Hopper.mp4", [*range(20), *[None] * 10])
    (tmp_path / "cut.mp4").write_bytes(good.read_bytes()[:2000])
    done = affectflow(tmp_path, environment, good.name, "cut.mp4", "--out", "results", "--json")
    assert (done.returncode, done.stdout != "") == (1, True), done.stderr
    said = json.loads(done.stdout)
    assert said["failed"] == ["cut"]
    assert "cut.mp4" in done.stderr.replace("\n", "")
    (clip,) = said["clips"]
    assert (clip["clip"], clip["num_frames"]) == ("Grace Hopper", 30)
    out = tmp_path / "results"
    names = {path.name for path in out.iterdir()}
    assert names == {".store", "Grace Hopper.parquet", "Grace Hopper.html", "Grace Hopper.mp4"}
    table = pl.read_parquet(out / "Grace Hopper.parquet")
    assert table["face_valid"].sum() == pytest.approx(20, abs=1)
    named = table["expression"].drop_nulls().to_list()
    assert sum(name in ("happy", "neutral") for name in named) > len(named) / 2, "she smiles a little"

    before = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.is_file()}
    again = affectflow(tmp_path, environment, good.name, "--out", "results")
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    once_more = affectflow(tmp_path, environment, good.name, "--out", "results")
    assert "nothing to do" in once_more.stdout
    assert "Grace Hopper: a face in" in once_more.stdout


def test_unusable_input_is_said_before_any_work(tmp_path: Path) -> None:
    environment = dict(os.environ)
    missing = affectflow(tmp_path, environment, "gone.mp4", "--out", "results")
    assert (missing.returncode, "gone.mp4: no such file" in missing.stderr.replace("\n", "")) == (2, True)
    write_portrait(tmp_path / "a.mp4", [0, 1])
    itself = affectflow(tmp_path, environment, "a.mp4", "--out", ".")
    assert itself.returncode == 2
    assert "is a clip itself" in itself.stderr.replace("\n", " ")
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4"}
