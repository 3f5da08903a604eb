"""The learning rate at each step, from the settings and the epochs so far alone: nothing to keep, nothing to resume."""

from __future__ import annotations

import math
from collections.abc import Sequence

from schemas.expressions import ExpressionTraining

_ONECYCLE_START = 0.04  # share of the full rate that a cycle starts at (Smith & Topin 2019 as in PyTorch: 1/25)
_ONECYCLE_RISE = 0.3  # share of the steps that it rises over, unless warmup_epochs says otherwise


def learning_rate(
    settings: ExpressionTraining, *, step: int, steps_per_epoch: int, accuracies: Sequence[float]
) -> float:
    """Rate of one step.

    Args:
        settings: schedule, full rate, epochs.
        step: 0-based, over all epochs.
        steps_per_epoch: batches.
        accuracies: on *choice*, of the epochs that are over.
    """
    full = settings.learning_rate
    if settings.schedule == "constant":
        return full
    if settings.schedule == "plateau":
        return full * settings.plateau_factor ** plateaus(accuracies, patience=settings.plateau_patience)
    total = settings.max_epochs * steps_per_epoch
    warm = settings.warmup_epochs * steps_per_epoch
    start = 0.0
    if settings.schedule == "onecycle":
        start, warm = _ONECYCLE_START, warm or _ONECYCLE_RISE * total
    if step < warm:
        return full * (start + (1 - start) * (step + 1) / (warm + 1))
    return full * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, total - warm)))


def plateaus(accuracies: Sequence[float], *, patience: int) -> int:
    """How often the accuracy has stood still for more than `patience` epochs in a row."""
    best, waited, found = -math.inf, 0, 0
    for accuracy in accuracies:
        if accuracy > best:
            best, waited = accuracy, 0
        else:
            waited += 1
        if waited > patience:
            found, waited = found + 1, 0
    return found
