"""Scores of a classifier against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn
from torch.nn import functional as F

from models.classification import (
    CALIBRATION_BINS,
    accuracy_interval,
    calibration_error,
    confusion_matrix,
    log_loss,
    recalls,
    reliability,
)
from models.saliency import saliency

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, size=300)
VALUES = RNG.dirichlet(np.full(5, 0.4), size=300)


def test_confusion_and_recall_are_counts() -> None:
    predicted = VALUES.argmax(axis=1)
    found = confusion_matrix(LABELS, predicted, num_classes=6)
    for label in range(6):
        for name in range(6):
            assert found[label, name] == sum((label == LABELS) & (predicted == name))
    shares = recalls(found)
    assert math.isnan(shares[5])
    assert shares[2] == pytest.approx(np.mean(predicted[LABELS == 2] == 2))


def test_log_loss_is_pytorchs() -> None:
    wanted = F.nll_loss(torch.from_numpy(VALUES).log(), torch.from_numpy(LABELS))
    assert log_loss(VALUES, LABELS) == pytest.approx(float(wanted), rel=1e-12)
    assert log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-math.log(1e-12))


def test_calibration_error_is_the_papers() -> None:
    confidence, right = VALUES.max(axis=1), VALUES.argmax(axis=1) == LABELS
    total = 0.0
    counts, said, was = reliability(VALUES, LABELS)
    for number in range(CALIBRATION_BINS):
        low, high = number / CALIBRATION_BINS, (number + 1) / CALIBRATION_BINS
        inside = (confidence > low) & (confidence <= high)
        assert counts[number] == inside.sum()
        if inside.any():
            assert said[number] == pytest.approx(confidence[inside].mean())
            assert was[number] == pytest.approx(right[inside].mean())
            total += inside.sum() / 300 * abs(right[inside].mean() - confidence[inside].mean())
        else:
            assert math.isnan(was[number])
    assert calibration_error(VALUES, LABELS) == pytest.approx(total)
    assert calibration_error(np.eye(5)[LABELS], LABELS) == 0.0


def test_saliency_is_the_gradient() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5)).double().eval()
    pictures = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    outputs = torch.tensor([1, 4])
    found = saliency(network, pictures, outputs)
    assert found.shape == (2, 8, 8)
    for picture, (row, column) in ((0, (2, 3)), (1, (7, 0))):
        slopes = []
        for channel in range(3):
            ahead, behind = pictures.clone(), pictures.clone()
            ahead[picture, channel, row, column] += 1e-6
            behind[picture, channel, row, column] -= 1e-6
            with torch.no_grad():
                change = (network(ahead) - network(behind))[picture, outputs[picture]]
            slopes.append(abs(float(change)) / 2e-6)
        assert float(found[picture, row, column]) == pytest.approx(max(slopes), rel=1e-5)


@pytest.mark.parametrize(("right", "n"), [(2378, 3485), (0, 7), (7, 7), (1, 2)])
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert accuracy_interval(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
