"""What the report says in words: the verdict, captions, footnotes, limits, and how a number is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.report.summary import Metric, Role, Score, ScoreRow, ScoreTable

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
METRIC_TITLES: dict[Metric, str] = {
    "ccc": "CCC (concordance correlation)",
    "cc": "CC (Pearson correlation)",
    "rmse": "RMSE (root mean square error)",
}
METRIC_SHORT: dict[Metric, str] = {"ccc": "CCC", "cc": "CC", "rmse": "RMSE"}
COMPETING: frozenset[Role] = frozenset({"model", "single-frame", "trivial"})
ROLE_NOTES: dict[Role, str] = {
    "ceiling": (
        "Ceiling: what a perfect reader of each single frame would score against each rater, no model's result. "
        "A model that has learned how late a rater reacts can exceed it."
    ),
    "control": "Control: the same pipeline, trained on the ratings of other recordings. It should score near 0.",
    "trivial": "Trivial: never looks at a face. A model that does not beat it has learned nothing of use.",
}
_UNDEFINED: dict[Metric, str] = {
    "ccc": "prediction and rating are one and the same constant, where CCC is 0/0, or there is no sample to compare",
    "cc": "the prediction or the rating is constant, and a constant correlates with nothing",
    "rmse": "there is no sample to compare",
}
LIMITS = (
    "A prediction says how this rater would probably rate what is seen. It is not a reading of what the person feels.",
    "Raters disagree, and that is the point: each has a column and a curve of their own. The mean over raters is a "
    "summary for the eye, not a truth behind them.",
    "The scores hold for the people, cameras and raters of this corpus. They promise nothing about others.",
    "No interval stands beside a score yet: with few recordings, small differences between two rows mean nothing.",
    "Do not use such predictions to judge, select or watch people, and record nobody who has not agreed to it.",
)


@dataclass(frozen=True)
class Cell:
    """One number as it is shown. `mark` points to a footnote."""

    text: str
    mark: str = ""
    is_best: bool = False


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


def show(table: ScoreTable, *, protocol: str, corpus_note: str) -> ShownTable:
    """A table of scores in words and digits, for HTML and markdown alike."""
    best = _best(table)
    rows = tuple(
        ShownRow(
            row.label,
            row.role,
            (*(_cell(row, column, best) for column in range(len(row.scores))), _mean_cell(row, best)),
        )
        for row in table.rows
    )
    caption = (
        f"{METRIC_TITLES[table.metric]} of predicted {table.dimension} by rater. {table.partition.capitalize()} "
        f"partition, {_pooling(table)}. Protocol: {protocol.rstrip('.')}. {corpus_tag(corpus_note)}"
    )
    return ShownTable(table.metric, caption.strip(), table.raters, rows, tuple(_footnotes(table, rows)))


def verdict(table: ScoreTable, *, corpus_note: str) -> str:
    """One sentence: which model, on which partition, its mean CCC over raters against the best trivial predictor."""
    model = next((row for row in table.rows if row.role == "model"), table.rows[0])
    corpus = " of a synthetic corpus" if corpus_tag(corpus_note) else ""
    where = f"On the {table.partition} partition{corpus}, {model.label}"
    if model.mean is None:
        return f"{where} has no defined CCC for any rater, so nothing can be said about it."
    pooling = "recordings concatenated" if table.pooling == "concatenated" else "mean over recordings"
    told = f"{where} reaches a mean CCC of {number(model.mean)} over {count(model.num_defined, 'rater')} ({pooling})"
    rivals = [(row.mean, row.label) for row in table.rows if row.role == "trivial" and row.mean is not None]
    if not rivals:
        return f"{told}; no trivial predictor stands beside it, so it is open whether that is more than a constant."
    mean, label = max(rivals)
    if number(model.mean) != number(mean) and model.mean > mean:
        return f"{told}; the best trivial predictor ({label}) reaches {number(mean)}."
    return f"{told} and does not beat the best trivial predictor ({label}), which reaches {number(mean)}."


def aside(table: ScoreTable) -> str:
    """Mean CCC of the rows that frame the verdict, in one line; "" if there are none."""
    told = [
        f"{row.label} {number(row.mean)}" for row in table.rows if row.role in ("single-frame", "ceiling", "control")
    ]
    return f"Beside it, same partition and pooling: {'; '.join(told)}." if told else ""


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
    return Cell(number(score.value), mark, _is_best(row, score.value, best[column]))


def _mean_cell(row: ScoreRow, best: Sequence[float | None]) -> Cell:
    if not any(score.is_scored for score in row.scores):
        return Cell("")
    partial = 0 < row.num_defined < len(row.scores)
    return Cell(number(row.mean), "*" if partial else "", not partial and _is_best(row, row.mean, best[-1]))


def _is_best(row: ScoreRow, value: float | None, best: float | None) -> bool:
    return row.role in COMPETING and value is not None and best is not None and number(value) == number(best)


def _best(table: ScoreTable) -> list[float | None]:
    """Best value of each column among the rows that compete; None where fewer than two do."""
    rows = [row for row in table.rows if row.role in COMPETING]
    whole = [row.mean for row in rows if row.num_defined == len(row.scores)]
    columns: list[list[float | None]] = [[row.values[i] for row in rows] for i in range(len(table.raters))]
    pick = min if table.metric == "rmse" else max
    found = []
    for column in (*columns, whole):
        values = [value for value in column if value is not None]
        found.append(pick(values) if len(values) > 1 else None)
    return found
