"""What a training reads of a store, beside the arrays that were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from schemas.errors import TrainingError
from tasks.training.data import (
    FeatureSequence,
    chip_batches,
    feature_statistics,
    frame_labels,
    load_chips,
    rated_by,
    raters_of,
)

from ..conftest import CNN, RATERS, Corpus, chips_of, rating_columns


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_chips_and_labels_of_a_partition(untrained_corpus: Corpus, tmp_path: Path, stride: int, delay: float) -> None:
    settings = CNN.model_copy(update={"frame_stride": stride, "label_delay_seconds": delay})
    found = load_chips(untrained_corpus.store, ["A1", "A2"], RATERS, settings, scratch=tmp_path / "scratch.npy")
    pixels, labels = [], []
    shift = round(delay / 0.04)
    for name in ("A1", "A2"):
        fake = untrained_corpus.fakes[name]
        _, values = rating_columns(fake)
        for frame, chip in enumerate(chips_of(fake)):
            if frame % stride or frame in fake.faceless or frame + shift >= len(values):
                continue
            gray = (chip.astype(np.int64) @ [77, 150, 29] + 128) // 256
            pixels.append((gray.reshape(48, 2, 48, 2).sum(axis=(1, 3)) + 2) // 4)
            labels.append(values[frame + shift])
    np.testing.assert_array_equal(found.pixels[:, 0], np.array(pixels))
    np.testing.assert_array_equal(found.labels, np.array(labels, dtype=np.float32))
    assert np.isnan(found.labels).any()
    assert isinstance(found.pixels, np.memmap)


def test_chips_come_in_order_across_parts_and_row_groups(untrained_corpus: Corpus) -> None:
    for name in ("A1", "A2", "C1"):
        fake = untrained_corpus.fakes[name]
        expected = chips_of(fake)
        every = np.concatenate(list(chip_batches(untrained_corpus.store.frames(name))))
        np.testing.assert_array_equal(every, np.delete(expected, fake.faceless, axis=0))
        use = np.zeros(fake.num_frames, dtype=bool)
        use[[3, 70, 74, 79, 80, 99]] = True
        some = np.concatenate(list(chip_batches(untrained_corpus.store.frames(name), use)))
        np.testing.assert_array_equal(some, expected[use])


def test_swapping_is_a_cycle_without_fixed_points() -> None:
    assert rated_by(["P2", "P1", "P3"], swapped=False) == {"P1": "P1", "P2": "P2", "P3": "P3"}
    swapped = rated_by(["P2", "P1", "P3"], swapped=True)
    assert swapped == {"P1": "P2", "P2": "P3", "P3": "P1"}
    with pytest.raises(TrainingError, match="P1"):
        rated_by(["P1"], swapped=True)


def test_labels_stand_under_the_right_rater(untrained_corpus: Corpus) -> None:
    order = ("FF1", "nobody", "FM1")
    times = np.arange(120, dtype=np.float64) * 0.04
    found = frame_labels(untrained_corpus.store, "B2", times, order, CNN)
    _, values = rating_columns(untrained_corpus.fakes["B2"])
    np.testing.assert_array_equal(found[:, 0], values[:120, 1].astype(np.float32))
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_array_equal(found[:, 2], values[:120, 0].astype(np.float32))


def test_every_rater_of_the_training_recordings(untrained_corpus: Corpus) -> None:
    assert raters_of(untrained_corpus.store, ["B2", "A1"], "valence") == ("FM1", "FF1", "FM2")
    with pytest.raises(TrainingError, match="'arousal'"):
        raters_of(untrained_corpus.store, ["A1"], "arousal")


def test_statistics_ignore_frames_without_a_face() -> None:
    rng = np.random.default_rng(3)
    parts, rows = [], []
    for frames in (5, 9):
        features = rng.normal(100, 3, (frames, 300)).astype(np.float32)
        features[:, 7] = 4.0
        valid = rng.random(frames) < 0.7
        valid[0] = True
        rows.append(features[valid])
        parts.append(
            FeatureSequence(
                torch.from_numpy(features),
                torch.from_numpy(valid),
                np.arange(frames) / 25,
                np.arange(frames, dtype="i4"),
            )
        )
    joined = np.concatenate(rows).astype(np.float64)
    mean, std = feature_statistics(parts)
    np.testing.assert_allclose(mean.numpy(), joined.mean(axis=0), rtol=1e-6)
    expected = joined.std(axis=0)
    expected[7] = 1.0
    np.testing.assert_allclose(std.numpy(), expected, rtol=1e-6)
    blind = FeatureSequence(parts[0].features, torch.zeros(5, dtype=torch.bool), parts[0].times, parts[0].frame_index)
    with pytest.raises(TrainingError, match="no training frame has a face"):
        feature_statistics([blind])
