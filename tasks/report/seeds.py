"""Models that differ by their seed alone, told as mean and spread."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.cards import ModelCard
from tasks.report.summary import Role, ScoreTable

SEED = ", seed "
"""Stands before the seed in the label of a model that has siblings."""

SeedGroup = tuple[str, ...]
"""Ids of models that differ by their seed alone."""


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
    """Groups of two models and more that differ by the seed alone, or by that of the CNN whose features they read.

    They have the same settings but for seeds and for delays that were searched, learned from the same recordings,
    ratings and frames, and started from the same weights. Where a seed comes twice there is no group: what else the
    two differ by does not stand in their cards.
    """
    by_id = {card.model_id: card for card in cards}
    found: dict[str, list[ModelCard]] = {}
    for card in cards:
        below = by_id.get(card.features_model_id or "")
        told = [_without_seed(card, below), *([] if below is None else [_without_seed(below)])]
        found.setdefault(json.dumps(told, sort_keys=True), []).append(card)
    groups = [group for several in found.values() for group in _of_the_same_features(several)]
    return tuple(
        tuple(sorted(card.model_id for card in group))
        for group in groups
        if len(group) > 1 and len({_seeds(card, by_id) for card in group}) == len(group)
    )


def over_seeds(table: ScoreTable, groups: Sequence[SeedGroup]) -> tuple[SeedRow, ...]:
    """Of each group that has two rows or more in the table: its figures over these rows.

    Groups that would go by the same label have the ends of their models' ids in it.
    """
    rows = {row.model_id: row for row in table.rows}
    told = []
    for group in groups:
        members = [rows[name] for name in group if name in rows]
        if len(members) < 2:
            continue
        columns = tuple(_mean_and_spread(values) for values in zip(*(row.values for row in members), strict=True))
        mean = _mean_and_spread([row.mean for row in members])
        label = members[0].label.partition(SEED)[0].removesuffix(f" ({_end_of(members[0].model_id)})")
        label += f", {len(members)} seeds"
        told.append(SeedRow(label, members[0].role, tuple(row.model_id for row in members), columns, mean))
    shared = {label for label, number in Counter(one.label for one in told).items() if number > 1}
    return tuple(replace(one, label=_with_ids(one)) if one.label in shared else one for one in told)


def _with_ids(told: SeedRow) -> str:
    return f"{told.label} ({', '.join(map(_end_of, told.model_ids))})"


def _end_of(model_id: str) -> str:
    return model_id.rpartition("-")[2]


def _without_seed(card: ModelCard, below: ModelCard | None = None) -> dict[str, Any]:
    """What the models of a group have in common. `below`: the CNN whose features it reads, which is told beside it."""
    left_out = {"seed", *(["label_delay_seconds"] if card.delay_how == "searched" else [])}
    return {
        "input": card.input,
        "dimension": card.dimension,
        "raters": card.raters,
        "is_control": card.is_control,
        "settings": {name: value for name, value in card.settings.items() if name not in left_out},
        "delay_how": card.delay_how,
        "start": None if card.start is None else card.start.weights_sha256,
        "recordings": (card.train_recordings, card.dev_recordings),
        "inputs": card.provenance if below is None else {n: _but_features(key) for n, key in card.provenance.items()},
    }


def _but_features(key: str) -> str:
    """PARTITION:DATA:RATINGS without the data: the key of features holds the CNN's seed. `_of_the_same_features`."""
    partition, _, rest = key.partition(":")
    return f"{partition}:{rest.partition(':')[2]}"


def _of_the_same_features(cards: Sequence[ModelCard]) -> list[list[ModelCard]]:
    """As they are, apart from features; where one CNN's features changed between them, by CNN and features."""
    by_features: dict[str, list[ModelCard]] = {}
    for card in cards:
        by_features.setdefault(json.dumps([card.features_model_id, card.provenance], sort_keys=True), []).append(card)
    is_settled = len(by_features) == len({card.features_model_id for card in cards})
    return [list(cards)] if is_settled else list(by_features.values())


def _seeds(card: ModelCard, cards: Mapping[str, ModelCard]) -> tuple[int, int | None]:
    """The model's own seed, and that of the CNN below it."""
    below = cards.get(card.features_model_id or "")
    return int(card.settings.get("seed", 0)), None if below is None else int(below.settings.get("seed", 0))


def _mean_and_spread(values: Sequence[float | None]) -> MeanAndSpread:
    known = [value for value in values if value is not None]
    mean = statistics.fmean(known) if known else None
    return MeanAndSpread(mean, statistics.stdev(known) if len(known) > 1 else None, len(known))
