"""Progress of long work: a count, a rate and the time left, on a terminal or in a log.

Stages call `progress.track(...)` and advance it. Where the lines go is decided once, by whoever starts the run: the
command line draws bars on stderr; anything else (a Prefect worker, a library user) gets a log line now and then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_LOG_INTERVAL_SECONDS = 10.0
_logger = logging.getLogger(__name__)


class Bar(Protocol):
    """One thing being counted."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count `amount` more; `note` (loss, CCC, ...) stands behind the bar until the next one."""


class Reporter(Protocol):
    """Where progress goes."""

    def start(self, label: str, total: float, unit: str, done: float) -> Bar: ...

    def stop(self, bar: Bar) -> None: ...


class _LogBar:
    def __init__(self, label: str, total: float, unit: str, done: float) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = self._first = done
        self._started = self._told = time.monotonic()
        self._note = ""

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._done += amount
        self._note = note or self._note
        if time.monotonic() - self._told >= _LOG_INTERVAL_SECONDS:
            self.tell()

    def tell(self) -> None:
        self._told = time.monotonic()
        seconds = max(self._told - self._started, 1e-9)
        rate = (self._done - self._first) / seconds
        if self._done >= self._total:
            left = f"took {seconds:.0f} s"
        else:
            left = f"{(self._total - self._done) / rate:.0f} s left" if rate else "time left unknown"
        text = f"{self._label}: {self._done:.0f}/{self._total:.0f} {self._unit}, {rate:.1f} {self._unit}/s, {left}"
        _logger.info("%s", ", ".join(filter(None, (text, self._note))))


class LogReporter:
    """A log line every ten seconds and one at the end."""

    def start(self, label: str, total: float, unit: str, done: float) -> _LogBar:
        return _LogBar(label, total, unit, done)

    def stop(self, bar: Bar) -> None:
        if isinstance(bar, _LogBar):
            bar.tell()


_reporter: Reporter = LogReporter()


def set_reporter(reporter: Reporter) -> None:
    """Send the progress of this process to `reporter` from now on."""
    global _reporter
    _reporter = reporter


@contextmanager
def track(label: str, total: float, unit: str, *, done: float = 0) -> Iterator[Bar]:
    """Count up to `total` of `unit` under `label`, starting at `done` (what an earlier run left)."""
    reporter = _reporter
    bar = reporter.start(label, total, unit, done)
    try:
        yield bar
    finally:
        reporter.stop(bar)
