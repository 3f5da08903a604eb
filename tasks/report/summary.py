"""Tables of scores: the numbers that the report, its markdown twin and the command line all show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from schemas.errors import StoreError
from schemas.score_tables import METRICS
from tasks.evaluation.leaks import MARK
from tasks.evaluation.plan import metrics_path
from tasks.store.layout import Store
from tasks.store.parts import read_table

if TYPE_CHECKING:
    import polars as pl

Role = Literal["model", "single-frame", "trivial", "human", "ceiling", "control"]
Pooling = Literal["concatenated", "per_recording"]
Metric = Literal["rmse", "mae", "cc", "ccc", "sagr"]

POOLINGS: tuple[Pooling, ...] = ("concatenated", "per_recording")
METRIC_NAMES: tuple[Metric, ...] = ("ccc", "cc", "rmse", "mae", "sagr")
_PARTITION_ORDER = ("test", "dev", "train")


@dataclass(frozen=True)
class ReportRow:
    """One line of every table of scores.

    `role` says how to read it: a `ceiling` bounds what any predictor could reach, `human` is how well people agree, a
    `control` should score near 0; none of them competes with the others. The traces are of the first `model`.
    """

    model_id: str
    label: str
    role: Role = "model"


@dataclass(frozen=True)
class Score:
    """One cell. `value` is None where the metric is degenerate, and where nothing was scored (`is_scored` False).

    `num_left_out` counts the recordings that a per-recording mean leaves out because they are degenerate. `low` and
    `high` are the ends of the 95 % interval (recordings resampled), None where there is none; `reason` says why, or why
    there is no value.
    """

    value: float | None
    is_scored: bool = True
    num_left_out: int = 0
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class ScoreRow:
    """A report row with one score for each of `ScoreTable.raters`.

    `mean` is over the raters that have a value (`ScoreTable.num_apart` of them stand first), None if there are none;
    `summary` is the same with its interval.
    """

    label: str
    model_id: str
    role: Role
    scores: tuple[Score, ...]
    mean: float | None
    summary: Score = Score(None, is_scored=False)
    num_apart: int | None = None

    @property
    def averaged(self) -> tuple[Score, ...]:
        """The scores that `mean` is over."""
        return self.scores[: self.num_apart]

    @property
    def values(self) -> tuple[float | None, ...]:
        """The bare values, one for each rater."""
        return tuple(score.value for score in self.scores)

    @property
    def num_defined(self) -> int:
        """Raters that `mean` is over."""
        return sum(score.value is not None for score in self.averaged)


@dataclass(frozen=True)
class ScoreTable:
    """One metric of every report row, under one protocol, on one partition, in one pooling."""

    metric: Metric
    partition: str
    pooling: Pooling
    dimension: str
    protocol: str
    """Name of the protocol, as the evaluation wrote it."""
    num_recordings: int
    """Recordings scored on their own in this partition; 0 where the evaluation wrote none."""
    raters: tuple[str, ...]
    """The columns: raters, then gold standards."""
    rows: tuple[ScoreRow, ...]
    num_apart: int | None = None
    """How many of `raters`, the first ones, are raters: the mean is over these, or over all where there are none."""
    is_selected_here: bool = False
    """The protocol selects on this very partition, and declares it."""


@dataclass(frozen=True)
class Scores:
    """Every score of the report's rows for one dimension under one protocol, read once."""

    dimension: str
    protocol: str
    frames: tuple[tuple[ReportRow, pl.DataFrame], ...]

    @property
    def partitions(self) -> tuple[str, ...]:
        """Partitions that any row is scored on: test, dev, train, then others by name."""
        found = {str(name) for _, frame in self.frames for name in frame["partition"].unique()}
        return tuple(sorted(found, key=partition_rank))

    @property
    def raters(self) -> tuple[str, ...]:
        """Raters in the order in which the evaluation wrote them."""
        return self._columns("rater")

    @property
    def golds(self) -> tuple[str, ...]:
        """Gold standards, likewise."""
        return self._columns("gold")

    @property
    def poolings(self) -> tuple[Pooling, ...]:
        """Those that the protocol pools by."""
        found = {str(name) for _, frame in self.frames for name in frame["pooling"].unique()}
        pooled = {str(n) for _, frame in self.frames for n in frame.filter(frame["recording_id"].is_null())["pooling"]}
        return tuple(pooling for pooling in POOLINGS if pooling in (pooled or found))

    def _columns(self, target: str) -> tuple[str, ...]:
        names = (
            str(name)
            for _, frame in self.frames
            for name in frame.filter(frame["target"] == target)["rater"].unique(maintain_order=True)
        )
        return tuple(dict.fromkeys(names))


def drawn_rows(rows: Sequence[ReportRow]) -> tuple[ReportRow, ReportRow | None]:
    """Whose predictions are drawn: the first model, and the first single-frame model beside it."""
    model = next((row for row in rows if row.role == "model"), rows[0])
    return model, next((row for row in rows if row.role == "single-frame" and row != model), None)


def partition_rank(name: str) -> tuple[int, str]:
    """Sort key of partitions: test first, then dev, train and any other by name."""
    return (_PARTITION_ORDER.index(name) if name in _PARTITION_ORDER else len(_PARTITION_ORDER), name)


def read_scores(store: Store, rows: Sequence[ReportRow], *, dimension: str, protocol: str) -> Scores:
    """Read the metrics of every row under a protocol.

    Raises:
        StoreError: a row has no metrics under it, or none for this dimension; or a file holds those of another.
    """
    import polars as pl

    if not rows:
        raise StoreError(f"{store.root}: no rows to report on; train a model, predict and evaluate first")
    frames = []
    for row in rows:
        path = metrics_path(store, row.model_id, protocol, dimension)
        if not path.exists():
            raise StoreError(
                f"{path}: no metrics of {row.role} {row.model_id!r} ({row.label}); run `affectflow evaluate --store "
                f"{store.root} --protocol {protocol}` (before it `affectflow predict --store {store.root} "
                f"--model {row.model_id}`)"
            )
        everything = pl.DataFrame(read_table(path, METRICS))
        frame = everything.filter(pl.col("dimension") == dimension)
        if everything.is_empty() and row.role == "human":
            continue  # a single rater has nobody to agree with
        if frame.is_empty():
            found = ", ".join(sorted(everything["dimension"].unique())) or "none"
            raise StoreError(f"{path}: no scores for dimension {dimension!r}, found {found}; evaluate that dimension")
        frames.append((row, frame.with_columns(pl.col("target").fill_null("rater"))))  # schema 1.1 had no others
    protocols = sorted({str(name) for _, frame in frames for name in frame["protocol"].unique()})
    if protocols != [protocol]:
        raise StoreError(
            f"{store.metrics}: scores under {', '.join(protocols)} where {protocol} was expected; they are not "
            "comparable: evaluate again"
        )
    return Scores(dimension, protocol, tuple(frames))


def score_table(
    store: Store,
    rows: Sequence[ReportRow],
    *,
    partition: str,
    pooling: Pooling,
    metric: Metric,
    protocol: str,
    dimension: str = "valence",
) -> ScoreTable:
    """The table of one metric: a row for each of `rows`, a column for each rater and gold standard, and the mean.

    `concatenated` scores stand as the evaluation wrote them. A `per_recording` score is the mean over recordings:
    the one that the evaluation wrote, or else the mean of its per-recording values, degenerate ones left out.

    Raises:
        StoreError: metrics are missing, of several protocols, or none is on this partition.
    """
    scores = read_scores(store, rows, dimension=dimension, protocol=protocol)
    if partition not in scores.partitions:
        raise StoreError(
            f"{store.metrics}: nothing is scored on partition {partition!r}, only on {', '.join(scores.partitions)}; "
            "name one of these, or add it to scored_on and evaluate"
        )
    return tabulate(scores, partition=partition, pooling=pooling, metric=metric)


def tabulate(scores: Scores, *, partition: str, pooling: Pooling, metric: Metric) -> ScoreTable:
    """`score_table` over scores that are read already; cells that nobody scored stay empty."""
    import polars as pl

    raters, golds = scores.raters, scores.golds
    num_apart = len(raters) or len(golds)
    rows, recordings, selected = [], set[str](), False
    for row, frame in scores.frames:
        here = frame.filter(pl.col("partition") == partition)
        recordings.update(here["recording_id"].drop_nulls().unique())
        selected |= any(MARK in line for line in here["protocol_line"].drop_nulls().unique())
        chosen = here.filter((pl.col("pooling") == pooling) & (pl.col("metric") == metric))
        cells = tuple(
            _score(chosen.filter((pl.col("rater") == name) & (pl.col("target") == target)), pooling)
            for target, names in (("rater", raters), ("gold", golds))
            for name in names
        )
        defined = [cell.value for cell in cells[:num_apart] if cell.value is not None]
        mean = sum(defined) / len(defined) if defined else None
        written = _score(chosen.filter(pl.col("target") == "mean"), pooling) if raters else cells[0]
        summary = written if written.is_scored else Score(mean, is_scored=any(cell.is_scored for cell in cells))
        rows.append(ScoreRow(row.label, row.model_id, row.role, cells, mean, summary, num_apart))
    return ScoreTable(
        metric=metric,
        partition=partition,
        pooling=pooling,
        dimension=scores.dimension,
        protocol=scores.protocol,
        num_recordings=len(recordings),
        raters=(*raters, *(f"gold {name}" for name in golds)),
        rows=tuple(rows),
        num_apart=num_apart,
        is_selected_here=selected,
    )


def recording_scores(scores: Scores, model_id: str, *, metric: Metric) -> dict[tuple[str, str], float | None]:
    """(recording, column) -> score of that recording alone, None where degenerate; columns as a `ScoreTable` heads."""
    import polars as pl

    frame = next(frame for row, frame in scores.frames if row.model_id == model_id)
    single = pl.col("recording_id").is_not_null() & pl.col("target").is_in(["rater", "gold"])
    return {
        (record["recording_id"], f"gold {record['rater']}" if record["target"] == "gold" else record["rater"]): record[
            "value"
        ]
        for record in frame.filter(single & (pl.col("metric") == metric)).to_dicts()
    }


def _score(frame: pl.DataFrame, pooling: Pooling) -> Score:
    """The one score of a model, partition, pooling, metric and rater."""
    pooled = frame.filter(frame["recording_id"].is_null())
    single = frame.filter(frame["recording_id"].is_not_null())
    if len(pooled) > 1:
        raise StoreError(
            f"{frame['model_id'][0]}: {len(pooled)} scores where one was expected; evaluate again: {pooled}"
        )
    num_left_out = single["value"].null_count() if pooling == "per_recording" else 0
    if len(pooled):
        cell = pooled.row(0, named=True)
        return Score(
            cell["value"],
            num_left_out=num_left_out,
            low=cell["ci_low"],
            high=cell["ci_high"],
            reason=cell["reason"] or "",
        )
    if pooling == "concatenated" or single.is_empty():
        return Score(None, is_scored=False)
    values = [float(value) for value in single["value"].drop_nulls()]
    return Score(sum(values) / len(values) if values else None, num_left_out=num_left_out if values else 0)
