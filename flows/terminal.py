"""What the command line shows: bars on stderr, tables on stdout, JSON for machines."""

from __future__ import annotations

import math
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import Progress, ProgressColumn, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from schemas.errors import Problem
from tasks.evaluation.leaks import MARK
from tasks.progress import LogReporter, Meter, number
from tasks.report.summary import Score, ScoreTable

_MOST_COLUMNS = 10
_LEAST_NAME = 8
_WIDE = 100
_ROLE_STYLE = {
    "model": "bold",
    "single-frame": "",
    "trivial": "dim",
    "human": "italic",
    "ceiling": "dim italic",
    "control": "dim italic",
}


class _Column(ProgressColumn):
    """A column made from the task's meter. It keeps its width, unless it `shrinks`."""

    def __init__(self, show: Callable[[Meter], RenderableType], *, shrinks: bool = False, right: bool = False) -> None:
        self._show = show
        super().__init__(Column(no_wrap=not shrinks, justify="right" if right else "left"))

    def render(self, task: Task) -> RenderableType:
        return self._show(task.fields["meter"])


class _Shortened:
    """One line of text that loses its middle where there is no room for it."""

    def __init__(self, text: str, style: str = "") -> None:
        self._text, self._style = text, style

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(len(self._text), _LEAST_NAME), len(self._text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shortened(self._text, options.max_width), style=self._style, no_wrap=True)


def shortened(text: str, width: int) -> str:
    """`text`, its middle replaced by an ellipsis if it is longer than `width` characters.

    >>> shortened("recording-2024-01-31-left", 13)
    'record…1-left'
    """
    if len(text) <= width:
        return text
    ending = max(width - 1, 0) // 2
    return f"{text[: max(width - 1 - ending, 0)]}…{text[len(text) - ending :]}"[:width]


def _name(meter: Meter) -> _Shortened:
    if meter.recordings:
        return _Shortened(f"{meter.label}, {meter.read().recordings_done}/{meter.recordings} done", "bold")
    return _Shortened(f"  {meter.label}" if meter.whole else meter.label)


def _bar(meter: Meter) -> ProgressBar:
    now = meter.read()
    return ProgressBar(total=now.total, completed=now.done, width=8)


def _count(meter: Meter) -> Text:
    now = meter.read()
    return Text(f"{_amount(now.done)}/{_amount(now.total)}", "progress.download")


def _amount(count: float) -> str:
    return f"{count:,.0f}" if count < 1e6 else f"{count / 1e6:.2f}M"


def _rate(meter: Meter) -> Text:
    rate = meter.read().rate
    return Text("" if rate is None else f"{number(rate)} {meter.unit}/s")


def _speed(meter: Meter, unit: str) -> Text:
    speed = meter.read().speed
    return Text("" if speed is None else f"{number(speed)} {unit}", "magenta")


def _left(meter: Meter) -> Text:
    seconds = meter.read().seconds_left
    return Text("" if seconds is None else f"{_clock(seconds)} left", "progress.remaining")


def _clock(seconds: float) -> str:
    hours, rest = divmod(math.ceil(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class RichReporter:
    """On a terminal a bar for all that is running, elsewhere a line now and then; a line stays of what is over."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            _Column(_name, shrinks=True),
            _Column(_bar),
            _Column(_count, right=True),
            _Column(_rate, right=True),
            _Column(lambda meter: _speed(meter, "x real time" if console.width >= _WIDE else "x"), right=True),
            _Column(_left, right=True),
            _Column(lambda meter: _Shortened(meter.read().note, "dim"), shrinks=True),
            console=console,
        )
        self._lines = None if console.is_terminal else LogReporter(self._print)
        self._tasks: dict[Meter, TaskID] = {}
        self._lock = threading.Lock()

    def start(self, meter: Meter) -> None:
        """Draw a bar for it, below that of its whole."""
        if self._lines is not None:
            self._lines.start(meter)
        elif meter.read().total:
            with self._lock:
                self._tasks[meter] = self._progress.add_task(meter.name, meter=meter)
                self._progress.start()

    def advanced(self, meter: Meter) -> None:
        """Bars are drawn ten times a second anyway."""
        if self._lines is not None:
            self._lines.advanced(meter)

    def stop(self, meter: Meter) -> None:
        """Remove its bar, and say in a line how it went; a recording gives way to the others without one."""
        if self._lines is not None:
            self._lines.stop(meter)
        elif meter in self._tasks:
            self._remove(meter)

    def _remove(self, meter: Meter) -> None:
        with self._lock:
            for gone in [
                one for one in self._tasks if meter in (one, one.whole)
            ]:  # Ctrl-C ends a whole before its parts
                self._progress.remove_task(self._tasks.pop(gone))
            if not self._tasks:
                self._progress.stop()
        if meter.whole is None:
            line = meter.summary() if meter.recordings else meter.line()
            width = self._progress.console.width
            self._print(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False))

    def _print(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


def problems_table(problems: Sequence[Problem]) -> Table:
    """The table of problems that ingestion found."""
    table = Table(title="Problems", title_justify="left", show_lines=False)
    for heading in ("severity", "recording", "file", "line", "expected", "found"):
        table.add_column(heading, overflow="fold")
    for problem in problems:
        line = "" if problem.line is None else str(problem.line)
        cells = (problem.recording_id or "", problem.path, line, problem.expected, problem.found)
        table.add_row(problem.severity, *(escape(cell) for cell in cells))
    return table


def failures_table(failures: Sequence[Mapping[str, Any]]) -> Table:
    """What failed and why, from the store's failures."""
    table = Table(title="Failures", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("recording", "stage", "error", "message"):
        table.add_column(heading, overflow="fold")
    for failure in failures:
        table.add_row(*(escape(failure[name]) for name in ("recording_id", "stage", "error", "message")))
    return table


def scores_table(scores: ScoreTable, *, note: str) -> Table:
    """One table of scores; its title names partition, pooling and protocol."""
    if len(scores.raters) > _MOST_COLUMNS:
        return _spread_table(scores, note=note)
    table = _empty_table(scores, note)
    table.add_column("", overflow="fold")
    for rater in scores.raters:
        table.add_column("\n".join(rater.split(" ", 1)), justify="right", min_width=5)  # gold over its name
    table.add_column("mean", justify="right", style="bold", min_width=5)
    table.add_column("95 %", justify="right", no_wrap=True)
    for row in scores.rows:
        cells = [_number(value) for value in row.values]
        table.add_row(row.label, *cells, _number(row.mean), _interval(row.summary), style=_ROLE_STYLE[row.role])
    return table


def _spread_table(scores: ScoreTable, *, note: str) -> Table:
    """The same for many raters: their mean, and how far they spread."""
    import statistics

    table = _empty_table(scores, note)
    table.add_column("", overflow="fold")
    for heading in (f"mean of {len(scores.raters)}", "95 %", "lowest", "median", "highest"):
        table.add_column(heading, justify="right")
    for row in scores.rows:
        known = [value for value in row.values if value is not None]
        spread = (min(known), statistics.median(known), max(known)) if known else (None, None, None)
        cells = (_number(row.mean), _interval(row.summary), *map(_number, spread))
        table.add_row(row.label, *cells, style=_ROLE_STYLE[row.role])
    return table


def _empty_table(scores: ScoreTable, note: str) -> Table:
    heading = f"{scores.metric.upper()} of {scores.dimension}, {scores.partition}, {scores.pooling.replace('_', ' ')}"
    caption = f"protocol {scores.protocol}" + (f" ({MARK})" if scores.is_selected_here else "")
    return Table(
        title=f"{heading}{note}",
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
        show_edge=False,
    )


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"[{_bare(score.low, 2)}, {_bare(score.high, 2)}]"


def _number(value: float | None) -> str:
    return "-" if value is None else _bare(value, 3)


def _bare(value: float, digits: int) -> str:
    """As the field writes a CCC, without the 0 before the point: six raters and an interval fit 80 columns.

    >>> _bare(-0.0461, 3)
    '-.046'
    """
    text = f"{value:.{digits}f}"
    return f"{0:.{digits}f}"[1:] if float(text) == 0 else text.replace("0.", ".", 1) if abs(value) < 1 else text
