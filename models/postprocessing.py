"""The post-processing chain of AV+EC 2015/16: median filter, centring, scaling, time shift.

Each step is kept only where it raises the CCC of the partition that it is fitted on. Centring and scaling move moments
(`models.metrics.Moments`) and never need the samples; what they use are the partition's statistics, never those of the
recording that is predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.metrics import Moments, mean_known, merged, or_none, scores

FloatArray = npt.NDArray[np.float64]

StepName = Literal["median", "centre", "scale", "shift"]

MEDIAN_SECONDS = (0.4, 0.8, 1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 20.0)
"""Widths that are tried, within the 0.4 to 20 s of AV+EC."""

COARSE_SHIFTS = tuple(round(0.4 * step, 2) for step in range(1, 26))
_FINE_STEP, _FINE_REACH, _SHORTEST, _LONGEST = 0.04, 9, 0.04, 10.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What became of one step: its parameter (seconds, units or a factor), and the CCC before and with it.

    A CCC is None where it is not defined.
    """

    name: StepName
    value: float
    before: float | None
    after: float | None
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A fitted chain of one output: `scale * median(x) + offset`, then `shift_seconds` later. Nothing by default."""

    median_seconds: float = 0.0
    scale: float = 1.0
    offset: float = 0.0
    shift_seconds: float = 0.0
    steps: tuple[Step, ...] = ()


def rescaled(of: Moments, *, scale: FloatArray | float, offset: FloatArray | float) -> Moments:
    """Moments after x became `scale * x + offset`; errors and signs, which need the samples, are NaN."""
    unknown = np.full(of.n.shape, np.nan)
    ends = scale * of.low_x + offset, scale * of.high_x + offset
    return replace(
        of,
        mean_x=scale * of.mean_x + offset,
        ss_x=scale**2 * of.ss_x,
        sp_xy=scale * of.sp_xy,
        low_x=np.where(of.n == 0, of.low_x, np.minimum(*ends)),  # of no sample they are inf and -inf, in this order
        high_x=np.where(of.n == 0, of.high_x, np.maximum(*ends)),
        squared_error=unknown,
        absolute_error=unknown,
        same_sign=unknown,
    )


def partition_ccc(of: Moments, *, concatenated: bool) -> FloatArray:
    """CCC of a partition from moments `[recording, ...]`: recordings joined, or the mean of theirs. NaN: undefined."""
    if concatenated:
        return scores(merged(of))["ccc"]
    return mean_known(scores(of)["ccc"], axis=0)


def choose(chain: Chain, name: StepName, values: Sequence[float], before: float, after: FloatArray) -> Chain:
    """The chain with the best of several parameters of a step, if that beats going without; else the step left out.

    Args:
        chain: what stands so far.
        name: `median` or `shift`.
        values: seconds, one for each of `after`.
        before: CCC without the step.
        after: `[candidate]` CCC with each.
    """
    best = int(np.argmax(np.where(np.isfinite(after), after, -np.inf)))
    kept = bool(after[best] > before)
    step = Step(name=name, value=float(values[best]), before=or_none(before), after=or_none(after[best]), kept=kept)
    chain = replace(chain, steps=(*chain.steps, step))
    if not kept:
        return chain
    return replace(chain, median_seconds=step.value) if name == "median" else replace(chain, shift_seconds=step.value)


def centred_and_scaled(chain: Chain, of: Moments, steps: Sequence[StepName], *, concatenated: bool) -> Chain:
    """The chain with centring and scaling, each where it is asked for and raises the CCC.

    Centring moves the partition's mean prediction onto its mean rating; scaling then stretches about that mean by the
    ratio of standard deviations, rating over prediction.

    Args:
        chain: with its median filter chosen.
        of: `[recording]`, of the filtered predictions against the ratings of the fitting partition.
        steps: which of `centre` and `scale` to try.
        concatenated: how the partition's CCC pools recordings.
    """
    whole = merged(of)
    for name in ("centre", "scale"):
        if name not in steps:
            continue
        now = rescaled(of, scale=chain.scale, offset=chain.offset)
        before = float(partition_ccc(now, concatenated=concatenated))
        mean = float(chain.scale * whole.mean_x + chain.offset)
        if name == "centre":
            value = float(whole.mean_y) - mean
            scale, offset = chain.scale, chain.offset + value
        else:
            spread = float(np.sqrt(whole.ss_x)) * abs(chain.scale)
            value = float(np.sqrt(whole.ss_y)) / spread if spread > 0 else 1.0
            scale, offset = chain.scale * value, mean + value * (chain.offset - mean)
        tried = rescaled(of, scale=scale, offset=offset)
        after = float(partition_ccc(tried, concatenated=concatenated))
        kept = after > before
        step = Step(name=name, value=value, before=or_none(before), after=or_none(after), kept=kept)
        chain = replace(chain, steps=(*chain.steps, step))
        if kept:
            chain = replace(chain, scale=scale, offset=offset)
    return chain


def fine_shifts(coarse: float) -> tuple[float, ...]:
    """Shifts around a coarse one, within the 0.04 to 10 s of AV+EC."""
    around = [coarse + _FINE_STEP * step for step in range(-_FINE_REACH, _FINE_REACH + 1)]
    return tuple(round(value, 2) for value in around if _SHORTEST - 1e-9 <= value <= _LONGEST + 1e-9)
