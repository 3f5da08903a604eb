"""The network that clips are analyzed with: the one that ships, or one of the user's."""

from __future__ import annotations

from pathlib import Path

from models.valence import VALENCE
from schemas.errors import UnusableInputError
from tasks.expression.plan import FinishedModel, read_expression_card
from tasks.expression.shipped import SHIPPED, shipped_model
from tasks.store.cards import CARD_FILE, read_weights


def analysis_model(wanted: str) -> FinishedModel:
    """The model that is meant: the folder of one that `train-expression` left, or `shipped`.

    Raises:
        UnusableInputError: it is no such folder, names a class that has no valence, or reads neither gray nor colour.
        StoreError: its card or its weights are damaged.
    """
    if wanted == SHIPPED:
        return shipped_model()
    folder = Path(wanted)
    if not (folder / CARD_FILE).exists():
        raise UnusableInputError(
            f"{wanted}: expected {SHIPPED}, or the folder of an expression model that train-expression left "
            f"(S/expression/models/ID), found no {CARD_FILE} there"
        )
    model = FinishedModel(folder, read_expression_card(folder))
    read_weights(folder, model.card.weights_sha256)  # damage is told before the work
    without = [name for name in model.card.classes if name not in VALENCE]
    if without:
        raise UnusableInputError(
            f"{wanted}: expected classes that have a valence ({', '.join(VALENCE)}), found {', '.join(without)} too; "
            "train without them (classes), or merge them into others (merge)"
        )
    if model.card.channels not in (1, 3):
        raise UnusableInputError(
            f"{wanted}: expected a network that reads 1 channel or 3, found {model.card.channels}; train one that does"
        )
    return model
