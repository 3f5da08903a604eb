"""The errors of a report as charts and in words."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.report.drawing import Chart, line_chart
from tasks.report.errors import ErrorBin, Errors
from tasks.report.signals import Signals
from tasks.report.words import clock, number


@dataclass(frozen=True)
class FaceRow:
    """Samples by how long the face had been lost: share of all, RMSE, and its bar in percent of the longest."""

    label: str
    n: int
    share: float
    rmse: float | None
    bar: float


@dataclass(frozen=True)
class ErrorCharts:
    """What the section on errors draws."""

    time: Chart | None
    time_words: str
    faces: tuple[FaceRow, ...]
    face_words: str


def error_charts(signals: Signals) -> ErrorCharts:
    """Error by time since the start, and by missing faces."""
    by_time = _solid(signals.errors)
    return ErrorCharts(
        time=_time_chart(signals) if len(by_time) > 1 else None,
        time_words=_time_words(by_time, signals.errors.width_seconds),
        faces=_face_rows(signals),
        face_words=_face_words(signals.errors.by_face),
    )


def _solid(errors: Errors) -> list[ErrorBin]:
    """Bins of time with enough samples to say something: at least a tenth of what the fullest has."""
    most = max((one.n for one in errors.by_time), default=0)
    return [one for one in errors.by_time if one.rmse is not None and 10 * one.n >= most]


def _time_chart(signals: Signals) -> Chart:
    bins, width = _solid(signals.errors), signals.errors.width_seconds

    def points(values: list[float | None]) -> list[tuple[float, float]]:
        middles = [one.start + width / 2 for one in bins]
        return [(x, float("nan") if y is None else y) for x, y in zip(middles, values, strict=True)]

    model, single = [one.rmse for one in bins], [one.single for one in bins]
    top = max(value for value in (*model, *single) if value is not None)
    alt = "RMSE by time since the start: " + "; ".join(
        f"{clock(one.start)} {number(one.rmse, 2)}" for one in bins if one.rmse is not None
    )
    return line_chart(
        "RMSE by seconds since the start",
        [("single", points(single)), ("prediction", points(model))],
        x_range=(0.0, bins[-1].start + width),
        y_range=(0.0, 1.08 * top or 1.0),
        alt=alt,
    )


def _time_words(bins: list[ErrorBin], width_seconds: float) -> str:
    if len(bins) < 2:
        return "Too few samples to say anything about time."
    worst = max(bins, key=lambda one: one.rmse or 0.0)
    best = min(bins, key=lambda one: one.rmse or 0.0)
    first = bins[0]
    lean, far = "above" if (first.bias or 0.0) > 0 else "below", number(abs(first.bias or 0.0))
    return (
        f"The error is largest from {clock(worst.start)} on (RMSE {number(worst.rmse)}) and smallest from "
        f"{clock(best.start)} on ({number(best.rmse)}). In the first {width_seconds:g} s predictions lie {far} {lean} "
        "the ratings on average."
    )


def _face_rows(signals: Signals) -> tuple[FaceRow, ...]:
    bins = signals.errors.by_face
    total, top = sum(one.n for one in bins), max((one.rmse or 0.0 for one in bins), default=0.0)
    return tuple(
        FaceRow(one.label, one.n, one.n / total, one.rmse, round(100 * (one.rmse or 0.0) / top, 1) if top else 0.0)
        for one in bins
        if one.n
    )


def _face_words(bins: tuple[ErrorBin, ...]) -> str:
    found, lost = bins[0], [one for one in bins[1:] if one.n]
    if not found.n and not lost:
        return "No frames in the store: where faces were missed is not known."
    if not lost:
        return "A face was found at every sample that is scored."
    n = sum(one.n for one in lost)
    rmse = (sum(one.n * (one.rmse or 0.0) ** 2 for one in lost) / n) ** 0.5
    share = 100 * n / (n + found.n)
    if found.rmse is None:
        return f"No face was found at any scored sample (RMSE {number(rmse)})."
    verb = "larger" if rmse > found.rmse else "no larger"
    return (
        f"{share:.1f} % of the scored samples have no face. Their error is {verb}: RMSE {number(rmse)}, with a face "
        f"{number(found.rmse)}. Without a face a model goes on with what it last saw."
    )
