"""Progress of long work: a count, a rate and the time left, on a terminal or in a log.

Stages call `track(...)` and advance what it gives them. Where it shows is decided once, by whoever starts the run: the
command line draws bars on stderr; anything else (a Prefect worker, a library user) gets a log line now and then.

Rate and time left are those of the last quarter of a minute, and of this run alone: what an earlier run left on disk is
counted as done, never as fast.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from schemas.errors import RecordingError

_LOG_INTERVAL_SECONDS = 10.0
_RECENT_SECONDS = 15.0
_SAMPLE_SECONDS = 0.5
_logger = logging.getLogger(__name__)


class Bar(Protocol):
    """One thing being counted."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` more; `note` (loss, CCC, ...) stands behind the bar until the next one."""


class Reporter(Protocol):
    """Where progress goes. Its methods are called from any thread."""

    def start(self, meter: Meter) -> None: ...

    def advanced(self, meter: Meter) -> None: ...

    def stop(self, meter: Meter) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A meter at one moment.

    `rate` is in units per second and `speed` in recorded seconds per second of wall time (multiples of real time), both
    recent, and over all of this run once the meter has stopped. `rate` is None while nothing is known, `speed` also
    where nothing recorded is counted. `fresh` are the units of this run, without those an earlier one left.
    """

    done: float
    total: float
    fresh: float
    rate: float | None
    speed: float | None
    elapsed_seconds: float
    recordings_done: int
    recordings_failed: int
    note: str

    @property
    def seconds_left(self) -> float | None:
        """At the recent rate; None while that is unknown."""
        return max(self.total - self.done, 0.0) / self.rate if self.rate else None


class Meter:
    """Counts one thing, and feeds the whole that it belongs to. Safe to use from several threads.

    The arguments are those of `track`; `whole` is the meter of the whole.
    """

    def __init__(
        self,
        label: str,
        total: float,
        unit: str,
        *,
        done: float = 0,
        recorded_seconds: float = 0.0,
        recordings: int = 0,
        whole: Meter | None = None,
    ) -> None:
        self.label, self.unit, self.recordings, self.whole = label, unit, recordings, whole
        self._total, self._done, self._first = total, done, done
        self._seconds_per_unit = recorded_seconds / total if total else 0.0
        self._is_recorded = recorded_seconds > 0
        self._seconds = 0.0
        self._recordings_done = self._recordings_failed = 0
        self._note = ""
        self._started = time.monotonic()
        self._stopped: float | None = None
        self._samples = deque([(self._started, done, 0.0)])
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Label, after that of the whole."""
        return f"{self.whole.label} {self.label}" if self.whole else self.label

    def advance(self, amount: float = 1, note: str = "") -> None:
        """See `Bar.advance`."""
        seconds = amount * self._seconds_per_unit
        for meter in filter(None, (self, self.whole)):
            meter._count(amount, seconds, note if meter is self else "")
            _reporter.advanced(meter)

    def _count(self, amount: float, seconds: float, note: str) -> None:
        with self._lock:
            self._done += amount
            self._seconds += seconds
            self._note = note or self._note
            now = time.monotonic()
            if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
                self._samples.append((now, self._done, self._seconds))
                while len(self._samples) > 1 and self._samples[1][0] <= now - _RECENT_SECONDS:
                    self._samples.popleft()

    def stop(self) -> None:
        """Count no more."""
        with self._lock:
            self._stopped = time.monotonic()

    def settle(self, *, failed: bool) -> None:
        """Tell the whole that this recording is over: what it lacks, or has beyond its total, is no longer expected."""
        if self.whole is not None:
            with self._lock:
                surplus = self._done - self._total
            with self.whole._lock:
                self.whole._total += surplus
                self.whole._recordings_done += 1
                self.whole._recordings_failed += failed

    def read(self) -> Reading:
        """The meter as it stands."""
        with self._lock:
            if self._stopped is None:
                now, (since, done, recorded) = time.monotonic(), self._samples[0]
            else:
                now, (since, done, recorded) = self._stopped, (self._started, self._first, 0.0)
            span = max(now - since, 1e-9)
            is_known = self._done != done and (span >= _SAMPLE_SECONDS or self._stopped is not None)
            return Reading(
                done=self._done,
                total=self._total,
                fresh=self._done - self._first,
                rate=(self._done - done) / span if is_known else None,
                speed=(self._seconds - recorded) / span if is_known and self._is_recorded else None,
                elapsed_seconds=now - self._started,
                recordings_done=self._recordings_done,
                recordings_failed=self._recordings_failed,
                note=self._note,
            )

    def line(self) -> str:
        """One line of a log, such as `faces P16: 3,200/7,500 frames, 1,240 frames/s, 49.6 x real time, 3 s left`."""
        now = self.read()
        parts = [f"{self.name}: {now.done:,.0f}/{now.total:,.0f} {self.unit}"]
        if self.recordings:
            parts.append(f"{now.recordings_done}/{self.recordings} recordings")
        parts += _speeds(now, self.unit)
        if self._stopped is not None:
            parts.append(f"{'took' if now.done >= now.total else 'stopped after'} {duration(now.elapsed_seconds)}")
        else:
            left = now.seconds_left
            parts.append("time left unknown" if left is None else f"{duration(left)} left")
        return ", ".join([*parts, *filter(None, [now.note])])

    def summary(self) -> str:
        """One line on a whole that has stopped: what this run did, and at what speed."""
        now = self.read()
        parts = [
            f"{self.name}: {now.fresh:,.0f} {self.unit} in {duration(now.elapsed_seconds)}",
            *_speeds(now, self.unit),
            f"{now.recordings_done}/{self.recordings} recordings",
        ]
        if now.recordings_failed:
            parts.append(f"{now.recordings_failed} failed")
        if self._first:
            parts.append(f"{self._first:,.0f} {self.unit} were there already")
        return ", ".join(parts)


def _speeds(now: Reading, unit: str) -> list[str]:
    rate = [] if now.rate is None else [f"{number(now.rate)} {unit}/s"]
    return rate + ([] if now.speed is None else [f"{number(now.speed)} x real time"])


def number(value: float) -> str:
    """A rate for people: three digits or more.

    >>> number(1240.4), number(49.62), number(0.3)
    ('1,240', '49.6', '0.30')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """A time span for people.

    >>> duration(3.4), duration(250), duration(7500)
    ('3.4 s', '4 min 10 s', '2 h 05 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class LogReporter:
    """A line every ten seconds for whatever advances, and one at the end.

    Args:
        say: takes a line; the log by default.
    """

    def __init__(self, say: Callable[[str], None] = lambda line: _logger.info("%s", line)) -> None:
        self._say = say
        self._told: dict[Meter, float] = {}
        self._lock = threading.Lock()

    def start(self, meter: Meter) -> None:
        """Begin counting the ten seconds."""
        with self._lock:
            self._told[meter] = time.monotonic()

    def advanced(self, meter: Meter) -> None:
        """Tell, if it is time to."""
        now = time.monotonic()
        with self._lock:
            if now - self._told.get(meter, now) < _LOG_INTERVAL_SECONDS:
                return
            self._told[meter] = now
        self._say(meter.line())

    def stop(self, meter: Meter) -> None:
        """Tell how it ended."""
        with self._lock:
            self._told.pop(meter, None)
        self._say(meter.summary() if meter.recordings else meter.line())


_reporter: Reporter = LogReporter()
_wholes: dict[str, Meter] = {}


def set_reporter(reporter: Reporter) -> None:
    """Send the progress of this process to `reporter` from now on."""
    global _reporter
    _reporter = reporter


@contextmanager
def track(
    label: str,
    total: float,
    unit: str,
    *,
    done: float = 0,
    recorded_seconds: float = 0.0,
    recordings: int = 0,
    within: str = "",
) -> Iterator[Bar]:
    """Count up to `total` of `unit` under `label`.

    Args:
        label: what is being done, and to what.
        total: units there are.
        unit: plural noun.
        done: units that an earlier run left; they do not count into the rate.
        recorded_seconds: length of what the `total` units were recorded in; gives multiples of real time.
        recordings: this is the whole of so many recordings, each tracked `within` it; those advance it, and `total`
            and `done` are their sums.
        within: label of the whole that this recording is part of. Where no such whole is being tracked it stands alone.
    """
    whole = _wholes.get(within)
    meter = Meter(
        label if whole or not within else f"{within} {label}",
        total,
        unit,
        done=done,
        recorded_seconds=recorded_seconds,
        recordings=recordings,
        whole=whole,
    )
    reporter = _reporter
    if recordings:
        _wholes[label] = meter
    reporter.start(meter)
    try:
        yield meter
        meter.settle(failed=False)
    except RecordingError:
        meter.settle(failed=True)
        raise
    finally:
        if recordings:
            del _wholes[label]
        meter.stop()
        reporter.stop(meter)
