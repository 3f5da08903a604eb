"""The time shift of post-processing on SYNTHETIC series: every candidate on the same labels, computed again by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from models.metrics import agreement
from models.postprocessing import COARSE_SHIFTS, Chain, fine_shifts
from schemas.tables import PREDICTIONS, RATINGS
from tasks.evaluation.chain import fit_chains
from tasks.evaluation.predictors import ModelPredictor
from tasks.evaluation.targets import targets_of
from tasks.ingest.ratings import RatingTraces
from tasks.store.parts import Provenance, write_part

from ..conftest import EVALUATE, STEP_SECONDS, Corpus, CorpusMaker, Fake

FloatArray = npt.NDArray[np.float64]

MODEL = "elsewhere-01234567"
RATER = "FM1"
FRAMES = 1500
NAMES = ("B1", "B2")


def curve(name: str, seconds: float) -> FloatArray:
    """Slow and aperiodic, so that one shift alone fits; `seconds` later."""
    times = np.arange(FRAMES) * STEP_SECONDS - seconds
    turn = sum(map(ord, name))
    value: FloatArray = 0.5 * np.sin(times / 1.7 + turn) + 0.3 * np.sin(times / 4.1 + 2 * turn)
    return value


@pytest.fixture
def fitted(make_corpus: CorpusMaker) -> Callable[[dict[str, tuple[FloatArray, FloatArray]]], Chain]:
    """The chain of a protocol with a shift alone, of (predicted at frames, rated at the same times) by recording."""
    made: Corpus = make_corpus(
        *(Fake(recording_id=name, partition="dev", num_frames=FRAMES, raters=(RATER,), rated=False) for name in NAMES)
    )

    def fit(series: dict[str, tuple[FloatArray, FloatArray]]) -> Chain:
        times = np.round(np.arange(FRAMES) * STEP_SECONDS, 2)
        for name, (predicted, rated) in series.items():
            columns = {
                "recording_id": [name] * FRAMES,
                "model_id": [MODEL] * FRAMES,
                "frame_index": np.arange(FRAMES),
                "time_seconds": times,
                "dimension": ["valence"] * FRAMES,
                "rater": [RATER] * FRAMES,
                "value": pa.array(predicted, pa.float64()),
                "face_valid": ~np.isnan(predicted),
            }
            table = pa.table({one: columns[one] for one in PREDICTIONS.names}).cast(PREDICTIONS)
            write_part(made.store.predictions(MODEL, name), table, Provenance(stage="predict", stage_key=name))
            ratings = RatingTraces(times, rated[:, None], (RATER,), (-1, 1)).table(name, "valence").cast(RATINGS)
            write_part(made.store.ratings(name), ratings, Provenance(stage="ratings", stage_key=name))
        settings = EVALUATE.model_copy(update={"protocol": "shifted", "chain": ("shift",)})
        predictor = ModelPredictor(made.store, MODEL, "valence", delays={}, chains={})
        targets = targets_of(made.store, "valence", ("none",))
        chains = fit_chains(made.store, made.recordings, MODEL, targets, predictor, settings, dimension="valence")
        return chains[RATER]

    return fit


def by_hand(series: dict[str, tuple[FloatArray, FloatArray]], tried: tuple[float, ...]) -> dict[float, float]:
    """CCC of each shift over the labels that have a prediction under all of them."""
    late = {shift: round(shift / STEP_SECONDS) for shift in (0.0, *COARSE_SHIFTS, *tried)}
    moved: dict[float, list[FloatArray]] = {shift: [] for shift in late}
    rated = []
    for predicted, given in series.values():
        every = {s: np.concatenate([np.full(by, np.nan), predicted[: FRAMES - by]]) for s, by in late.items()}
        kept = ~np.isnan(np.array([*every.values()])).any(axis=0)
        rated.append(given[kept])
        for shift, values in every.items():
            moved[shift].append(values[kept])
    found = {s: agreement(np.concatenate(parts), np.concatenate(rated)).ccc for s, parts in moved.items()}
    return {shift: ccc for shift, ccc in found.items() if ccc is not None}


@pytest.mark.parametrize("lost", [0, 40])
def test_a_shift_is_not_spared_the_start(
    fitted: Callable[[dict[str, tuple[FloatArray, FloatArray]]], Chain], lost: int
) -> None:
    """Ratings 1.2 s late but for the first 9 s, where they are the opposite: a shift of 9 s would leave these out."""
    rng = np.random.default_rng(3)
    series = {}
    for name in NAMES:
        predicted = np.float32(curve(name, 0) + rng.normal(0, 0.1, FRAMES)).astype(float)
        rated = np.clip(curve(name, 1.2), -1, 1)
        rated[:225] = -rated[:225]
        predicted[700 : 700 + lost] = np.nan
        series[name] = predicted, rated
    chain = fitted(series)
    coarse = by_hand(series, ())
    best = max(COARSE_SHIFTS, key=lambda shift: coarse[shift])
    fine = by_hand(series, fine_shifts(best))
    expected = max(fine_shifts(best), key=lambda shift: fine[shift])
    (step,) = chain.steps
    assert step.value == pytest.approx(expected)
    assert step.before == pytest.approx(fine[0.0], abs=1e-9)
    assert step.after == pytest.approx(fine[expected], abs=1e-9)
    assert chain.shift_seconds == pytest.approx(1.2, abs=0.1)


def test_a_shift_that_helps_nowhere_else_is_left_out(
    fitted: Callable[[dict[str, tuple[FloatArray, FloatArray]]], Chain],
) -> None:
    """The ratings are the predictions, but for noise in the first seconds: every shift rises there by leaving out."""
    rng = np.random.default_rng(5)
    series = {}
    for name in NAMES:
        predicted = np.float32(curve(name, 0)).astype(float)
        rated = predicted.copy()
        rated[:250] = rng.uniform(-1, 1, 250)
        series[name] = predicted, rated
    (step,) = fitted(series).steps
    assert not step.kept
    assert step.before == pytest.approx(1.0, abs=1e-9)
