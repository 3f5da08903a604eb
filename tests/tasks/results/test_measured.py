"""Figures from model cards: which network they belong to, runs averaged, what chose the epoch marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.cards import ExpressionCard, ExpressionScore, ModelCard
from schemas.errors import StoreError
from tasks.expression.plan import ExpressionStore
from tasks.results.measured import expression_results, measured_in, valence_results
from tasks.store.cards import CARD_FILE
from tasks.store.layout import Store

from ..conftest import dataset_card


def expression_card(seed: int, accuracies: dict[str, float], **changes: Any) -> ExpressionCard:
    scores = [
        ExpressionScore(
            split=split, subset="all", n=10, accuracy=accuracy, mean_recall=0.5, loss=1.0, ece=0.1, confusion=()
        )
        for split, accuracy in accuracies.items()
    ]
    facts: dict[str, Any] = {
        "model_id": f"deep-paper-0000000{seed}",
        "name": "deep-paper",
        "stage_key": "",
        "weights_sha256": "",
        "network": "deep",
        "network_options": {},
        "num_parameters": 4_474_759,
        "input_size": 48,
        "channels": 1,
        "classes": ("angry", "happy"),
        "seed": seed,
        "best_epoch": 0,
        "history": (),
        "scores": scores,
        "dataset": dataset_card(),
        "licence": "",
        "settings": {"seeds": [seed], "learning_rate": 0.001},
        "code_version": "",
        "torch_version": "",
        "device": "cpu",
    }
    return ExpressionCard(**{**facts, **changes})


def test_runs_that_differ_in_their_seed_are_averaged() -> None:
    cards = [
        expression_card(0, {"choice": 0.60, "PublicTest": 0.62}),
        expression_card(1, {"choice": 0.64, "PublicTest": 0.60}),
        expression_card(2, {"choice": 0.50}, settings={"learning_rate": 0.1}, network_options={"dropout": 0.5}),
    ]
    found = {(one.split, one.runs): one for one in expression_results(cards)}
    assert set(found) == {("choice", 2), ("PublicTest", 2), ("choice", 1)}
    public = found["PublicTest", 2]
    assert (public.network, public.recipe, public.data) == ("deep", "deep-paper", "fer2013, 2 classes")
    assert public.value == pytest.approx(61.0)
    assert public.spread == pytest.approx(2**0.5)  # the sample's, as everywhere
    assert not public.selected
    assert found["choice", 2].value == pytest.approx(62.0)
    assert public.options == ""
    assert found["choice", 1].selected
    assert found["choice", 1].options == "dropout=0.5"


def model_card(network: dict[str, Any], *, kind: str = "chips", is_control: bool = False) -> ModelCard:
    facts: dict[str, Any] = {
        "model_id": "cnn-00000000",
        "name": "cnn",
        "input": kind,
        "stage_key": "",
        "weights_sha256": "",
        "num_parameters": 1,
        "dimension": "valence",
        "raters": ("FM1",),
        "features_model_id": None,
        "is_control": is_control,
        "train_recordings": ("P16", "P17"),
        "dev_recordings": ("P18",),
        "selected_on": "dev",
        "best_epoch": 0,
        "dev_ccc": 0.25,
        "history": (),
        "settings": {"network": network},
        "code_version": "",
        "torch_version": "",
        "device": "cpu",
        "provenance": {},
    }
    return ModelCard(**facts)


@pytest.mark.parametrize(
    ("kind", "network", "expected"),
    [
        ("chips", {"input_size": 96, "colour": "rgb", "widths": [64, 128, 256], "kernel_size": 5}, "khorrami-cnn"),
        ("chips", {"input_size": 96, "colour": "gray", "widths": [64, 128, 256]}, "khorrami-cnn-gray"),
        ("chips", {"input_size": 48, "colour": "gray", "widths": [8, 8, 16]}, None),
        ("chips", {"kernel_size": 3}, None),
        ("features", {"hidden_sizes": [100], "nonlinearity": "relu"}, "khorrami-rnn"),
        ("features", {"hidden_sizes": [100], "nonlinearity": "tanh"}, "khorrami-rnn-tanh"),
        ("features", {"hidden_sizes": [100, 100, 50], "nonlinearity": "relu"}, "khorrami-rnn-3-layers"),
        ("features", {"hidden_sizes": [100], "cell": "lstm"}, None),
        ("features", {"hidden_sizes": [100], "bidirectional": True}, None),
        ("features", {"hidden_sizes": [50]}, None),
    ],
)
def test_a_valence_model_is_the_registrys_or_none(kind: str, network: dict[str, Any], expected: str | None) -> None:
    found = valence_results([model_card(network, kind=kind), model_card(network, kind=kind, is_control=True)])
    assert [one.network for one in found] == ([expected] if expected else [])
    for one in found:
        assert (one.metric, one.value, one.split, one.selected) == ("ccc", 0.25, "dev", True)


def test_a_store_is_read_through_its_cards(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a store with models, found none"):
        measured_in(tmp_path)
    expression, valence = expression_card(0, {"choice": 0.5}), model_card({})
    for folder, card in (
        (ExpressionStore(tmp_path).model(expression.model_id), expression),
        (Store(tmp_path).model(valence.model_id), valence),
    ):
        folder.mkdir(parents=True)
        (folder / CARD_FILE).write_text(card.model_dump_json(), encoding="utf-8")
    assert [(one.network, one.value) for one in measured_in(tmp_path)] == [("deep", 50.0), ("khorrami-cnn", 0.25)]
