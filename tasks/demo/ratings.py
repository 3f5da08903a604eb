"""The hidden valence of the sample corpus, and the six people who rate it, each in their own way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.demo.subjects import FRAME_RATE, FloatArray, generator, smooth_noise

RATING_STEP_SECONDS = 0.04
_DECIMALS = 2
_SPREAD = 0.75
_REACTION_SECONDS = 0.12  # a hand on a slider smooths what it follows; symmetric, so that it adds no delay


@dataclass(frozen=True, kw_only=True)
class Rater:
    """A person: the same delay, bias and scale in every recording. Valence is in -1..1."""

    name: str
    delay_seconds: float
    bias: float
    scale: float
    wander: float
    """Standard deviation of slow disagreement."""
    jitter: float
    """Standard deviation of the hand's quick movement."""


RATERS = (
    Rater(name="FM1", delay_seconds=1.2, bias=0.04, scale=0.85, wander=0.06, jitter=0.010),
    Rater(name="FM2", delay_seconds=2.2, bias=-0.08, scale=0.60, wander=0.09, jitter=0.015),
    Rater(name="FM3", delay_seconds=0.8, bias=0.12, scale=0.75, wander=0.07, jitter=0.008),
    Rater(name="FF1", delay_seconds=1.8, bias=0.00, scale=1.00, wander=0.08, jitter=0.012),
    Rater(name="FF2", delay_seconds=3.0, bias=-0.14, scale=0.50, wander=0.11, jitter=0.020),
    Rater(name="FF3", delay_seconds=1.4, bias=0.07, scale=0.70, wander=0.05, jitter=0.010),
)
HEADER = ";".join([f"{name} " if name not in ("time", "FF3") else name for name in ("time", *(r.name for r in RATERS))])
"""RECOLA's own: a trailing space on every rater but the last."""


def frame_times(frames: int) -> FloatArray:
    """Presentation times [frame] in seconds of a constant 25 frames/s."""
    return np.arange(frames) / FRAME_RATE


def hidden_valence(recording_id: str, frames: int, *, seed: int) -> FloatArray:
    """What the face shows [frame], -1..1 (open): smooth, with several swings in 40 s, drawn from seed and id alone."""
    rng = generator(seed, recording_id, "valence")
    offset, strength = rng.normal(0, 0.22), rng.uniform(0.85, 1.15)
    curve: FloatArray = np.tanh(offset + strength * _SPREAD * smooth_noise(rng, frames, 5, 30))
    return curve


def rate(valence: FloatArray, rater: Rater, rng: np.random.Generator) -> FloatArray:
    """One person's rating of one recording.

    Args:
        valence: [frame], what the face shows at 25 frames/s.
        rater: who rates.
        rng: the recording's own randomness for this rater.

    Returns: [frame + 1], one more than there are frames as in RECOLA; -1..1 in steps of 0.01; 0 until the delay is
        over.
    """
    count = len(valence) + 1
    late = round(rater.delay_seconds / RATING_STEP_SECONDS)
    reach = round(3 * _REACTION_SECONDS * FRAME_RATE)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (_REACTION_SECONDS * FRAME_RATE)) ** 2)
    followed = np.convolve(np.pad(valence, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
    wander = rater.wander * smooth_noise(rng, count, 4, 25)
    jitter = rater.jitter * smooth_noise(rng, count, 0.4, 2)
    rating = np.zeros(count)
    seen = max(0, count - late)
    rating[late:] = rater.bias + rater.scale * followed[:seen] + (wander + jitter)[late:]
    return np.asarray(np.round(np.clip(rating, -1, 1), _DECIMALS) + 0.0, dtype=np.float64)  # + 0.0: no "-0.00"


def ratings_csv(recording_id: str, valence: FloatArray, *, seed: int) -> str:
    """A RECOLA annotation file: `;`, `HEADER`, one row each 0.04 s from 0 to the end inclusive, two decimals."""
    columns = [rate(valence, rater, generator(seed, recording_id, rater.name)) for rater in RATERS]
    lines = [HEADER]
    for row, values in enumerate(np.column_stack(columns)):
        lines.append(";".join(f"{value:.2f}" for value in (row * RATING_STEP_SECONDS, *values)))
    return "\n".join(lines) + "\n"
