"""`affectflow sweep` on a tiny SYNTHETIC corpus: killed, taken up again, and then nothing left to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from tasks.demo.corpus import make_corpus

from .test_cli import CNN, PRESET, RNN, Workplace

SWEEP = """
title = "A paper, table 3"
preset = "tiny.toml"
protocol = "another corpus"
contradictions = ["it says so"]

[[row]]
label = "CNN"
model = "cnn"
published = { ccc = 0.29 }

[[row]]
label = "W = 4"
model = "rnn"
rnn = { network = { window = 4 } }
published = { ccc = 0.4 }

[[row]]
label = "W = 8"
model = "rnn"
rnn = { network = { window = 8 } }
published = { ccc = 0.5 }

[[row]]
label = "transfer"
model = "cnn"
cnn = { start_from = "p-small-four", network = { name = "poster-small" } }
"""
ARGUMENTS = ("sweep", "table3.toml", "--store", "store", "--json")


@pytest.mark.server
@pytest.mark.slow
def test_a_killed_sweep_goes_on_and_ends(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("prefect_server")
    work = Workplace(tmp_path, dict(server.environment))
    presets = {"tiny-cnn": CNN, "tiny-rnn": RNN, "tiny": PRESET.format(no_face="context"), "table3": SWEEP}
    for name, text in presets.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    make_corpus(tmp_path / "made", duration_seconds=2.0, recordings=("P16", "P19", "P48"))
    table = work.store / "sweeps" / "table3" / "table.parquet"
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *ARGUMENTS, "--corpus", "made/corpus"],
            cwd=tmp_path,
            env=work.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        deadline = time.monotonic() + 200
        while not table.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, log.read_text(encoding="utf-8")
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    before = {card["row"]: card["missing"] for card in pl.read_parquet(table).to_dicts()}
    assert before["W = 8"] == "not run yet"
    trained = {path.parent.name: path.stat().st_mtime_ns for path in work.store.glob("models/[!.]*/card.json")}
    assert trained

    finished = work.affectflow(*ARGUMENTS)
    assert finished.code == 0, finished.err
    told = json.loads(finished.out)
    assert list(told["missing"]) == ["transfer"]
    assert "p-small-four" in told["missing"]["transfer"]
    cards = {path.parent.name: path.stat().st_mtime_ns for path in work.store.glob("models/[!.]*/card.json")}
    assert {name: cards[name] for name in trained} == trained
    assert sorted(name.rpartition("-")[0] for name in cards) == ["tiny-cnn", "tiny-rnn", "tiny-rnn"]
    frame = pl.read_parquet(table)
    assert set(frame["corpus_note"]) != {""}
    assert "SYNTHETIC" in frame["corpus_note"][0].upper()
    scored = frame.filter(pl.col("measured").is_not_null() & pl.col("rater").is_null())
    assert {"CNN", "W = 4", "W = 8"} <= set(scored["row"])
    assert "SYNTHETIC" in (table.parent / "table.md").read_text(encoding="utf-8").upper()

    (tmp_path / "table3.toml").write_text(SWEEP.rpartition("[[row]]")[0], encoding="utf-8")
    again = work.affectflow("sweep", "table3.toml", "--store", "store")
    assert again.code == 0, again.err
    assert "nothing to do" in again.out
    assert "3 of 3 rows measured" in again.out


def test_a_sweep_needs_a_store_and_a_name(tmp_path: Path) -> None:
    work = Workplace(tmp_path, dict(os.environ))
    nothing = work.affectflow("sweep", "K-table3", "--store", "store")
    assert (nothing.code, "no store there" in nothing.err) == (2, True)
    made = make_corpus(tmp_path / "made", duration_seconds=1.0, recordings=("P16",))
    unknown = work.affectflow("sweep", "K-table9", "--store", "store", "--corpus", str(made.root))
    assert unknown.code == 2
    assert "no such sweep" in unknown.err
