"""The expression network that ships in the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import models
from schemas.cards import ExpressionCard
from schemas.errors import StoreError
from tasks.expression.plan import FinishedModel, read_expression_card
from tasks.store.cards import read_weights

if TYPE_CHECKING:
    from models.blocks import FaceNetwork


SHIPPED = "shipped"
"""What its training is called, and what settings call it by."""


def shipped_folder() -> Path:
    """Folder of `model.safetensors` and `card.json`: `models/weights/expression` of a checkout or a wheel alike."""
    return Path(models.__file__).parent / "weights" / "expression"


def shipped_card() -> ExpressionCard:
    """The card alone, without torch. Raises StoreError if it is missing or damaged."""
    try:
        return read_expression_card(shipped_folder())
    except StoreError as error:
        raise StoreError(f"{shipped_folder()}: the weights that ship are not whole; install affectflow anew") from error


def shipped_model() -> FinishedModel:
    """Its folder and its card, without torch.

    Raises:
        StoreError: weights or card are missing or damaged, or the weights are not those that the card names by hash.
    """
    folder = shipped_folder()
    try:
        model = FinishedModel(folder, read_expression_card(folder))
        read_weights(folder, model.card.weights_sha256)
    except StoreError as error:
        raise StoreError(f"{folder}: the weights that ship are not whole ({error}); install affectflow anew") from error
    return model


def shipped_network() -> tuple[FaceNetwork, ExpressionCard]:
    """The network on the CPU in float32, ready to evaluate, and its card. Raises StoreError as `shipped_model` does."""
    from tasks.expression.networks import load_expression

    return load_expression(shipped_model().folder)
