"""Meters against arithmetic by hand, with a clock that the test turns."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from schemas.errors import DecodeError, StoppedError
from tasks import progress
from tasks.progress import LogReporter, Meter, duration, number, set_reporter, track


class Clock:
    """Stands in for the module `time`, and stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_rate_and_time_left_are_recent(clock: Clock, lines: list[str]) -> None:
    meter = Meter("P16", 7500, "frames", recorded_seconds=300)
    for _ in range(20):
        clock.now += 1
        meter.advance(10)
    for _ in range(20):
        clock.now += 1
        meter.advance(100)
    now = meter.read()
    assert now.done == 2200
    assert now.rate == pytest.approx(100)
    assert now.speed == pytest.approx(100 * 300 / 7500)
    assert now.seconds_left == pytest.approx(5300 / 100)
    clock.now += 15
    assert meter.read().rate == pytest.approx(1500 / 30), "a halt shows at once"
    assert meter.line() == "P16: 2,200/7,500 frames, 50.0 frames/s, 2.00 x real time, 1 min 46 s left"
    meter.stop()
    assert meter.read().rate == pytest.approx(2200 / 55), "in the end that of the whole run"


def test_what_an_earlier_run_left_is_done_but_not_fast(clock: Clock, lines: list[str]) -> None:
    meter = Meter("faces P16", 7500, "frames", done=3000, recorded_seconds=300)
    assert (meter.read().done, meter.read().rate, meter.read().seconds_left) == (3000, None, None)
    assert meter.line().endswith("3,000/7,500 frames, time left unknown")
    clock.now += 4
    meter.advance(1000)
    assert meter.line() == "faces P16: 4,000/7,500 frames, 250 frames/s, 10.0 x real time, 14 s left"
    clock.now += 14
    meter.advance(3500)
    meter.stop()
    assert meter.line() == "faces P16: 7,500/7,500 frames, 250 frames/s, 10.0 x real time, took 18 s"


def test_a_whole_counts_what_its_recordings_count(clock: Clock, lines: list[str]) -> None:
    whole = Meter("faces", 3000, "frames", done=500, recorded_seconds=100, recordings=2)
    slow = Meter("A", 1000, "frames", recorded_seconds=20, whole=whole)  # 50 frames/s
    fast = Meter("B", 2000, "frames", done=500, recorded_seconds=80, whole=whole)  # 25 frames/s
    clock.now += 5
    slow.advance(1000)
    fast.advance(500)
    assert slow.name == "faces A"
    assert whole.line() == (
        "faces: 2,000/3,000 frames, 0/2 recordings, 300 frames/s, 8.00 x real time, 3.3 s left"  # (20 + 20) s / 5 s
    )
    slow.settle(failed=False)
    fast.advance(-500)  # a worker died: its segment is done again
    assert whole.read().done == 1500
    fast.advance(1010)  # the decoder yields ten more than the index has
    fast.advance(500)
    fast.settle(failed=False)
    now = whole.read()
    assert (now.done, now.total, now.recordings_done, now.recordings_failed) == (3010, 3010, 2, 0)
    whole.stop()
    assert whole.summary() == (
        "faces: 2,510 frames in 5.0 s, 502 frames/s, 16.1 x real time, 2/2 recordings, 500 frames were there already"
    )


def test_a_recording_that_fails_is_no_longer_waited_for(lines: list[str]) -> None:
    def one(name: str, frames: int, error: Exception | None = None) -> None:
        with track(name, 100, "frames", within="faces") as bar:
            bar.advance(frames)
            if error is not None:
                raise error

    with track("faces", 300, "frames", recordings=3, recorded_seconds=12):
        with pytest.raises(DecodeError):
            one("A", 40, DecodeError("damaged"))
        one("B", 100)
        with pytest.raises(StoppedError):
            one("C", 10, StoppedError("Ctrl-C"))
        whole = progress._wholes["faces"].read()
    assert (whole.done, whole.total, whole.recordings_done, whole.recordings_failed) == (150, 240, 2, 1)
    assert [line.split(",")[0] for line in lines[:-1]] == [
        "faces A: 40/100 frames",
        "faces B: 100/100 frames",
        "faces C: 10/100 frames",
    ]
    assert "stopped after" in lines[0]
    assert lines[-1].startswith("faces: 150 frames in ")
    assert lines[-1].endswith("2/3 recordings, 1 failed")
    one("A", 100)
    assert lines[-1].startswith("faces A: 100/100 frames"), "without a whole a recording stands alone"
    assert not progress._wholes


def test_threads_lose_nothing(lines: list[str]) -> None:
    def work(name: str) -> None:
        with track(name, 5000, "frames", recorded_seconds=200, within="faces") as bar:
            for _ in range(5000):
                bar.advance()

    with track("faces", 20_000, "frames", recorded_seconds=800, recordings=4) as whole:
        threads = [threading.Thread(target=work, args=(name,)) for name in "ABCD"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert isinstance(whole, Meter)
    now = whole.read()
    assert (now.done, now.total, now.recordings_done) == (20_000, 20_000, 4)
    assert now.rate is not None
    assert now.speed == pytest.approx(now.rate / 25)


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(
    clock: Clock, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    set_reporter(LogReporter())  # until `lines` puts back what was there
    with caplog.at_level(logging.INFO, logger="tasks.progress"), track("train", 100, "steps") as bar:
        for step in range(35):
            clock.now += 1
            bar.advance(1, f"loss {step}")
    assert {one.name for one in caplog.records} == {"tasks.progress"}
    assert [one.getMessage() for one in caplog.records] == [
        "train: 10/100 steps, 1.00 steps/s, 90 s left, loss 9",
        "train: 20/100 steps, 1.00 steps/s, 80 s left, loss 19",
        "train: 30/100 steps, 1.00 steps/s, 70 s left, loss 29",
        "train: 35/100 steps, 1.00 steps/s, stopped after 35 s, loss 34",
    ]


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (number, 1240.4, "1,240"),
        (number, 49.62, "49.6"),
        (number, 0.304, "0.30"),
        (duration, 3.44, "3.4 s"),
        (duration, 9.97, "10 s"),
        (duration, 99.4, "99 s"),
        (duration, 100, "1 min 40 s"),
        (duration, 3599.6, "60 min 00 s"),
        (duration, 7500, "2 h 05 min"),
    ],
)
def test_numbers_for_people(show: Callable[[float], str], value: float, text: str) -> None:
    assert show(value) == text
