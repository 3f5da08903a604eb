"""Models that differ by their seed alone, told as mean and spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.cards import ModelCard
from tasks.report.summary import Role, ScoreTable

SEED = ", seed "
"""Stands before the seed in the label of a model that has siblings."""

SeedGroup = tuple[str, ...]
"""Ids of models with the same settings but for the seed."""


@dataclass(frozen=True)
class MeanAndSpread:
    """Mean and sample standard deviation over `seeds` models; None where none, or fewer than two, have a value."""

    mean: float | None
    spread: float | None
    seeds: int


@dataclass(frozen=True)
class SeedRow:
    """One group of models under one score table: a figure for each of its columns, and of the mean over raters."""

    label: str
    role: Role
    model_ids: SeedGroup
    columns: tuple[MeanAndSpread, ...]
    mean: MeanAndSpread


def seed_groups(cards: Sequence[ModelCard]) -> tuple[SeedGroup, ...]:
    """Groups of two models and more that differ by the seed alone, or by that of the CNN whose features they read."""
    by_id = {card.model_id: card for card in cards}
    found: dict[str, list[str]] = {}
    for card in cards:
        below = by_id.get(card.features_model_id or "")
        told = [_without_seed(one) for one in (card, below) if one is not None]
        found.setdefault(json.dumps(told, sort_keys=True), []).append(card.model_id)
    return tuple(tuple(sorted(group)) for group in found.values() if len(group) > 1)


def over_seeds(table: ScoreTable, groups: Sequence[SeedGroup]) -> tuple[SeedRow, ...]:
    """Of each group that has two rows or more in the table: its figures over these rows."""
    rows = {row.model_id: row for row in table.rows}
    told = []
    for group in groups:
        members = [rows[name] for name in group if name in rows]
        if len(members) < 2:
            continue
        columns = tuple(_mean_and_spread(values) for values in zip(*(row.values for row in members), strict=True))
        mean = _mean_and_spread([row.mean for row in members])
        label = f"{members[0].label.partition(SEED)[0]}, {len(members)} seeds"
        told.append(SeedRow(label, members[0].role, tuple(row.model_id for row in members), columns, mean))
    return tuple(told)


def _without_seed(card: ModelCard) -> dict[str, Any]:
    kept = {name: value for name, value in card.settings.items() if name != "seed"}
    return {"input": card.input, "dimension": card.dimension, "is_control": card.is_control, "settings": kept}


def _mean_and_spread(values: Sequence[float | None]) -> MeanAndSpread:
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else None
    return MeanAndSpread(mean, statistics.stdev(known) if len(known) > 1 else None, len(known))
