"""Curves over epochs and the reliability diagram, as numbers that the template draws with inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.classification import CALIBRATION_BINS
from schemas.cards import ExpressionCard
from tasks.report.drawing import HEIGHT, WIDTH, Chart, Curve, Tick, nice_ticks


@dataclass(frozen=True)
class ReliabilityBar:
    """One bin of confidence: left and width, height of the accuracy, all in percent; `label` says it in words."""

    left: float
    width: float
    height: float
    label: str


def epoch_charts(cards: Sequence[ExpressionCard]) -> tuple[Chart, Chart]:
    """Cross-entropy and accuracy (per cent) by epoch."""
    losses = [("single", [[e.train_loss for e in card.history] for card in cards])]
    accuracies = [("single", [[100 * e.train_accuracy for e in card.history] for card in cards])]
    if cards[0].dataset.choice:
        losses += [("prediction", [[e.choice_loss or 0.0 for e in card.history] for card in cards])]
        accuracies += [("prediction", [[100 * (e.choice_accuracy or 0.0) for e in card.history] for card in cards])]
    return _chart("Loss (cross-entropy)", losses), _chart("Accuracy, %", accuracies)


def _chart(title: str, series: Sequence[tuple[str, list[list[float]]]]) -> Chart:
    everything = [value for _, runs in series for run in runs for value in run]
    longest = max(len(run) for _, runs in series for run in runs)
    low, high = min(everything), max(everything)
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def path(run: Sequence[float]) -> str:
        points = [
            (WIDTH * (epoch + 0.5) / longest, HEIGHT * (high - value) / (high - low)) for epoch, value in enumerate(run)
        ]
        start, *rest = (f"{x:.1f} {y:.1f}" for x, y in points)
        return f"M{start}" + ("".join(f"L{point}" for point in rest) or "h4")

    step = max(1, round(nice_ticks(0, longest, 8)[1])) if longest > 8 else 1
    x_ticks = [Tick(round(100 * (epoch - 0.5) / longest, 2), str(epoch)) for epoch in range(step, longest + 1, step)]
    y_ticks = [Tick(round(100 * (high - y) / (high - low), 2), f"{y:g}"[:5]) for y in nice_ticks(low, high, 4)]
    ends = ", ".join(f"{'training' if kind == 'single' else 'choice'} {runs[0][-1]:.3g}" for kind, runs in series)
    return Chart(
        title=title,
        curves=tuple(Curve(kind, path(run)) for kind, runs in series for run in runs),
        gaps="",
        x_ticks=tuple(x_ticks),
        y_ticks=tuple(y_ticks),
        alt=f"{title} by epoch, {longest} epochs; at the end of the first run: {ends}",
    )


def reliability_bars(
    counts: npt.NDArray[np.int64], confidence: npt.NDArray[np.float64], accuracy: npt.NDArray[np.float64]
) -> tuple[ReliabilityBar, ...]:
    """A bar for each bin that holds a face: how often those faces were named right."""
    width = 100 / CALIBRATION_BINS
    return tuple(
        ReliabilityBar(
            left=round(number * width, 2),
            width=round(width, 2),
            height=round(100 * float(accuracy[number]), 2),
            label=f"said {100 * confidence[number]:.0f} % sure, right {100 * accuracy[number]:.0f} % of {count}",
        )
        for number, count in enumerate(counts.tolist())
        if count
    )
