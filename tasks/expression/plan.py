"""Where expression models lie in a store, and whether one trained on exactly this exists already. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from schemas.cards import ExpressionCard
from schemas.errors import StoreError
from schemas.expressions import ExpressionTraining
from tasks.expression.faces import LabelledFaces
from tasks.store.cards import CARD_FILE
from tasks.store.parts import stage_key

STAGE_VERSION = 1


@dataclass(frozen=True)
class ExpressionStore:
    """The part of a store that holds expression networks, below `root`."""

    root: Path

    @property
    def faces(self) -> Path:
        """Sets of faces as training reads them; made anew when missing."""
        return self.root / "expression" / "faces"

    @property
    def models(self) -> Path:
        """A folder for each model: `model.safetensors`, `card.json`, `predictions-SPLIT.parquet`, `checkpoints/`."""
        return self.root / "expression" / "models"

    def model(self, model_id: str) -> Path:
        return self.models / model_id

    def work(self, key: str) -> Path:
        """Of a training under way."""
        return self.models / f".training-{key}"

    def scoring(self, scoring_id: str) -> Path:
        """Of a finished model on a set of faces: `scoring.json` and `predictions-SPLIT.parquet`."""
        return self.root / "expression" / "scores" / scoring_id

    def report(self, run_id: str) -> Path:
        return self.root / "reports" / f"expression-{run_id}.html"


@dataclass(frozen=True)
class FinishedModel:
    """An expression model on disk: the folder of its weights, and its card."""

    folder: Path
    card: ExpressionCard


def predictions_path(folder: Path, split: str) -> Path:
    """Predictions of a model on one split."""
    return folder / f"predictions-{split}.parquet"


def read_expression_card(folder: Path) -> ExpressionCard:
    """The card of a model folder. Raises StoreError if there is none, it is damaged, or a valence model's."""
    path = folder / CARD_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: no such model ({error}); train one with affectflow train-expression") from error
    try:
        return ExpressionCard.model_validate_json(text)
    except ValidationError as error:
        if (found := _kind(text)) in ("chips", "features"):
            raise StoreError(
                f"{path}: expected the card of an expression network, found a valence model's (input {found}); name "
                "one that train-expression left"
            ) from error
        raise StoreError(
            f"{path}: expected the card of an expression network ({error}); train the model again"
        ) from error


def _kind(text: str) -> object:
    """What the model of a card reads; None where that cannot be told."""
    try:
        card = json.loads(text)
    except ValueError:
        return None
    return card.get("input") if isinstance(card, dict) else None


def read_expression_cards(store: ExpressionStore) -> list[ExpressionCard]:
    """Cards of all finished expression models, by id."""
    return [read_expression_card(path.parent) for path in sorted(store.models.glob("[!.]*/" + CARD_FILE))]


def training_key(settings: ExpressionTraining, faces: LabelledFaces, seed: int, start_sha256: str | None = None) -> str:
    """Stage key of one run: the settings, the data's hashes, the seed, the weights it starts from."""
    start = [] if start_sha256 is None else [f"start={start_sha256}"]
    read = [json.dumps(faces.sha256, sort_keys=True), str(faces.pictures.shape[1:]), *start]
    return stage_key("train-expression", STAGE_VERSION, {**settings.keyed(), "seed": seed}, read)


def find_model(store: ExpressionStore, key: str) -> ExpressionCard | None:
    """The model trained under `key`, if there is one."""
    return next((card for card in read_expression_cards(store) if card.stage_key == key), None)
