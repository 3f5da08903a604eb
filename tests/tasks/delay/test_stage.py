"""The search on a store: curves kept, found again without work, and errors that name the rater."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from schemas.errors import TrainingError
from schemas.score_tables import DELAYS as ROWS
from schemas.tables import FEATURES, NUM_FEATURES, RATINGS
from schemas.training import CnnTraining, RnnTraining
from tasks.delay import stage
from tasks.delay.stage import search, with_delays
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, write_part
from tasks.training.data import delays_of, frame_labels

from ..conftest import Fake, recording_of

MODEL = "cnn-12345678"
LATE = {"FM1": 0.0, "FF1": 2.0}
FRAMES = 900


def recordings_of(count: int) -> list[Recording]:
    made = [Fake(recording_id=f"A{number}", partition="train", num_frames=FRAMES) for number in range(count)]
    return [recording_of(fake) for fake in (*made, Fake(recording_id="B1", partition="dev", num_frames=FRAMES))]


def with_features(store: Store, recordings: list[Recording], *, without: str | None = None) -> list[Recording]:
    """Features that show a curve, and raters who follow it; `without` rates the first recording alone."""
    for seed, recording in enumerate(recordings):
        name, rng = recording.recording_id, np.random.default_rng(seed)
        hidden = np.convolve(rng.normal(size=FRAMES + 400), np.hanning(50), "same")
        hidden = 0.5 * hidden / np.abs(hidden).max()
        feature = rng.normal(0, 1, (FRAMES, NUM_FEATURES)).astype(np.float32)
        feature[:, :5] += 10 * hidden[400:, None]
        rows = [
            {
                "recording_id": name,
                "model_id": MODEL,
                "frame_index": frame,
                "time_seconds": frame * 0.04,
                "face_valid": frame % 50 != 0,
                "feature": None if frame % 50 == 0 else feature[frame].tolist(),
            }
            for frame in range(FRAMES)
        ]
        provenance = Provenance(stage="features", stage_key=f"f-{name}")
        write_part(store.features(MODEL, name), pa.Table.from_pylist(rows, schema=FEATURES), provenance)
        write_ratings(store, name, hidden, without=without if seed else None)
    return recordings


def write_ratings(store: Store, name: str, hidden: np.ndarray, *, without: str | None = None, key: str = "r") -> None:
    rows = [
        {
            "recording_id": name,
            "dimension": "valence",
            "rater": rater,
            "time_seconds": sample * 0.04,
            "value": None if rater == without else float(hidden[400 + sample - round(late / 0.04)]),
            "scale_min": -1.0,
            "scale_max": 1.0,
            "is_imputed": False,
        }
        for rater, late in LATE.items()
        for sample in range(FRAMES)
    ]
    table = pa.Table.from_pylist(rows, schema=RATINGS)
    write_part(store.ratings(name), table, Provenance(stage="ratings", stage_key=f"{key}-{name}"))


def test_curves_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    recordings = with_features(store, recordings_of(3))
    assert search(store, recordings, MODEL, "valence") == LATE
    curves = pl.DataFrame(read_table(store.delay(MODEL, "valence"), ROWS))
    assert curves.height == 2 * 25
    best = curves.sort("ccc", descending=True).group_by("rater", maintain_order=True).first()
    assert dict(zip(best["rater"], best["delay_seconds"], strict=True)) == LATE
    assert best["is_best"].all()
    assert curves["is_best"].sum() == 2
    monkeypatch.setattr(stage, "_searched", lambda *_: pytest.fail("nothing has changed"))
    assert search(store, recordings, MODEL, "valence") == LATE
    write_ratings(store, "B1", np.zeros(FRAMES + 400), key="new")  # dev is never read
    assert search(store, recordings, MODEL, "valence") == LATE


def test_too_few_recordings(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recordings = with_features(store, recordings_of(2))
    with pytest.raises(TrainingError, match=r"at least 3 of partition 'train' .* found A0, A1; add recordings"):
        search(store, recordings, MODEL, "valence")


def test_a_rater_of_one_recording_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recordings = with_features(store, recordings_of(3), without="FF1")
    with pytest.raises(TrainingError, match=r"rater FF1: expected at least 3 recordings .* found 1"):
        search(store, recordings, MODEL, "valence")


def test_a_constant_rater_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recordings = with_features(store, recordings_of(3))
    for recording in recordings:
        write_ratings(store, recording.recording_id, np.full(FRAMES + 400, 0.5))
    with pytest.raises(TrainingError, match=r"rater FM1: expected valence that varies"):
        search(store, recordings, MODEL, "valence")


def test_a_training_that_searches(tmp_path: Path) -> None:
    store = Store(tmp_path)
    recordings = with_features(store, recordings_of(3))
    searched = RnnTraining(label_delay_seconds="searched")
    found = with_delays(store, recordings, searched, MODEL)
    assert found == searched.model_copy(update={"label_delay_seconds": LATE})
    assert RnnTraining.model_validate(found.model_dump(mode="json")) == found
    assert with_delays(store, recordings, RnnTraining(label_delay_seconds=2.0), MODEL).label_delay_seconds == 2.0
    assert delays_of(("FF1", "FM1"), found) == [2.0, 0.0]
    assert delays_of(("FF1", "X"), RnnTraining(label_delay_seconds=2.0)) == [2.0, 2.0]
    with pytest.raises(TrainingError, match="found none for X"):
        delays_of(("FF1", "X"), found)
    with pytest.raises(TrainingError, match="found none for FF1"):
        delays_of(("FF1",), searched)
    with pytest.raises(ValueError, match="the search reads features"):
        CnnTraining(label_delay_seconds="searched")
    assert [one.delay_how for one in (searched, found, RnnTraining())] == ["searched", "given", "given"]
    times = np.arange(FRAMES, dtype=np.float64) * 0.04
    labels = frame_labels(store, "A0", times, ("FF1", "FM1"), found)
    np.testing.assert_allclose(labels[: FRAMES - 50, 0], labels[: FRAMES - 50, 1], atol=1e-6)  # one curve, both on time
    assert np.isnan(labels[FRAMES - 50 :, 0]).all()
    assert not np.isnan(labels[:, 1]).any()


@pytest.mark.parametrize("training", [CnnTraining, RnnTraining])
def test_a_preset(tmp_path: Path, training: type[CnnTraining | RnnTraining]) -> None:
    """Of valence and arousal; nothing of the store is read for it."""
    for dimension, seconds in (("valence", 2.0), ("arousal", 4.0)):
        asked = training(label_delay_seconds="preset", dimension=dimension)
        assert asked.delay_how == "preset"
        assert with_delays(Store(tmp_path), [], asked, None).label_delay_seconds == seconds
    asked = training(label_delay_seconds="preset", dimension="liking")
    with pytest.raises(TrainingError, match=r"valence \(2 s\), arousal \(4 s\); found 'liking'; give seconds"):
        with_delays(Store(tmp_path), [], asked, None)
