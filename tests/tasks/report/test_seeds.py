"""Models that differ by their seed alone, as mean and spread."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest

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


def changed(one: ModelCard, model_id: str, *, delay: float | dict[str, float] = 0.0, **said: Any) -> ModelCard:
    settings = {**one.settings, "label_delay_seconds": delay}
    return one.model_copy(update={"model_id": model_id, "settings": settings, **said})


@pytest.mark.parametrize(
    "said",
    [
        {"train_recordings": ("P1", "P3")},
        {"provenance": {"P1": "train:frames-2:ratings-1"}},
        {"provenance": {"P1": "train:frames-1:ratings-2"}},
        {"delay_how": "given"},
        {"raters": ("A",)},
    ],
)
def test_what_learned_from_something_else_is_no_seed(said: dict[str, Any]) -> None:
    """An old and a new generation, with the same seed and with another: never seeds of one training."""
    one = changed(card("cnn-1", seed=0), "cnn-1", provenance={"P1": "train:frames-1:ratings-1"}, delay_how="searched")
    two = one.model_copy(update={"model_id": "cnn-2", "settings": {**one.settings, "seed": 1}})
    assert seed_groups([one, two]) == (("cnn-1", "cnn-2"),)
    old = [each.model_copy(update={**said, "model_id": f"{each.model_id}-old"}) for each in (one, two)]
    assert seed_groups([one, two, old[0]]) == (("cnn-1", "cnn-2"),)
    assert seed_groups([one, old[0]]) == seed_groups([one, old[1]]) == ()
    assert seed_groups([one, two, *old]) == (("cnn-1", "cnn-2"), ("cnn-1-old", "cnn-2-old"))


def test_a_seed_that_comes_twice_is_no_spread() -> None:
    one, again, two = card("cnn-1", seed=0), card("cnn-2", seed=0), card("cnn-3", seed=1)
    assert seed_groups([one, again]) == seed_groups([one, again, two]) == ()


def test_found_delays_do_not_part_seeds() -> None:
    """They are part of what the seed came to; delays that were set are settings."""
    one, two = card("cnn-1", seed=0), card("cnn-2", seed=1)
    told = [changed(one, "cnn-1", delay={"A": 0.4, "B": 2.0}), changed(two, "cnn-2", delay={"A": 0.8, "B": 1.6})]
    searched = [each.model_copy(update={"delay_how": "searched"}) for each in told]
    assert seed_groups(searched) == (("cnn-1", "cnn-2"),)
    assert seed_groups([each.model_copy(update={"delay_how": "given"}) for each in told]) == ()
    assert seed_groups(told) == ()  # cards that do not say


def test_features_are_compared_by_the_cnn_that_gave_them() -> None:
    """Their keys hold the CNN's weights, hence its seed: its own inputs count; one CNN's features must not change."""
    cnns = [
        card(f"cnn-{seed}", seed=seed).model_copy(update={"provenance": {"P1": "train:frames:ratings"}})
        for seed in (0, 1)
    ]

    def rnn(model_id: str, cnn: int, seed: int, features: str) -> ModelCard:
        provenance = {"P1": f"train:{features}:ratings"}
        return card(model_id, features=f"cnn-{cnn}", seed=seed).model_copy(update={"provenance": provenance})

    rnns = [rnn("rnn-a", 0, 0, "of-cnn-0"), rnn("rnn-b", 0, 1, "of-cnn-0"), rnn("rnn-c", 1, 0, "of-cnn-1")]
    assert seed_groups([*cnns, *rnns]) == (("cnn-0", "cnn-1"), ("rnn-a", "rnn-b", "rnn-c"))
    again = rnn("rnn-d", 0, 2, "of-cnn-0-again")
    assert seed_groups([*cnns, *rnns, again]) == (("cnn-0", "cnn-1"), ("rnn-a", "rnn-b"))
    later = cnns[1].model_copy(update={"provenance": {"P1": "train:frames-2:ratings"}})
    assert seed_groups([cnns[0], later, *rnns]) == (("rnn-a", "rnn-b"),)


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


def test_two_groups_of_one_label_have_their_ids() -> None:
    table = _table()
    rows = (*table.rows, *(replace(row, model_id=f"old-{row.model_id}x") for row in table.rows))
    told = over_seeds(replace(table, rows=rows), [("a", "b"), ("old-ax", "old-bx"), ("a", "b", "c")])
    assert [one.label for one in told] == ["CNN, 2 seeds (a, b)", "CNN, 2 seeds (ax, bx)", "CNN, 3 seeds"]


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
