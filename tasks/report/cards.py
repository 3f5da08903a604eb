"""What a model's card says, whatever its shape: a few facts for a table, and every setting for the reader who asks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import StoreError
from tasks.evaluation.plan import metrics_path
from tasks.report.summary import ReportRow
from tasks.store.layout import VALENCE, Store
from tasks.store.parts import read_provenance

_FACTS = {
    "Name": ("name",),
    "Weights' hash": ("weights_sha256", "model_hash", "weights_hash"),
    "Stage key": ("stage_key",),
    "Seed": ("seeds", "seed"),
    "Epochs": ("trained_epochs", "num_epochs", "history", "epochs"),
    "Kept": ("best_epoch",),
    "Selected on": ("selected_on",),
    "Raters": ("raters",),
    "Trained on": ("train_recordings", "trained_on", "data"),
}
_LONGEST_LIST = 64
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class Card:
    """One row of the table of models."""

    row: ReportRow
    facts: Mapping[str, str]
    """Found under the names of `FACT_NAMES`; a fact that the card lacks is not there."""
    settings: tuple[tuple[str, str], ...]
    """Everything in the card, as (dotted name, text); empty without a card."""
    provenance: tuple[tuple[str, str], ...]
    """The card's own `provenance`."""
    metrics_key: str
    """Stage key of the metrics; "" if they carry none."""


FACT_NAMES = tuple(_FACTS)
HASH_NAMES = frozenset({"Weights' hash", "Stage key"})


def read_shown_card(store: Store, row: ReportRow, protocol: str, dimension: str = VALENCE) -> Card:
    """Read `S/models/<model_id>/card.json`; a row without one (a trivial predictor) has no facts.

    Raises:
        StoreError: the card is not a JSON object.
    """
    path = store.model(row.model_id) / "card.json"
    card: Any = {}
    if path.exists():
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{path}: expected JSON ({error}); train the model again") from error
        if not isinstance(card, dict):
            raise StoreError(f"{path}: expected a JSON object, found {type(card).__name__}; train the model again")
    stated = card.get("provenance")
    provenance = [(str(name), _text(value)) for name, value in stated.items()] if isinstance(stated, dict) else []
    provenance += _chain(store, row.model_id, protocol)
    scored = read_provenance(metrics_path(store, row.model_id, protocol, dimension)) or {}
    facts = {name: _fact(value) for name, keys in _FACTS.items() if (value := _find(card, keys)) is not None}
    return Card(row, facts, tuple(_flatten(card)), tuple(provenance), scored.get("stage_key", ""))


def _chain(store: Store, model_id: str, protocol: str) -> Iterator[tuple[str, str]]:
    """The post-processing that the evaluation fitted and stored: its hash, and what was kept of each column."""
    from tasks.evaluation.chain import read_chain

    found = read_chain(store, model_id, protocol)
    if found is None:
        return
    yield "post-processing sha256", found.sha256
    yield "post-processing fitted on", f"{found.fitted_on}: {', '.join(found.recordings)}"
    for column, chain in found.columns.items():
        kept = [f"{step.name} {step.value:.4g}" for step in chain.steps if step.kept]
        yield f"post-processing of {column}", ", ".join(kept) or "no step helped: none kept"


def _find(card: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """The first of `keys` found, the shallowest occurrence first."""
    level: list[Mapping[str, Any]] = [card]
    while level:
        for key in keys:
            for mapping in level:
                if mapping.get(key) not in (None, "", [], {}):
                    return mapping[key]
        level = [value for mapping in level for value in mapping.values() if isinstance(value, dict)]
    return None


def _flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from _flatten(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(inner)


def _fact(value: Any) -> str:
    """A history of epochs is told by its length, anything else as it is."""
    return str(len(value)) if isinstance(value, list) and isinstance(value[0], dict) else _text(value)


def _text(value: Any) -> str:
    """One line for any JSON value; long lists are counted, long texts cut."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        text = "; ".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    elif isinstance(value, list):
        plain = len(value) <= _LONGEST_LIST and not any(isinstance(item, dict | list) for item in value)
        text = ", ".join(_text(item) for item in value) if plain else f"{len(value)} entries"
    else:
        text = str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."
