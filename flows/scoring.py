"""Which models a report compares, and under what names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from schemas.cards import ModelCard
from schemas.errors import LeakError, UnusableInputError
from schemas.evaluation import EvaluateSettings
from tasks.evaluation.leaks import left_out, unchecked
from tasks.evaluation.plan import HUMAN_ONE, HUMAN_REST, TRAINING_MEAN, TRAINING_MEAN_CURVE
from tasks.evaluation.protocol import describe
from tasks.ingest.recordings import read_recordings
from tasks.report.seeds import SEED
from tasks.report.summary import ReportRow
from tasks.store.cards import read_card, read_cards
from tasks.store.layout import Store


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What is scored and shown together. `rows` are in the order of the tables."""

    rows: tuple[ReportRow, ...]
    dimension: str
    protocol: str
    """In words, as it stands beside every score."""
    protocol_name: str

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Everything that needs metrics."""
        return tuple(row.model_id for row in self.rows)


def scoring_of(cards: Sequence[ModelCard], settings: EvaluateSettings) -> Scoring:
    """Models first, then what predicts without looking, then ceiling and controls.

    Args:
        cards: models with predictions.
        settings: protocol and ceiling.

    Raises:
        UnusableInputError: no model, or models of different dimensions.
    """
    dimensions = sorted({card.dimension for card in cards})
    if len(dimensions) != 1:
        raise UnusableInputError(
            f"expected models of one dimension to score, found {', '.join(dimensions) or 'no model with predictions'}; "
            "run train, features and predict first, or choose with --model"
        )
    real = [card for card in cards if not card.is_control]
    labels = _labels(cards)
    rows = [_row(card, labels) for card in _in_order(real)]
    rows += [
        ReportRow(TRAINING_MEAN, "training mean", "trivial"),
        ReportRow(TRAINING_MEAN_CURVE, "mean over time", "trivial"),
        ReportRow(HUMAN_ONE, "human: one other", "human"),
        ReportRow(HUMAN_REST, "human: others' mean", "human"),
    ]
    if settings.ceiling is not None:
        rows.append(ReportRow(settings.ceiling, settings.ceiling.replace("-", " "), "ceiling"))
    rows += [ReportRow(card.model_id, labels[card.model_id], "control") for card in _in_order(cards) if card.is_control]
    return Scoring(
        rows=tuple(rows),
        dimension=dimensions[0],
        protocol=describe(settings, cards),
        protocol_name=settings.protocol,
    )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The models to score. `left_out` would leak: by id, why; nobody asked for these by name.

    `unchecked`: in words, what cannot be told of models that learned from recordings which the store does not hold.
    """

    cards: tuple[ModelCard, ...]
    left_out: Mapping[str, str]
    unchecked: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report of these says of itself."""
        return (*(f"Left out of the scores: {why}" for why in self.left_out.values()), *self.unchecked)


def chosen_cards(store: Store, model_ids: Sequence[str], settings: EvaluateSettings) -> Chosen:
    """The models named, each RNN with its single-frame CNN; if none is, all with predictions that would not leak.

    Args:
        store: cards, predictions and recordings are read from it.
        model_ids: those asked for; what of these would leak the evaluation refuses.
        settings: the protocol.

    Raises:
        StoreError: there is no such model.
        LeakError: nothing is named, and every model with predictions would leak, or the protocol would.
    """
    known, recordings = read_cards(store), read_recordings(store)
    if model_ids:
        named = [read_card(store, model_id) for model_id in model_ids]
        below = [read_card(store, card.features_model_id) for card in named if card.features_model_id is not None]
        cards, out = list({card.model_id: card for card in (*named, *below)}.values()), {}
    else:
        cards = cards_with_predictions(store, known)
        out = left_out(recordings, cards, known, settings)
        if cards and len(out) == len(cards):
            raise LeakError(f"{store.root}: no model can be scored. {'. '.join(out.values())}")
        cards = [card for card in cards if card.model_id not in out]
    return Chosen(cards=tuple(cards), left_out=out, unchecked=unchecked(recordings, cards))


def cards_with_predictions(store: Store, cards: Sequence[ModelCard]) -> list[ModelCard]:
    """The cards whose models have predicted something in this store."""
    folder = store.root / "predictions"
    return [card for card in cards if any((folder / card.model_id).glob("*/part-*.parquet"))]


def _row(card: ModelCard, labels: Mapping[str, str]) -> ReportRow:
    return ReportRow(card.model_id, labels[card.model_id], "model" if card.input == "features" else "single-frame")


def _in_order(cards: Sequence[ModelCard]) -> list[ModelCard]:
    """CNN + RNN first; those that differ by their seed alone stand together, by seed."""
    return sorted(cards, key=lambda card: (card.input != "features", card.name, _seed(card), card.model_id))


def _labels(cards: Sequence[ModelCard]) -> dict[str, str]:
    """A label of its own for each model: its kind, or its name where several are of a kind, then its seed, its hash."""
    labels = {card.model_id: _kind(card) for card in cards}
    for kind in set(labels.values()):
        several = [card for card in cards if labels[card.model_id] == kind]
        if len({card.name for card in several}) > 1:
            labels |= {card.model_id: f"control: {card.name}" if card.is_control else card.name for card in several}
    endings: tuple[Callable[[ModelCard], str], ...] = (
        lambda card: f"{SEED}{_seed(card)}",
        lambda card: f" ({card.model_id.rpartition('-')[2]})",
    )
    for ending in endings:
        alike: dict[str, list[ModelCard]] = {}
        for card in cards:
            alike.setdefault(labels[card.model_id], []).append(card)
        for several in alike.values():
            if len({ending(card) for card in several}) > 1:
                labels |= {card.model_id: labels[card.model_id] + ending(card) for card in several}
    return labels


def _seed(card: ModelCard) -> int:
    return int(card.settings.get("seed", 0))


def _kind(card: ModelCard) -> str:
    if card.is_control:
        return "control: CNN + RNN" if card.input == "features" else "control: CNN"
    return "CNN + RNN" if card.input == "features" else "single-frame CNN"
