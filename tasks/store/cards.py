"""Model folders: `model.safetensors` and `card.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from schemas.cards import ModelCard
from schemas.errors import StoreError
from tasks.store.layout import Store

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"


def read_weights(folder: Path, sha256: str) -> bytes:
    """A model's weights, a safetensors file. Raises StoreError if they are gone, or not those that the card names."""
    path = folder / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error}); train the model again") from error
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise StoreError(f"{path}: sha256 {found[:8]}, expected {sha256[:8]}; train the model again")
    return data


def read_card(store: Store, model_id: str) -> ModelCard:
    """The card of one model.

    Raises:
        StoreError: there is no such model, or its card is damaged; the message lists the models there are.
    """
    path = store.model(model_id) / CARD_FILE
    try:
        return ModelCard.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        known = ", ".join(card.model_id for card in read_cards(store)) or "none"
        raise StoreError(f"{path}: no such model; models in this store: {known}") from error
    except ValidationError as error:
        raise StoreError(f"{path}: damaged card ({error}); delete the folder and train again") from error


def read_cards(store: Store) -> list[ModelCard]:
    """Cards of all finished models, by id. Trainings under way have a leading dot and are left out."""
    folders = sorted(path.parent for path in store.models.glob("[!.]*/" + CARD_FILE))
    return [read_card(store, folder.name) for folder in folders]
