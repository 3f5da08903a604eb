"""Two models on the same recordings: what their scores differ by, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.metrics import METRICS, Metric, or_none
from schemas.errors import UnusableInputError
from schemas.evaluation import EvaluateSettings, Partition
from tasks.evaluation.gathering import Gathered
from tasks.evaluation.pooled import MEAN_OVER_RATERS, ONE_RECORDING, draws_of, pooled
from tasks.evaluation.stage import Evaluation
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Score of a minus score of b, under one protocol; None where one of them has no value.

    `low` and `high` are the ends of the 95 % interval of the difference: recordings are resampled, the same ones for
    both. Where there is none, `reason` says why. `protocol_line` is the protocol in words.
    """

    partition: str
    pooling: str
    column: str
    target: str
    metric: Metric
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    num_recordings: int
    reason: str
    protocol: str
    protocol_line: str
    is_selected_here: bool

    @property
    def is_clear(self) -> bool | None:
        """The interval leaves 0 out; None where nothing may be claimed: no interval, or selected where it is scored."""
        if self.low is None or self.high is None or self.is_selected_here:
            return None
        return self.low > 0 or self.high < 0


def compare(
    store: Store,
    recordings: Sequence[Recording],
    models: tuple[str, str],
    dimension: str,
    settings: EvaluateSettings,
) -> list[Difference]:
    """Every metric of two models, in every pooling of the protocol, over the recordings and columns both have.

    Args:
        store: predictions and ratings are read from it; chains are fitted where they are missing.
        recordings: all of them.
        models: ids of a and b.
        dimension: which ratings.
        settings: the protocol.

    Raises:
        LeakError: as `evaluate`.
        UnusableInputError: one has nothing to score, or they share no recording.
    """
    evaluation = Evaluation(store, recordings, dimension, settings)
    evaluation.check(models)
    a, b = (evaluation.gathered(model_id) for model_id in models)
    found: list[Difference] = []
    for partition in settings.scored_on:
        if partition in a and partition in b:
            line = evaluation.line(models, partition)
            found += _differences(_shared(a[partition], b[partition]), settings, partition=partition, line=line)
    if not found:
        raise UnusableInputError(
            f"{models[0]}, {models[1]}: no recording of {', '.join(settings.scored_on)} has predictions of both and "
            "ratings; predict the same recordings with both"
        )
    return found


def _shared(a: Gathered, b: Gathered) -> tuple[Gathered, Gathered]:
    """Both on the recordings and columns that they share, in the order of the first."""
    names = [name for name in a.recording_ids if name in b.recording_ids]
    known = [{(entry.column, entry.target) for entry in one.entries} for one in (a, b)]
    columns = [(column.name, column.target) for column in a.columns if (column.name, column.target) in known[1]]
    first, second = (
        one.only(names, [e for column in columns for e in one.entries if (e.column, e.target) == column])
        for one in (a, b)
    )
    return first, second


def _differences(
    both: tuple[Gathered, Gathered], settings: EvaluateSettings, *, partition: Partition, line: str
) -> Iterator[Difference]:
    titles = [(column.name, column.target) for column in both[0].columns]
    if not titles or not both[0].recording_ids:
        return
    if any(target == "rater" for _, target in titles):
        titles.append((MEAN_OVER_RATERS, "mean"))
    draws = draws_of(len(both[0].recording_ids), settings)
    for pooling in settings.pooling:
        first, second = (pooled(one, pooling, draws) for one in both)
        for metric in METRICS:
            gap = first.value[metric] - second.value[metric]
            low, high = first.interval(metric, second)
            for at, (name, target) in enumerate(titles):
                yield Difference(
                    partition=partition,
                    pooling=pooling,
                    column=name,
                    target=target,
                    metric=metric,
                    a=or_none(first.value[metric][at]),
                    b=or_none(second.value[metric][at]),
                    difference=or_none(gap[at]),
                    low=or_none(low[at]),
                    high=or_none(high[at]),
                    num_recordings=len(both[0].recording_ids),
                    reason=_why(or_none(gap[at]), bool(first.is_single[at] or second.is_single[at])),
                    protocol=settings.protocol,
                    protocol_line=line,
                    is_selected_here=partition in settings.overlap,
                )


def _why(difference: float | None, is_single: bool) -> str:
    if difference is None:
        return "a score of one of them is not defined; evaluate says why"
    return ONE_RECORDING if is_single else ""
