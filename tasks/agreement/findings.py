"""What looks wrong with a rater, in words: stands apart, is constant, flipped, late or early, or gave nothing; and
where nobody agrees with anybody.

A finding is a hint to look at the ratings. Nothing is dropped because of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.metrics import Moments, scores
from schemas.errors import few
from tasks.agreement.pool import LAG_STEP_SECONDS, Measured, lag_seconds

FloatArray = npt.NDArray[np.float64]

FLIP = -0.3
"""Correlation with the mean of the others from which a sign flip is likely, if the others agree with each other."""

OTHERS_AGREE = 0.2
"""Mean pairwise correlation from which raters count as agreeing."""

NOBODY_AGREES = 0.1
"""Mean pairwise correlation below which there is nothing in common to predict."""

APART = 0.25
"""How far below the median of the others a rater's correlation stands who stands apart."""

LAG_GAIN = 0.05
"""What a shift must add to a rater's correlation with the others to be a likely delay."""

MAX_NAMED = 8
"""Raters named in one message; further ones are counted."""

FEWEST = 100
"""Samples in common below which only what is certain is said."""


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong: `recording_id` None means over all recordings."""

    recording_id: str | None
    rater: str | None
    kind: str
    value: float | None
    message: str


def certain(measured: Measured, recording_id: str, values: FloatArray) -> Iterator[Finding]:
    """Of one recording: who gave no value, who gave one alone, who rated alone or hardly.

    Args:
        measured: of this recording.
        recording_id: whose.
        values: `[sample, rater]`, NaN where missing.
    """
    where = f"{recording_id}: rater"
    for place, rater in enumerate(measured.raters):
        given = values[:, place][~np.isnan(values[:, place])]
        if given.size == 0:
            message = f"{where} {rater} has no value; left out here. Check the file, or remove the empty column"
            yield Finding(recording_id, rater, "no_values", None, message)
        elif given.size > 1 and bool((given == given[0]).all()):
            message = (
                f"{where} {rater} is constant at {given[0]:g} over {given.size} samples: correlations are not defined "
                "and CCC is 0. Check whether the rater's device was on"
            )
            yield Finding(recording_id, rater, "constant", float(given[0]), message)
    rated = [rater for rater, n in zip(measured.raters, measured.samples, strict=True) if n > 0]
    if len(rated) == 1:
        message = (
            f"{where} {rated[0]} is the only one with values: there is nobody to agree with, and a gold standard is "
            "this rater. Add the other raters' files, or read this recording's figures for what they are"
        )
        yield Finding(recording_id, rated[0], "too_few", 1.0, message)
    elif measured.samples.max(initial=0) < FEWEST:
        most = measured.samples.max(initial=0)
        message = (
            f"{recording_id}: raters {few(rated, MAX_NAMED)} gave {most:.0f} samples at most: too few for more than a "
            f"rough figure ({FEWEST} are looked for). Check whether the file is whole, or leave the recording out"
        )
        yield Finding(recording_id, None, "too_few", float(most), message)


def likely(measured: Measured, recording_id: str | None) -> Iterator[Finding]:
    """Of one recording, or of all (None): sign flips, who stands apart, no agreement; over all also who is late."""
    flips = list(_flips_and_apart(measured, recording_id))
    yield from flips
    if not any(one.kind == "sign_flip" for one in flips):  # whose mean correlation is low because of one rater
        yield from _nobody_agrees(measured, recording_id)
    if recording_id is None:
        yield from _shifted(measured)


def _nobody_agrees(measured: Measured, recording_id: str | None) -> Iterator[Finding]:
    known = np.where(measured.pairs.n >= FEWEST, scores(measured.pairs)["cc"], np.nan)
    above = known[np.triu_indices(len(known), 1)]
    above = above[~np.isnan(above)]
    if not above.size or above.mean() >= NOBODY_AGREES:
        return
    raters = [name for name, n in zip(measured.raters, measured.samples, strict=True) if n > 0]
    where = recording_id or "over all recordings"
    message = (
        f"{where}: raters {few(raters, MAX_NAMED)} do not agree: mean pairwise correlation {above.mean():.2f}. "
        "A gold standard says little here, and ewe and avec2018 may fall back to the mean. Look at the traces, score "
        'raters apart (gold "none"), or leave the recording out'
    )
    yield Finding(recording_id, None, "no_agreement", float(above.mean()), message)


def _flips_and_apart(measured: Measured, recording_id: str | None) -> Iterator[Finding]:
    where = f"{recording_id}: rater" if recording_id is not None else "over all recordings, rater"
    line = np.where(measured.others.n >= FEWEST, scores(measured.others)["cc"], np.nan)
    for place, rater in enumerate(measured.raters):
        if np.isnan(line[place]):
            continue
        rest = _rest_agrees(measured.pairs, place)
        if line[place] <= FLIP and rest >= OTHERS_AGREE:
            message = (
                f"{where} {rater} correlates {line[place]:.2f} with the mean of the others, who agree with each other "
                f"({rest:.2f}): the sign is likely flipped. Compare the scale's direction with the others' and correct "
                "the file"
            )
            yield Finding(recording_id, rater, "sign_flip", float(line[place]), message)
            continue
        others = np.delete(line, place)
        usual = float(np.median(others[~np.isnan(others)])) if (~np.isnan(others)).sum() >= 2 else np.nan
        if recording_id is None and usual - line[place] >= APART:
            message = (
                f"{where} {rater} stands apart: {line[place]:.2f} with the mean of the others, where these reach "
                f"{usual:.2f} in the median. Look at the traces before trusting a mean that includes this rater"
            )
            yield Finding(None, rater, "apart", float(line[place]), message)


def _rest_agrees(pairs: Moments, without: int) -> float:
    """Mean pairwise correlation of the other raters; NaN with fewer than two."""
    rest = np.delete(np.delete(scores(pairs)["cc"], without, axis=0), without, axis=1)
    above = rest[np.triu_indices(len(rest), 1)]
    above = above[~np.isnan(above)]
    return float(above.mean()) if above.size else float("nan")


def _shifted(measured: Measured) -> Iterator[Finding]:
    lags = lag_seconds()
    enough = measured.lags.n * LAG_STEP_SECONDS >= 60  # a minute in common
    curves = np.where(enough, scores(measured.lags)["cc"], -np.inf)
    curves = np.where(np.isnan(curves), -np.inf, curves)
    unshifted = len(lags) // 2
    for place, rater in enumerate(measured.raters):
        best = int(curves[:, place].argmax())
        at_best, at_zero = curves[best, place], curves[unshifted, place]
        if best == unshifted or not np.isfinite(at_zero) or at_best < OTHERS_AGREE or at_best - at_zero < LAG_GAIN:
            continue
        late = lags[best] > 0
        side = "behind" if late else "ahead of"
        amount = f"{abs(lags[best]):.1f} s{' or more' if best in (0, len(lags) - 1) else ''}"
        message = (
            f"over all recordings, rater {rater} is likely {amount} {side} the others: correlation {at_best:.2f} "
            f"when shifted by that, {at_zero:.2f} as it is. Check the start of the rater's clock, or use a delay "
            "of the rater's own"
        )
        yield Finding(None, rater, "late" if late else "early", float(lags[best]), message)
