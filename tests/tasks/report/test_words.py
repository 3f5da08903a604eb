"""The verdict, footnotes and cards."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from schemas.errors import StoreError
from tasks.report.cards import read_shown_card
from tasks.report.summary import Role, Score, ScoreRow, ScoreTable
from tasks.report.words import Cell, number, protocol_line, show, verdict

from .conftest import ROWS, Build

DASH = "\N{EN DASH}"


def table(*rows: tuple[str, Role, tuple[float | None, ...]]) -> ScoreTable:
    built = []
    for label, role, values in rows:
        defined = [value for value in values if value is not None]
        mean = sum(defined) / len(defined) if defined else None
        built.append(ScoreRow(label, label, role, tuple(Score(value) for value in values), mean))
    return ScoreTable("ccc", "test", "concatenated", "valence", "per-rater", 3, ("A", "B"), tuple(built))


def test_verdict_beats() -> None:
    told = verdict(table(("RNN", "model", (0.4, 0.2)), ("mean", "trivial", (0.0, 0.1))), corpus_note="")
    assert told == (
        "On the test partition, RNN reaches a mean CCC of 0.300 over 2 raters (recordings concatenated); "
        "the best trivial predictor (mean) reaches 0.050."
    )


@pytest.mark.parametrize("values", [(0.1, 0.0), (0.0502, 0.0502)])
def test_verdict_does_not_beat_by_less_than_what_is_printed(values: tuple[float, float]) -> None:
    told = verdict(table(("RNN", "model", values), ("mean", "trivial", (0.0502, 0.0501))), corpus_note="")
    assert "does not beat the best trivial predictor (mean), which reaches 0.050." in told


def test_verdict_says_when_nothing_is_clear_and_what_does_better() -> None:
    rows = table(("RNN", "model", (0.4, 0.2)), ("mean", "trivial", (0.2, 0.2)), ("CNN", "single-frame", (0.5, 0.3)))
    first = replace(rows.rows[0], summary=Score(0.3, low=0.1, high=0.5))
    told = verdict(replace(rows, rows=(first, *rows.rows[1:])), corpus_note="")
    assert "a mean CCC of 0.300 [0.100, 0.500] over 2 raters" in told
    assert "(mean) reaches 0.200, which its interval includes: no clear difference." in told
    assert told.endswith("The CNN alone does better: 0.400.")


def test_verdict_without_anything_to_compare() -> None:
    assert "it is open whether" in verdict(table(("RNN", "model", (0.4, 0.2))), corpus_note="")
    assert "no defined CCC" in verdict(table(("RNN", "model", (None, None))), corpus_note="")
    assert "of a synthetic corpus" in verdict(table(("RNN", "model", (0.4, 0.2))), corpus_note="Synthetic: yes")


def test_numbers_have_a_real_minus_and_no_negative_zero() -> None:
    assert [number(value) for value in (-0.25, -0.0004, None, 1.0)] == ["\N{MINUS SIGN}0.250", "0.000", DASH, "1.000"]


def test_protocol_names_itself_once() -> None:
    assert protocol_line("per-rater", "per-rater, no delay") == "per-rater, no delay"
    assert protocol_line("avec2018", "no delay") == "avec2018: no delay"
    assert protocol_line("avec2018", "") == "avec2018"


def test_footnotes_explain_exactly_what_is_there() -> None:
    shown = show(
        table(("RNN", "model", (0.4, None)), ("mean", "trivial", (0.0, 0.1)), ("top", "ceiling", (0.9, 0.9))),
        protocol="p",
        corpus_note="",
    )
    assert shown.rows[0].cells == (Cell("0.400", is_best=True), Cell(DASH), Cell("0.400", "*"))
    assert not any(cell.is_best for cell in shown.rows[2].cells)
    assert [note.split()[0] for note in shown.footnotes] == ["Bold:", DASH, "*"]
    assert "0/0" in shown.footnotes[1]
    plain = show(table(("RNN", "model", (0.4, 0.3))), protocol="p", corpus_note="")
    assert plain.footnotes == ()


def test_a_card_of_any_shape_is_read(build: Build) -> None:
    fake = build()
    card = read_shown_card(fake.store, ROWS[0], "per-rater")
    assert card.facts["Seed"] == "0"
    assert card.facts["Raters"] == "FM1, FM2, FM3, FF1, FF2, FF3"
    assert (card.facts["Epochs"], card.facts["Kept"]) == ("12", "9")
    assert card.facts["Trained on"] == "P1, P2"
    assert ("history", "12 entries") in card.settings
    assert ("torch", "2.11.0") in card.provenance
    assert card.metrics_key == "evaluate-key"
    assert read_shown_card(fake.store, ROWS[2], "per-rater").facts == {}
    path = fake.store.model(ROWS[0].model_id) / "card.json"
    path.write_text(json.dumps({"provenance": "none", "x": None, "deep": {"seed": 3.5, "on": True}}), encoding="utf-8")
    odd = read_shown_card(fake.store, ROWS[0], "per-rater")
    assert (dict(odd.facts), odd.provenance) == ({"Seed": "3.5"}, ())
    assert ("deep.on", "yes") in odd.settings


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_card_that_is_no_object_is_an_error(build: Build, text: str) -> None:
    fake = build()
    path = fake.store.model(ROWS[0].model_id) / "card.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"card\.json: expected"):
        read_shown_card(fake.store, ROWS[0], "per-rater")
