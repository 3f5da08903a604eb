"""How the gold standards of a protocol were fused: weights by rater, and where the plain mean stands in for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.errors import few
from schemas.evaluation import EvaluateSettings
from schemas.score_tables import FUSIONS
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import read_table

if TYPE_CHECKING:
    from tasks.evaluation.targets import Targets, TargetsOf

WORDS = {
    "mean": "the mean over raters, each with the same weight",
    "ewe": "the mean over raters weighted by how each correlates with the mean of all (EWE), negative weights being 0",
    "ewe-loo": "the mean over raters weighted by how each correlates with the mean of the others (EWE), "
    "negative weights being 0",
    "avec2018": "the mean over raters, its level set by weights: how each agrees with the others (mean pairwise CCC)",
}
"""How each is made, recording by recording."""


@dataclass(frozen=True)
class RaterWeight:
    """One rater in a gold standard: the weight's mean, lowest and highest over recordings, and the mean share.

    `num_unweighted`: recordings where the weight is 0 or below, or there is none.
    """

    rater: str
    weight: float | None
    low: float | None
    high: float | None
    share: float | None
    num_unweighted: int


@dataclass(frozen=True)
class GoldTold:
    """One gold standard on one partition. `fallbacks` are recordings and why the plain mean stands there instead."""

    name: str
    partition: str
    num_recordings: int
    raters: tuple[RaterWeight, ...]
    fallbacks: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """How it was fused and with what weights, in a line."""
        weights = ", ".join(f"{one.rater} {100 * one.share:.0f} %" for one in self.raters if one.share is not None)
        of = "" if self.num_recordings == 1 else f", in the mean over {self.num_recordings} recordings"
        return f"gold standard {self.name}: {WORDS[self.name]}; shares {weights}{of}; {self.fallback_words}"

    @property
    def fallback_words(self) -> str:
        """Where the plain mean stands instead, and why; that it does nowhere."""
        if not self.fallbacks:
            return "no fallback" if self.name != "mean" else "nothing to fall back from"
        shown = few([f"{name} ({why})" for name, why in self.fallbacks], 3)
        return f"FELL BACK to the plain mean in {len(self.fallbacks)} of {self.num_recordings} recordings: {shown}"


def fusions_table(
    recordings: Sequence[Recording], targets_of: TargetsOf, settings: EvaluateSettings, dimension: str
) -> pa.Table:
    """A row for every recording, gold standard and rater, as `schemas.score_tables.FUSIONS`.

    Args:
        recordings: the rated ones of the scored partitions.
        targets_of: reads and fuses their ratings.
        settings: the protocol.
        dimension: which ratings.
    """
    rows = [
        {"protocol": settings.protocol, "dimension": dimension, "partition": recording.partition, **row}
        for recording in recordings
        for row in _rows(targets_of(recording.recording_id))
    ]
    return pa.Table.from_pylist(rows, schema=FUSIONS)


def _rows(targets: Targets) -> Iterator[dict[str, Any]]:
    for name, made in targets.fused.items():
        counted = {
            rater: 1.0 if made.fallback else float(weight)
            for rater, weight in zip(targets.raters, made.weights, strict=True)
            if weight == weight
        }
        total = sum(counted.values())
        for rater, weight in zip(targets.raters, made.weights, strict=True):
            yield {
                "recording_id": targets.recording_id,
                "fusion": name,
                "rater": rater,
                "weight": float(weight) if weight == weight else None,
                "share": counted[rater] / total if rater in counted and total else None,
                "fallback": made.fallback,
            }


def told(table: pa.Table) -> tuple[GoldTold, ...]:
    """Every gold standard of every partition of a table of fusions, in words and figures."""
    rows = table.to_pylist()
    keys = dict.fromkeys((row["partition"], row["fusion"]) for row in rows)
    return tuple(_told(partition, name, rows) for partition, name in keys)


def _told(partition: str, name: str, rows: Sequence[dict[str, Any]]) -> GoldTold:
    mine = [row for row in rows if (row["partition"], row["fusion"]) == (partition, name)]
    raters = []
    for rater in dict.fromkeys(row["rater"] for row in mine):
        own = [row for row in mine if row["rater"] == rater]
        weights = [row["weight"] for row in own if row["weight"] is not None]
        shares = [row["share"] for row in own if row["share"] is not None]
        without = sum(row["weight"] is None or row["weight"] <= 0 for row in own)
        raters.append(
            RaterWeight(
                rater,
                fmean(weights) if weights else None,
                min(weights, default=None),
                max(weights, default=None),
                fmean(shares) if shares else None,
                without,
            )
        )
    fallbacks = {row["recording_id"]: row["fallback"] for row in mine if row["fallback"] is not None}
    return GoldTold(
        name, partition, len({row["recording_id"] for row in mine}), tuple(raters), tuple(fallbacks.items())
    )


def read_fusions(store: Store, dimension: str, protocol: str) -> tuple[GoldTold, ...]:
    """What `evaluate` wrote of a protocol's gold standards; () where it has none."""
    path = store.fusions(dimension, protocol)
    return told(read_table(path, FUSIONS)) if path.exists() else ()
