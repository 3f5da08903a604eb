"""Bars on terminals that are recorded, at 80 columns and at 120."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from flows.terminal import RichReporter, failures_table, problems_table, scores_table, shortened
from schemas.errors import Problem
from tasks import progress
from tasks.progress import set_reporter, track
from tasks.report.summary import Score, ScoreRow, ScoreTable

LONG = "visit-of-2024-01-31-left-camera-and-everything-else-that-a-name-"


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that meters see."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def reporting() -> Iterator[Callable[[Console], RichReporter]]:
    before = progress._reporter

    def to(console: Console) -> RichReporter:
        reporter = RichReporter(console)
        set_reporter(reporter)
        return reporter

    yield to
    set_reporter(before)


def terminal(width: int) -> Console:
    """A terminal that nobody looks at."""
    return Console(file=io.StringIO(), width=width, height=40, force_terminal=True, color_system=None)


def drawn(reporter: RichReporter, width: int) -> list[str]:
    """The lines that a terminal of this width shows now."""
    console = Console(file=io.StringIO(), width=width, record=True, color_system=None, legacy_windows=False)
    console.print(reporter._progress.get_renderable())
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [80, 120])
def test_the_largest_numbers_stay_on_their_lines(
    reporting: Callable[[Console], RichReporter], seconds: SimpleNamespace, width: int
) -> None:
    reporter = reporting(terminal(width))
    whole = track("faces", 202_500, "frames", recorded_seconds=8100, recordings=27)
    with (
        whole,
        track(LONG, 90_000, "frames", recorded_seconds=3600, within="faces") as long,
        track("P16", 7500, "frames", recorded_seconds=300, within="faces"),
    ):
        seconds.now = 40.0
        long.advance(49_600)
        lines = drawn(reporter, width)
        assert len(lines) == 3
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("faces, 0/27 done")
        assert lines[0].split()[4:7] == ["49,600/202,500", "1,240", "frames/s"]
        assert lines[0].endswith("49.6 x real time 2:04 left" if width == 120 else "49.6 x 2:04 left")
        assert lines[1].endswith("49.6 x real time 0:33 left" if width == 120 else "49.6 x 0:33 left")
        assert lines[1].startswith("  visit-of-")
        assert "…" in lines[1]
        assert lines[2].split()[0] == "P16"
        assert lines[2].split()[-1] == "0/7,500"


def test_what_stays_is_a_line_for_the_whole(
    reporting: Callable[[Console], RichReporter], seconds: SimpleNamespace
) -> None:
    console = terminal(80)
    reporting(console)
    whole = track("faces", 3000, "frames", done=1000, recorded_seconds=120, recordings=1)
    part = track("P16", 3000, "frames", done=1000, recorded_seconds=120, within="faces")
    with whole, part as bar:
        seconds.now = 4.0
        bar.advance(2000)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().endswith(
        "faces: 2,000 frames in 4.0 s, 500 frames/s, 20.0 x real time, 1/1 recordings,\n"
        "  1,000 frames were there already\n"
    )


def test_away_from_a_terminal_there_are_lines(
    reporting: Callable[[Console], RichReporter], seconds: SimpleNamespace
) -> None:
    console = Console(file=io.StringIO(), width=40)
    reporting(console)
    with track("P16", 7500, "frames", recorded_seconds=300, within="faces") as bar:
        for _ in range(2):
            seconds.now += 12.0
            bar.advance(3750)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "faces P16: 3,750/7,500 frames, 312 frames/s, 12.5 x real time, 12 s left",
        "faces P16: 7,500/7,500 frames, 312 frames/s, 12.5 x real time, 0.0 s left",
        "faces P16: 7,500/7,500 frames, 312 frames/s, 12.5 x real time, took 24 s",
    ]


@pytest.mark.parametrize("width", range(1, 12))
def test_names_are_shortened_in_the_middle(width: int) -> None:
    told = shortened("abcdefghij", width)
    assert len(told) == min(width, 10)
    if width < 10:
        left, right = told.split("…")
        assert ("abcdefghij".startswith(left), "abcdefghij".endswith(right)) == (True, True)
        assert len(left) - len(right) in (0, 1)
    assert shortened(Path("P16.mp4").stem, 3) == "P16"


def test_six_raters_a_gold_standard_and_the_interval_fit_eighty_columns() -> None:
    raters = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3", "gold ewe")
    values = (-0.113, 0.0004, -0.0004, 0.5, 1.0, -0.999, None)
    scores = tuple(Score(value, low=-0.091, high=0.256) for value in values)
    row = ScoreRow("human: others' mean", "m", "model", scores, 0.25, Score(0.25, low=-0.091, high=0.256))
    table = ScoreTable("ccc", "test", "concatenated", "valence", "default", 3, raters, (row,), 6)
    console = Console(file=io.StringIO(), width=80)
    console.print(scores_table(table, note=" (synthetic corpus)"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("human")]
    shown = line.split("mean", 1)[1].split()
    assert shown == ["-.113", ".000", ".000", ".500", "1.000", "-.999", "-", ".250", "[-.09,", ".26]"]


def test_brackets_in_a_message_are_no_markup() -> None:
    """A rater called [s], or [ingest] in a remedy, would be taken for a style and vanish."""
    problem = Problem(
        severity="failed", recording_id="P1", path="a[b].csv", expected="one of time [s], t", found="rater '[bold]'"
    )
    failure = {"recording_id": "P1", "stage": "ingest", "error": "RatingsError", "message": "add it to [ingest]"}
    console = terminal(200)
    console.print(problems_table([problem]), failures_table([failure]))
    assert isinstance(console.file, io.StringIO)
    drawn_ = console.file.getvalue()
    for text in ("a[b].csv", "time [s], t", "rater '[bold]'", "add it to [ingest]"):
        assert text in drawn_
