"""Labels of the rows of a report: a kind where that is enough, and never the same for two models."""

from __future__ import annotations

from typing import Literal

import pytest

from flows.scoring import scoring_of
from schemas.cards import ModelCard
from schemas.settings import EvaluateSettings


def card(name: str, number: int, *, seed: int = 0, reads: str | None = None, control: bool = False) -> ModelCard:
    kind: Literal["chips", "features"] = "chips" if reads is None else "features"
    return ModelCard(
        model_id=f"{name}-{number:08x}",
        name=name,
        input=kind,
        stage_key="k",
        weights_sha256="0" * 64,
        num_parameters=1,
        dimension="valence",
        raters=("A",),
        features_model_id=reads,
        is_control=control,
        train_recordings=(),
        dev_recordings=(),
        selected_on="dev",
        best_epoch=0,
        dev_ccc=0.1,
        history=(),
        settings={"seed": seed, "label_delay_seconds": 0.0},
        code_version="0",
        torch_version="2",
        device="cpu",
        provenance={},
    )


CNN = card("cnn", 1)
RNN = card("rnn", 2, reads=CNN.model_id)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ([CNN, RNN], ["CNN + RNN", "single-frame CNN"]),
        (
            [CNN, card("rnn", 4, seed=1, reads=CNN.model_id), RNN],
            ["CNN + RNN, seed 0", "CNN + RNN, seed 1", "single-frame CNN"],
        ),
        (
            [CNN, RNN, card("late", 3, reads=CNN.model_id), card("rnn", 4, seed=1, reads=CNN.model_id)],
            ["late", "rnn, seed 0", "rnn, seed 1", "single-frame CNN"],
        ),
        ([CNN, card("cnn", 5)], ["single-frame CNN (00000001)", "single-frame CNN (00000005)"]),
    ],
)
def test_every_model_has_a_label_of_its_own(cards: list[ModelCard], expected: list[str]) -> None:
    rows = scoring_of(cards, EvaluateSettings()).rows
    assert [row.label for row in rows if row.role in ("model", "single-frame")] == expected
    assert len({row.label for row in rows}) == len(rows)


def test_controls_are_called_so() -> None:
    controls = [card("cnn-control", 6, control=True), card("other-control", 7, control=True)]
    labels = [row.label for row in scoring_of([CNN, *controls], EvaluateSettings()).rows if row.role == "control"]
    assert labels == ["control: cnn-control", "control: other-control"]
