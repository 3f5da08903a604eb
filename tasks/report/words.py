"""What the report says in words: the verdict, captions, footnotes, limits, and how a number is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.evaluation.fusions import GoldTold
from tasks.evaluation.leaks import MARK
from tasks.report.seeds import MeanAndSpread, SeedGroup, SeedRow, over_seeds
from tasks.report.summary import Metric, Role, Score, ScoreRow, ScoreTable

DASH = "\N{EN DASH}"
GOLD_MARK = "\N{DOUBLE DAGGER}"
"""Beside a gold standard that is the plain mean somewhere because its raters do not agree there."""
SHIPPED_NOTE = "gold standard corpus: the series that the corpus ships, as it is; how it was fused is not in the store."
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
_MINUS = "\N{MINUS SIGN}"
METRIC_TITLES: dict[Metric, str] = {
    "ccc": "CCC (concordance correlation)",
    "cc": "CC (Pearson correlation)",
    "rmse": "RMSE (root mean square error)",
    "mae": "MAE (mean absolute error)",
    "sagr": "SAGR (share of samples with the rating's sign)",
}
METRIC_SHORT: dict[Metric, str] = {"ccc": "CCC", "cc": "CC", "rmse": "RMSE", "mae": "MAE", "sagr": "SAGR"}
COMPETING: frozenset[Role] = frozenset({"model", "single-frame", "trivial"})
ROLE_NOTES: dict[Role, str] = {
    "ceiling": (
        "Ceiling: what a perfect reader of each single frame would score against each rater, no model's result. "
        "A model that has learned how late a rater reacts can exceed it."
    ),
    "human": (
        "Human: people as predictors of people. One rater of another, and the mean of all others of one rater (of a "
        "gold standard: each rater against that of the others). What agreement there is to be had."
    ),
    "control": "Control: the same pipeline, trained on the ratings of other recordings. It should score near 0.",
    "trivial": "Trivial: never looks at a face. A model that does not beat it has learned nothing of use.",
}
SEEDS_NOTE = (
    f"{PLUS_MINUS} mean and sample standard deviation over models that differ by their seed alone: what chance in "
    "training does. Brackets say what the choice of recordings does."
)
_UNDEFINED: dict[Metric, str] = {
    "ccc": "prediction and rating are one and the same constant, where CCC is 0/0, or there is no sample to compare",
    "cc": "the prediction or the rating is constant, and a constant correlates with nothing",
    "rmse": "there is no sample to compare",
    "mae": "there is no sample to compare",
    "sagr": "there is no sample to compare",
}
READING = (
    "Every line and bar is a prediction of what one person, a rater, would have rated from moment to moment, held "
    "against what that person did rate.",
    "CCC, the concordance correlation, is 1 where both are equal at every moment and 0 where the prediction tells "
    "nothing. Unlike a correlation it also falls when the level or the size of the swings is wrong.",
    "Compare a model with three things: with the trivial predictors, which never look at a face; with people, who also "
    "disagree with each other; and with its interval, which says how much the choice of recordings matters.",
    "A score holds under its protocol alone: what is the target, what was selected where, how recordings are pooled.",
)
"""How to read the page, for somebody who has never seen one."""

LIMITS = (
    "A prediction says how this rater would probably rate what is seen. It is not a reading of what the person feels.",
    "Raters disagree, and that is the point: each has a column and a curve of their own. The mean over raters is a "
    "summary for the eye, not a truth behind them.",
    "The scores hold for the people, cameras and raters of this corpus. They promise nothing about others.",
    "Intervals in brackets are 95 % and resample whole recordings. Of few recordings they are rough, and of two models "
    "whose intervals overlap only the command affectflow compare can say which is better.",
    "Do not use such predictions to judge, select or watch people, and record nobody who has not agreed to it.",
)


@dataclass(frozen=True)
class Cell:
    """One number as it is shown. `mark` points to a footnote."""

    text: str
    mark: str = ""
    is_best: bool = False
    interval: str = ""


@dataclass(frozen=True)
class ShownRow:
    """A row of a table of scores as it is shown; the last cell is the mean over raters."""

    label: str
    role: Role
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ShownTable:
    """A table of scores as it is shown: never without protocol, partition and pooling, which the caption names."""

    metric: Metric
    caption: str
    raters: tuple[str, ...]
    rows: tuple[ShownRow, ...]
    footnotes: tuple[str, ...]
    mean_heading: str = "mean over raters"
    seed_rows: tuple[ShownRow, ...] = ()
    """Models that differ by their seed alone, as mean and spread; the last cell is that of the mean over raters."""


def number(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals, a real minus sign, an en dash for None.

    >>> number(0.25), number(-0.0001)
    ('0.250', '0.000')
    """
    if value is None:
        return DASH
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", _MINUS)


def interval_of(score: Score) -> str:
    """The 95 % interval in brackets, "" where there is none."""
    return "" if score.low is None or score.high is None else f"[{number(score.low)}, {number(score.high)}]"


def percent(value: float | None, decimals: int = 1) -> str:
    """A share for people.

    >>> percent(0.6555, 2), percent(None)
    ('65.55', '–')
    """
    return DASH if value is None or math.isnan(value) else f"{100 * value:.{decimals}f}"


def count(amount: int, noun: str) -> str:
    """`1 recording`, `2 recordings`, with thousands separated."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def clock(seconds: float) -> str:
    """Minutes and seconds, as a player shows them.

    >>> clock(75.0)
    '1:15'
    """
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def precise_clock(seconds: float) -> str:
    """Minutes, seconds and milliseconds.

    >>> precise_clock(75.04)
    '1:15.040'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(abs(milliseconds), 60_000)
    return f"{'-' if milliseconds < 0 else ''}{minutes}:{rest // 1000:02d}.{rest % 1000:03d}"


def corpus_tag(corpus_note: str) -> str:
    """What every caption says about the corpus: that it is synthetic, where the note says so."""
    return "Synthetic corpus." if "synthetic" in corpus_note.lower() else ""


def protocol_line(name: str, line: str) -> str:
    """The protocol as the caller words it, led by the name that the metrics carry unless it says it already."""
    return line if name.lower() in line.lower() else f"{name}: {line}" if line else name


def show(
    table: ScoreTable,
    *,
    protocol: str,
    corpus_note: str,
    groups: Sequence[SeedGroup] = (),
    golds: Sequence[GoldTold] = (),
) -> ShownTable:
    """A table of scores in words and digits, for HTML and markdown alike.

    `groups` are told over their seeds; `golds` say how the gold standards among the columns were fused.
    """
    best = _best(table)
    rows = tuple(
        ShownRow(
            row.label,
            row.role,
            (*(_cell(row, column, best) for column in range(len(row.scores))), _mean_cell(row, best)),
        )
        for row in table.rows
    )
    marked = f" ({MARK})" if table.is_selected_here else ""
    caption = (
        f"{METRIC_TITLES[table.metric]} of predicted {table.dimension} by rater. {table.partition.capitalize()} "
        f"partition, {_pooling(table)}{marked}. Protocol: {protocol.rstrip('.')}. {corpus_tag(corpus_note)}"
    )
    seed_rows = tuple(_seed_row(told) for told in over_seeds(table, groups))
    here = {f"gold {one.name}": one for one in golds if one.partition == table.partition}
    headings = tuple(name + GOLD_MARK * bool(name in here and here[name].fallbacks) for name in table.raters)
    notes = (
        *_footnotes(table, rows),
        *([SEEDS_NOTE] if seed_rows else []),
        *(_gold_note(here[name], whole=table.metric == "ccc") for name in table.raters if name in here),
        *([SHIPPED_NOTE] if "gold corpus" in table.raters and table.metric == "ccc" else []),
    )
    return ShownTable(table.metric, caption.strip(), headings, rows, notes, mean_heading(table), seed_rows)


def _gold_note(one: GoldTold, *, whole: bool) -> str:
    """How a gold standard was fused; in the tables after the first only where it was not."""
    mark = f"{GOLD_MARK} " if one.fallbacks else ""
    return mark + (one.words if whole else f"gold standard {one.name}: {one.fallback_words}") + "."


def _seed_row(told: SeedRow) -> ShownRow:
    return ShownRow(told.label, told.role, tuple(_spread_cell(one) for one in (*told.columns, told.mean)))


def _spread_cell(one: MeanAndSpread) -> Cell:
    return Cell(number(one.mean), interval="" if one.spread is None else f"{PLUS_MINUS} {number(one.spread)}")


def verdict(table: ScoreTable, *, corpus_note: str, groups: Sequence[SeedGroup] = ()) -> str:
    """Which model, on which partition, its mean CCC over raters against the best trivial predictor, and its seeds."""
    model = next((row for row in table.rows if row.role == "model"), table.rows[0])
    told = [_verdict(table, model, corpus_note=corpus_note)]
    for seeds in over_seeds(table, groups):
        if model.model_id in seeds.model_ids and seeds.mean.spread is not None:
            spread = f"{number(seeds.mean.mean)} {PLUS_MINUS} {number(seeds.mean.spread)}"
            told.append(f"Trained from {len(seeds.model_ids)} seeds it comes to {spread}.")
    return " ".join(told)


def _verdict(table: ScoreTable, model: ScoreRow, *, corpus_note: str) -> str:
    corpus = " of a synthetic corpus" if corpus_tag(corpus_note) else ""
    where = f"On the {table.partition} partition{corpus}, {model.label}"
    if model.mean is None:
        return f"{where} has no defined CCC for any rater, so nothing can be said about it."
    pooling = "recordings concatenated" if table.pooling == "concatenated" else "mean over recordings"
    of = f" {interval_of(model.summary)}".rstrip()
    over = count(model.num_defined, "rater" if _has_raters(table) else "gold standard")
    marked = f", {MARK}" if table.is_selected_here else ""
    told = f"{where} reaches a mean CCC of {number(model.mean)}{of} over {over} ({pooling}{marked})"
    rivals = [(row.mean, row.label) for row in table.rows if row.role == "trivial" and row.mean is not None]
    if not rivals:
        return f"{told}; no trivial predictor stands beside it, so it is open whether that is more than a constant."
    mean, label = max(rivals)
    if number(model.mean) == number(mean) or model.mean < mean:
        told += f" and does not beat the best trivial predictor ({label}), which reaches {number(mean)}."
    else:
        low = model.summary.low
        unclear = ", which its interval includes: no clear difference" if low is not None and low <= mean else ""
        told += f"; the best trivial predictor ({label}) reaches {number(mean)}{unclear}."
    single = [(row.mean, row.label) for row in table.rows if row.role == "single-frame" and row.mean is not None]
    if single and max(single)[0] > model.mean:
        told += f" The {max(single)[1]} alone does better: {number(max(single)[0])}."
    return told


def aside(table: ScoreTable) -> str:
    """Mean CCC of the rows that frame the verdict, in one line; "" if there are none."""
    told = [f"{row.label} {number(row.mean)}" for row in table.rows if row.role not in ("model", "trivial")]
    return f"Beside it, same partition and pooling: {'; '.join(told)}." if told else ""


def _has_raters(table: ScoreTable) -> bool:
    return not table.raters[0].startswith("gold ")


def mean_heading(table: ScoreTable) -> str:
    """Over what the last column is a mean."""
    return "mean over raters" if _has_raters(table) else "mean over gold standards"


def _pooling(table: ScoreTable) -> str:
    """How the recordings of the partition became one number, and how many they are, where that is known."""
    recordings = count(table.num_recordings, "recording") if table.num_recordings else "recordings"
    return f"{recordings} concatenated" if table.pooling == "concatenated" else f"per recording: mean over {recordings}"


def _footnotes(table: ScoreTable, rows: Sequence[ShownRow]) -> list[str]:
    cells = [cell for row in rows for cell in row.cells]
    notes = []
    if any(cell.is_best for cell in cells):
        notes.append("Bold: best of its column, ceiling and control left aside.")
    if any(cell.text == DASH for cell in cells):
        notes.append(f"{DASH} not defined: {_UNDEFINED[table.metric]}. Such a value enters no mean.")
    if any(cell.mark == "*" for cell in cells):
        notes.append("* Mean over those raters only that have a value: not comparable with the other rows' means.")
    if any(cell.mark == "\N{DAGGER}" for cell in cells):
        notes.append("\N{DAGGER} Recordings where the score is not defined are left out of this mean.")
    if any(not cell.text for cell in cells):
        notes.append("Empty: not scored.")
    return notes


def _cell(row: ScoreRow, column: int, best: Sequence[float | None]) -> Cell:
    score: Score = row.scores[column]
    if not score.is_scored:
        return Cell("")
    mark = "\N{DAGGER}" if score.num_left_out and score.value is not None else ""
    return Cell(number(score.value), mark, _is_best(row, score.value, best[column]), interval_of(score))


def _mean_cell(row: ScoreRow, best: Sequence[float | None]) -> Cell:
    if not any(score.is_scored for score in row.scores):
        return Cell("")
    partial = 0 < row.num_defined < len(row.averaged)
    is_best = not partial and _is_best(row, row.mean, best[-1])
    return Cell(number(row.mean), "*" if partial else "", is_best, interval_of(row.summary))


def _is_best(row: ScoreRow, value: float | None, best: float | None) -> bool:
    return row.role in COMPETING and value is not None and best is not None and number(value) == number(best)


def _best(table: ScoreTable) -> list[float | None]:
    """Best value of each column among the rows that compete; None where fewer than two do."""
    rows = [row for row in table.rows if row.role in COMPETING]
    whole = [row.mean for row in rows if row.num_defined == len(row.averaged)]
    columns: list[list[float | None]] = [[row.values[i] for row in rows] for i in range(len(table.raters))]
    pick = min if table.metric in ("rmse", "mae") else max
    found = []
    for column in (*columns, whole):
        values = [value for value in column if value is not None]
        found.append(pick(values) if len(values) > 1 else None)
    return found
