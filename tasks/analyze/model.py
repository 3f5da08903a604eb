"""The network that clips are analyzed with: the one that ships, or one of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.valence import VALENCE
from schemas.errors import UnusableInputError
from tasks.expression.plan import FinishedModel, read_expression_card
from tasks.expression.shipped import SHIPPED, shipped_folder, shipped_model, shipped_network

if TYPE_CHECKING:
    from models.blocks import FaceNetwork


def analysis_model(wanted: str) -> FinishedModel:
    """The model that is meant: the folder of one that `train-expression` left, or `shipped`.

    Raises:
        StoreError: there is no card, or it is damaged.
        UnusableInputError: it names a class that has no valence, or reads neither gray nor colour.
    """
    if wanted == SHIPPED:
        return shipped_model()
    model = FinishedModel(Path(wanted), read_expression_card(Path(wanted)))
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


def analysis_network(model: FinishedModel) -> FaceNetwork:
    """The model's network on the CPU, ready to evaluate. Raises StoreError if its weights are damaged."""
    from tasks.expression.networks import load_expression

    network, _ = shipped_network() if model.folder == shipped_folder() else load_expression(model.folder)
    return network
