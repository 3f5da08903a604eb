"""Models that differ by their seed alone, as mean and spread."""

from __future__ import annotations

import statistics
from typing import Any

from schemas.cards import ModelCard
from tasks.report.seeds import MeanAndSpread, over_seeds, seed_groups
from tasks.report.summary import Score, ScoreRow, ScoreTable
from tasks.report.words import show, verdict


def card(model_id: str, *, features: str | None = None, **settings: Any) -> ModelCard:
    return ModelCard(
        model_id=model_id,
        name=model_id[:3],
        input="chips" if features is None else "features",
        stage_key="k",
        weights_sha256="0" * 64,
        num_parameters=1,
        dimension="valence",
        raters=("A", "B"),
        features_model_id=features,
        is_control=False,
        train_recordings=("P1",),
        dev_recordings=("P2",),
        selected_on="dev",
        best_epoch=0,
        dev_ccc=0.1,
        history=(),
        settings=settings,
        code_version="0",
        torch_version="2",
        device="cpu",
        provenance={},
    )


def test_groups_differ_by_seed_alone() -> None:
    cards = [
        card("cnn-1", seed=0, rate=0.1),
        card("cnn-2", seed=1, rate=0.1),
        card("cnn-3", seed=0, rate=0.2),
        card("rnn-1", features="cnn-1", seed=0),
        card("rnn-2", features="cnn-2", seed=1),
        card("rnn-3", features="cnn-3", seed=2),  # its CNN learned at another rate
    ]
    assert seed_groups(cards) == (("cnn-1", "cnn-2"), ("rnn-1", "rnn-2"))


def _table() -> ScoreTable:
    rows = [
        ScoreRow(f"CNN, seed {name}", name, "model", (Score(first), Score(second)), mean)
        for name, first, second, mean in (("a", 0.1, 0.4, 0.25), ("b", 0.3, None, 0.3), ("c", 0.9, 0.9, 0.9))
    ]
    return ScoreTable("ccc", "test", "concatenated", "valence", "default", 3, ("A", "B"), tuple(rows))


def test_mean_and_spread_by_column() -> None:
    (told,) = over_seeds(_table(), [("a", "b"), ("c", "absent")])
    assert (told.label, told.role, told.model_ids) == ("CNN, 2 seeds", "model", ("a", "b"))
    assert told.columns == (MeanAndSpread(0.2, statistics.stdev([0.1, 0.3]), 2), MeanAndSpread(0.4, None, 1))
    assert told.mean.mean == statistics.fmean([0.25, 0.3])


def test_seeds_stand_below_the_table_and_in_the_verdict() -> None:
    shown = show(_table(), protocol="default", corpus_note="", groups=[("a", "b")])
    (row,) = shown.seed_rows
    assert [(cell.text, cell.interval) for cell in row.cells] == [
        ("0.200", "\N{PLUS-MINUS SIGN} 0.141"),
        ("0.400", ""),
        ("0.275", "\N{PLUS-MINUS SIGN} 0.035"),
    ]
    assert any("differ by their seed alone" in note for note in shown.footnotes)
    assert "Trained from 2 seeds it comes to 0.275 \N{PLUS-MINUS SIGN} 0.035" in verdict(
        _table(), corpus_note="", groups=[("a", "b")]
    )
    assert show(_table(), protocol="default", corpus_note="").seed_rows == ()
