"""What the command line shows: bars on stderr, tables on stdout, JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from schemas.errors import Problem
from tasks.progress import Bar
from tasks.report.summary import ScoreTable

_MOST_COLUMNS = 10
_ROLE_STYLE = {"model": "bold", "single-frame": "", "trivial": "dim", "ceiling": "dim italic", "control": "dim italic"}


class _RateColumn(ProgressColumn):
    """Units per second since the bar started."""

    def render(self, task: Task) -> Text:
        unit = task.fields.get("unit", "")
        rate = task.finished_speed or task.speed
        text = "" if rate is None else f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s"
        return Text(text, no_wrap=True)


class _RichBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self.task = progress, task

    def advance(self, amount: float = 1, note: str = "") -> None:
        if note:
            self._progress.update(self.task, advance=amount, note=note)
        else:
            self._progress.update(self.task, advance=amount)


class RichReporter:
    """Progress bars on stderr with rate and time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            speed_estimate_period=60,
        )
        self._active = 0

    def start(self, label: str, total: float, unit: str, done: float) -> Bar:
        if total:
            self._progress.start()
        self._active += 1
        return _RichBar(
            self._progress, self._progress.add_task(label, total=total, completed=int(done), unit=unit, note="")
        )

    def stop(self, bar: Bar) -> None:
        assert isinstance(bar, _RichBar)
        self._progress.stop_task(bar.task)
        self._active -= 1
        if self._active:
            self._progress.remove_task(bar.task)  # a recording that is done makes room; the whole stays
        else:
            self._progress.stop()
            for task in list(self._progress.task_ids):
                self._progress.remove_task(task)


def problems_table(problems: Sequence[Problem]) -> Table:
    """The table of problems that ingestion found."""
    table = Table(title="Problems", title_justify="left", show_lines=False)
    for heading in ("severity", "recording", "file", "line", "expected", "found"):
        table.add_column(heading, overflow="fold")
    for problem in problems:
        line = "" if problem.line is None else str(problem.line)
        table.add_row(problem.severity, problem.recording_id or "", problem.path, line, problem.expected, problem.found)
    return table


def failures_table(failures: Sequence[Mapping[str, Any]]) -> Table:
    """What failed and why, from the store's failures."""
    table = Table(title="Failures", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("recording", "stage", "error", "message"):
        table.add_column(heading, overflow="fold")
    for failure in failures:
        table.add_row(failure["recording_id"], failure["stage"], failure["error"], failure["message"])
    return table


def scores_table(scores: ScoreTable, *, note: str) -> Table:
    """One table of scores; its title names partition, pooling and protocol."""
    if len(scores.raters) > _MOST_COLUMNS:
        return _spread_table(scores, note=note)
    table = _empty_table(scores, note)
    table.add_column("", no_wrap=True)
    for rater in scores.raters:
        table.add_column(rater, justify="right")
    table.add_column("mean", justify="right", style="bold")
    for row in scores.rows:
        cells = [_number(value) for value in row.values]
        table.add_row(row.label, *cells, _number(row.mean), style=_ROLE_STYLE[row.role])
    return table


def _spread_table(scores: ScoreTable, *, note: str) -> Table:
    """The same for many raters: their mean, and how far they spread."""
    import statistics

    table = _empty_table(scores, note)
    table.add_column("", no_wrap=True)
    for heading in (f"mean of {len(scores.raters)} raters", "lowest", "median", "highest"):
        table.add_column(heading, justify="right")
    for row in scores.rows:
        known = [value for value in row.values if value is not None]
        spread = (min(known), statistics.median(known), max(known)) if known else (None, None, None)
        table.add_row(row.label, _number(row.mean), *map(_number, spread), style=_ROLE_STYLE[row.role])
    return table


def _empty_table(scores: ScoreTable, note: str) -> Table:
    heading = f"{scores.metric.upper()} of {scores.dimension}, {scores.partition}, {scores.pooling.replace('_', ' ')}"
    caption = f"protocol {scores.protocol}"
    return Table(
        title=f"{heading}{note}",
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
