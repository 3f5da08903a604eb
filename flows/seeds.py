"""Models that differ by their seed alone, told as mean and spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.cards import ModelCard
from tasks.report.summary import ScoreTable


def seed_groups(cards: Mapping[str, ModelCard]) -> list[list[str]]:
    """Ids of models with the same settings but for the seed, their CNN's included; groups of two and more."""
    found: dict[str, list[str]] = {}
    for card in cards.values():
        below = cards.get(card.features_model_id or "")
        told = [_without_seed(one) for one in (card, below) if one is not None]
        found.setdefault(json.dumps(told, sort_keys=True), []).append(card.model_id)
    return [sorted(group) for group in found.values() if len(group) > 1]


def over_seeds(table: ScoreTable, groups: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Of each group: mean and sample standard deviation over its models, by column and of the mean over raters."""
    rows = {row.model_id: row for row in table.rows}
    told = []
    for group in groups:
        members = [rows[name] for name in group if name in rows]
        if len(members) < 2:
            continue
        columns = dict(zip(table.raters, zip(*(row.values for row in members), strict=True), strict=True))
        spread = {name: _mean_and_spread(values) for name, values in columns.items()}
        told.append(
            {
                "protocol": table.protocol,
                "partition": table.partition,
                "pooling": table.pooling,
                "metric": table.metric,
                "label": members[0].label,
                "model_ids": [row.model_id for row in members],
                "raters": spread,
                "mean": _mean_and_spread([row.mean for row in members]),
            }
        )
    return told


def _without_seed(card: ModelCard) -> dict[str, Any]:
    kept = {name: value for name, value in card.settings.items() if name != "seed"}
    return {"input": card.input, "dimension": card.dimension, "is_control": card.is_control, "settings": kept}


def _mean_and_spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "spread": statistics.stdev(known) if len(known) > 1 else None,
        "seeds": len(known),
    }
