"""Figures of the networks in a store, read from the model cards alone: no torch, no tables."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from schemas.cards import ExpressionCard, ModelCard
from schemas.errors import StoreError
from schemas.results import MeasuredResult
from tasks.expression.plan import ExpressionStore, read_expression_cards
from tasks.store.cards import read_cards
from tasks.store.layout import Store


def measured_in(root: Path) -> tuple[MeasuredResult, ...]:
    """Every figure of the networks of the store at `root`; runs of one recipe that differ in their seed are averaged.

    Raises:
        StoreError: no models there, or a card is damaged.
    """
    cards, expression_cards = read_cards(Store(root)), read_expression_cards(ExpressionStore(root))
    if not cards and not expression_cards:
        raise StoreError(f"{root}: expected a store with models, found none; train one, or name another store")
    return (*expression_results(expression_cards), *valence_results(cards))


def expression_results(cards: Iterable[ExpressionCard]) -> list[MeasuredResult]:
    """Accuracy by network, recipe, data, split and subset, over the seeds."""
    runs: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for card in cards:
        settings = repr(sorted((name, value) for name, value in card.settings.items() if name != "seeds"))
        options = ", ".join(f"{name}={value}" for name, value in sorted(card.network_options.items()))
        data = f"{card.dataset.name}, {len(card.classes)} classes"
        sha256 = repr(sorted(card.dataset.sha256.items()))
        for score in card.scores:
            chosen = score.split == card.selected_on
            key = (card.network, options, card.name, settings, sha256, data, score.split, score.subset, chosen)
            runs[key].append(100 * score.accuracy)
    return [
        MeasuredResult(
            network=network,
            options=options,
            recipe=recipe,
            data=data,
            split=split,
            subset=subset,
            metric="accuracy",
            value=statistics.fmean(values),
            spread=statistics.stdev(values) if len(values) > 1 else 0.0,
            runs=len(values),
            selected=chosen,
        )
        for (network, options, recipe, _, _, data, split, subset, chosen), values in runs.items()
    ]


def valence_results(cards: Iterable[ModelCard]) -> list[MeasuredResult]:
    """CCC on the development recordings, which chose the epoch, of the networks that the registry knows."""
    return [
        MeasuredResult(
            network=network,
            recipe=card.name,
            data=f"{len(card.train_recordings)} recordings",
            split=card.selected_on,
            metric="ccc",
            value=card.dev_ccc,
            runs=1,
            selected=True,
        )
        for card in cards
        if not card.is_control and (network := _registered(card)) is not None
    ]


def _registered(card: ModelCard) -> str | None:
    """The registry's name of the network in a card; None if its settings are another network's."""
    network: Mapping[str, Any] = card.settings["network"]
    if "name" in network:
        return None if network["options"] else str(network["name"])
    if card.input == "chips":
        size = (network.get("input_size", 96), network.get("kernel_size", 5), *network.get("widths", (64, 128, 256)))
        name = "khorrami-cnn" if network.get("colour", "rgb") == "rgb" else "khorrami-cnn-gray"
        return name if size == (96, 5, 64, 128, 256) else None
    if network.get("cell", "rnn") != "rnn" or network.get("bidirectional", False):
        return None
    layers = {
        ("relu", (100,)): "khorrami-rnn",
        ("tanh", (100,)): "khorrami-rnn-tanh",
        ("relu", (100, 100)): "khorrami-rnn-2-layers",
        ("relu", (100, 100, 50)): "khorrami-rnn-3-layers",
    }
    return layers.get((network.get("nonlinearity", "relu"), tuple(network.get("hidden_sizes", (100,)))))
