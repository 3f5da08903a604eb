"""The command line on a tiny SYNTHETIC corpus: nothing is done twice, and only what changed is done again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.demo.corpus import make_corpus

TRAINING = """
batch_size = 32
learning_rate = 0.01
clip_norm = 1.0
max_epochs = 1
patience = 1
device = "cpu"
"""
CNN = f"""
input = "chips"
name = "tiny-cnn"
frame_stride = 5
{TRAINING}
[network]
input_size = 48
colour = "gray"
kernel_size = 3
widths = [8, 8, 16]
"""
RNN = f"""
input = "features"
name = "tiny-rnn"
window_stride = 5
{TRAINING}
[network]
hidden_sizes = [8]
window = 10
"""
PRESET = """
cnn = "tiny-cnn.toml"
rnn = "tiny-rnn.toml"

[predict]
no_face = "{no_face}"
"""


@dataclass(frozen=True)
class Finished:
    """What a command left behind: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Workplace:
    """A folder with presets, a corpus and a store."""

    root: Path
    environment: dict[str, str]

    @property
    def store(self) -> Path:
        return self.root / "store"

    def affectflow(self, *arguments: str) -> Finished:
        """Run the console script's module."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def run(self, *options: str) -> Finished:
        """`affectflow run` on the corpus."""
        return self.affectflow("run", "made/corpus", "--store", "store", "--config", "tiny.toml", *options)

    def write_preset(self, *, no_face: str = "context") -> None:
        """Write the three TOML files."""
        for name, text in (("tiny-cnn", CNN), ("tiny-rnn", RNN), ("tiny", PRESET.format(no_face=no_face))):
            (self.root / f"{name}.toml").write_text(text, encoding="utf-8")

    def written(self) -> dict[str, int]:
        """Modification time of every part, by its path in the store."""
        return {str(p.relative_to(self.store)): p.stat().st_mtime_ns for p in self.store.rglob("*.parquet")}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """First folder of everything that is new or was written again."""
    return {name.split("/")[0] for name, at in after.items() if before.get(name) != at}


def scores(finished: Finished) -> dict[str, Any]:
    """The JSON that a command printed."""
    assert finished.code == 0, finished.err
    found: dict[str, Any] = json.loads(finished.out)
    return found


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The shared server's, so that no command starts one of its own."""
    server = request.getfixturevalue("prefect_server")
    return dict(server.environment)


@pytest.mark.server
def test_run_then_nothing_then_only_what_changed(tmp_path: Path, environment: dict[str, str]) -> None:
    work = Workplace(tmp_path, environment)
    work.write_preset()
    make_corpus(tmp_path / "made", duration_seconds=2.0, recordings=("P16", "P19", "P48"))
    first = scores(work.run("--json"))
    assert first["synthetic"] is True
    assert first["failed"] == []
    assert {row["partition"] for row in first["scores"]} == {"test"}
    assert set(first["scores"][0]["raters"]) == {"FM1", "FM2", "FM3", "FF1", "FF2", "FF3", "gold ewe"}
    assert (work.store / "reports" / "report.html").is_file()

    assert {row["protocol"] for row in first["scores"]} == {"default"}
    assert not any(row["selected_on_scored_partition"] for row in first["scores"])
    assert {row["model_id"] for row in first["scores"]} >= {"human-one", "human-rest", "training-mean"}
    rnn, cnn = (row["model_id"] for row in first["scores"][:2])
    differ = scores(work.affectflow("compare", rnn, cnn, "--store", "store", "--config", "tiny.toml", "--json"))
    assert {one["protocol"] for one in differ["differences"]} == {"default"}

    before = work.written()
    again = work.run()
    assert (again.code, changed(before, work.written())) == (0, set())
    assert "nothing to do" in again.out

    more = make_corpus(tmp_path / "more", duration_seconds=2.0, recordings=("P58",))
    for path in more.root.rglob("P58.*"):
        path.rename(tmp_path / "made" / "corpus" / path.relative_to(more.root))
    scores(work.run("--json"))
    after = work.written()
    new = {name for name, at in after.items() if before.get(name) != at}
    others = {name for name in new if "P58" not in name and not name.startswith(("recordings", "metrics", "fusions"))}
    assert others == set()
    assert {name.split("/")[0] for name in new} >= {"index", "ratings", "frames", "features", "predictions", "metrics"}

    work.write_preset(no_face="null")
    before = work.written()
    scores(work.run("--json"))
    assert changed(before, work.written()) == {"predictions", "metrics"}

    papers = scores(
        work.affectflow("evaluate", "--store", "store", "--config", "tiny.toml", "-p", "khorrami2016", "--json")
    )
    assert all(row["selected_on_scored_partition"] for row in papers["scores"])
    assert {(row["partition"], *row["raters"]) for row in papers["scores"]} == {("dev", "gold mean")}
    assert "selected on the scored partition" in papers["protocol"]
    page = (work.store / "reports" / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r'<table class="scores".*?</caption>', page, re.DOTALL)
    pictures = re.findall(r"Protocol: khorrami2016, selected on the scored partition", page)
    assert len(captions) >= 5
    assert all("selected on the scored partition" in caption for caption in captions)
    assert len(pictures) == page.count("(in full at the top)") >= 3


@pytest.mark.slow  # the schedule of test_server.py ends with a failed recording as well
@pytest.mark.server
def test_a_damaged_recording_costs_only_itself(tmp_path: Path, environment: dict[str, str]) -> None:
    work = Workplace(tmp_path, environment)
    work.write_preset()
    corpus = make_corpus(tmp_path / "made", duration_seconds=2.0, recordings=("P16", "P19", "P48", "P58"))
    video = corpus.root / "RECOLA-Video-recordings" / "P58.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    finished = work.run("--json")
    assert finished.code == 1
    assert json.loads(finished.out)["failed"] == ["P58"]
    assert "P58.mp4" in finished.err
    assert {path.name for path in (work.store / "frames").iterdir()} == {"P16", "P19", "P48"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "missing", "--store", "store"), "missing: expected the folder of a corpus"),
        (("faces", "--store", "store"), "store: no store there"),
        (("train", "--store", "store", "--config", "nope.toml"), "no store there"),
        (("predict", "--store", "store", "--model", "m"), "no store there"),
        (("evaluate", "--store", "store"), "no store there"),
        (("overlay", "P16", "--store", "store"), "no store there"),
        (("run", ".", "--store", "store", "--config", "nope"), "nope.toml: no such settings file"),
        (("frobnicate",), "No such command"),
    ],
)
def test_unusable_input_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    finished = Workplace(tmp_path, dict(os.environ)).affectflow(*arguments)
    assert finished.code == 2
    assert told in finished.err.replace("\n", "")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "ingest",
        "agreement",
        "faces",
        "train",
        "features",
        "predict",
        "evaluate",
        "compare",
        "overlay",
        "run",
        "sweep",
        "analyze",
    ],
)
def test_every_command_has_help(tmp_path: Path, command: str) -> None:
    finished = Workplace(tmp_path, {**os.environ, "COLUMNS": "100"}).affectflow(*command.split(), "--help")
    assert finished.code == 0
    assert "Usage" in finished.out
