"""The figures of a sweep: published and measured side by side, a line for each row, partition, rater and metric."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.cards import ModelCard
from schemas.evaluation import EvaluateSettings
from schemas.score_tables import METRICS
from schemas.sweeps import Sweep, SweepRow
from tasks.evaluation.plan import TRAINING_MEAN, TRAINING_MEAN_CURVE, metrics_path
from tasks.store.layout import Store
from tasks.store.parts import read_table

Metric = Literal["rmse", "cc", "ccc"]
METRIC_NAMES: tuple[Metric, ...] = ("rmse", "cc", "ccc")
POOLING = "concatenated"
NOT_YET = "not run yet"
TRIVIAL_LABELS = {TRAINING_MEAN: "training mean (no face)", TRAINING_MEAN_CURVE: "mean over time (no face)"}

_Key = tuple[str, str | None, str]  # partition, rater, metric


@dataclass
class Outcome:
    """What became of a row: the model of each seed, and why a seed has none."""

    cards: dict[int, ModelCard] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def models(self) -> list[ModelCard]:
        """In the order of the seeds, whichever was there first: the same figures give the same table."""
        return [self.cards[seed] for seed in sorted(self.cards)]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line; see `schemas.score_tables.SWEEP_ROWS`."""

    row: str
    model: str | None
    partition: str
    rater: str | None
    metric: Metric
    published: float | None
    measured: float | None
    spread: float | None
    num_seeds: int
    model_ids: str
    missing: str


def gather(store: Store, sweep: Sweep, outcomes: Mapping[str, Outcome], settings: EvaluateSettings) -> list[Figure]:
    """Every figure of every row, in the table's order, then those of the predictors that never look at a face.

    Args:
        store: metrics are read from it.
        sweep: rows and published figures.
        outcomes: by label; a row without one has not been run yet.
        settings: the protocol that they were scored by.
    """
    partitions, protocol = settings.scored_on, settings.protocol
    figures: list[Figure] = []
    for row in sweep.row:
        outcome = outcomes.get(row.label, Outcome())
        scores = [_scores(store, card.model_id, protocol, card.dimension) for card in outcome.models]
        ids = " ".join(card.model_id for card in outcome.models)
        figures += _figures(row, sweep, scores, partitions, ids=ids, missing=_missing(row, outcome))
    dimension = next((card.dimension for outcome in outcomes.values() for card in outcome.models), None)
    if dimension is not None:
        for model_id, label in TRIVIAL_LABELS.items():
            row = SweepRow(label=label, absent="never looks at a face")
            scores = [_scores(store, model_id, protocol, dimension)]
            figures += _figures(row, sweep, scores, partitions, ids=model_id, missing="")
    return figures


def missing_rows(sweep: Sweep, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """The rows without a measured figure, by label, and why."""
    reasons = {row.label: _missing(row, outcomes.get(row.label, Outcome())) for row in sweep.row}
    return {label: reason for label, reason in reasons.items() if reason}


def _missing(row: SweepRow, outcome: Outcome) -> str:
    if row.absent or outcome.cards:
        return row.absent
    return "; ".join(dict.fromkeys(outcome.failures.values())) or NOT_YET


def _figures(
    row: SweepRow,
    sweep: Sweep,
    scores: Sequence[Mapping[_Key, float]],
    partitions: Sequence[str],
    *,
    ids: str,
    missing: str,
) -> Iterator[Figure]:
    raters = dict.fromkeys([*row.published_by_rater, *(key[1] for one in scores for key in one if key[1])])
    for partition in dict.fromkeys([sweep.partition, *partitions]):
        for rater in (None, *raters):
            for metric in METRIC_NAMES:
                found = [one[key] for one in scores if (key := (partition, rater, metric)) in one]
                published = _published(row, rater, metric) if partition == sweep.partition else None
                if not found and published is None:
                    continue
                yield Figure(
                    row=row.label,
                    model=row.model,
                    partition=partition,
                    rater=rater,
                    metric=metric,
                    published=published,
                    measured=statistics.fmean(found) if found else None,
                    spread=statistics.stdev(found) if len(found) > 1 else None,
                    num_seeds=len(found),
                    model_ids=ids,
                    missing=missing,
                )


def _published(row: SweepRow, rater: str | None, metric: Metric) -> float | None:
    """What was printed; for all raters, where only single ones were, the mean of these."""
    if rater is not None:
        figures = row.published_by_rater.get(rater)
        return None if figures is None else getattr(figures, metric)
    printed: float | None = getattr(row.published, metric)
    if printed is not None:
        return printed
    single = [getattr(figures, metric) for figures in row.published_by_rater.values()]
    known = [value for value in single if value is not None]
    return statistics.fmean(known) if known else None


def is_mean_of_printed(row: SweepRow, metric: Metric) -> bool:
    """True if the published figure for all raters is not printed, but the mean of the printed ones."""
    return getattr(row.published, metric) is None and _published(row, None, metric) is not None


def _scores(store: Store, model_id: str, protocol: str, dimension: str) -> dict[_Key, float]:
    """Concatenated scores of one model by rater; without one, against the gold standard, or their mean over raters."""
    columns = ["partition", "pooling", "recording_id", "rater", "metric", "value", "target"]
    table = read_table(metrics_path(store, model_id, protocol, dimension), METRICS, columns)
    found: dict[_Key, float] = {}
    golds: dict[_Key, float] = {}
    for line in table.to_pylist():
        if line["pooling"] != POOLING or line["recording_id"] is not None or line["value"] is None:
            continue
        if line["target"] == "gold":
            golds.setdefault((line["partition"], None, line["metric"]), line["value"])
        elif line["target"] != "mean":
            found[line["partition"], line["rater"], line["metric"]] = line["value"]
    for partition, _, metric in list(found):
        values = [value for key, value in found.items() if (key[0], key[2]) == (partition, metric) and key[1]]
        found[partition, None, metric] = statistics.fmean(values)
    return found | golds
