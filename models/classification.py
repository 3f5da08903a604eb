"""Scores of a classifier: confusion, accuracy, recall, calibration."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CALIBRATION_BINS = 15
"""Bins of equal width that the calibration error is computed over (Guo et al. 2017, section 2)."""


def confusion_matrix(labels: IntArray, predicted: IntArray, *, num_classes: int) -> IntArray:
    """Counts `[label, prediction]`."""
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def recalls(confusion: IntArray) -> FloatArray:
    """Share of each class that was named right, `[class]`; NaN of a class that has no picture."""
    totals = confusion.sum(axis=1)
    found: FloatArray = np.divide(np.diag(confusion), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return found


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy over `n` pictures, as if these were drawn one by one (Wilson 1927).

    Pictures of one person are not: where a set has several of each, the interval is too narrow.

    Args:
        accuracy: 0 to 1.
        n: at least 1.
    """
    z = NormalDist().inv_cdf(0.975)
    middle = (accuracy + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(accuracy * (1 - accuracy) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def log_loss(probabilities: FloatArray, labels: IntArray) -> float:
    """Mean of `log_losses`."""
    return float(log_losses(probabilities, labels).mean())


def log_losses(probabilities: FloatArray, labels: IntArray) -> FloatArray:
    """-ln p(label) of each picture, `[picture]`. A probability is taken as no less than 1e-12.

    Args:
        probabilities: `[picture, class]`, rows sum to 1.
        labels: `[picture]`.
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    losses: FloatArray = -np.log(np.maximum(of_label, 1e-12))
    return losses


def reliability(probabilities: FloatArray, labels: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """How often the most probable class was right, by how probable it was said to be.

    Returns: pictures, mean confidence and accuracy of each of `CALIBRATION_BINS` bins, half-open at the low end;
        NaN where a bin is empty.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)

    def mean(values: npt.NDArray[np.generic]) -> FloatArray:
        sums = np.bincount(bins, weights=values.astype(np.float64), minlength=CALIBRATION_BINS)
        found: FloatArray = np.divide(sums, counts, out=np.full(CALIBRATION_BINS, np.nan), where=counts > 0)
        return found

    return counts, mean(confidence), mean(right)


def calibration_error(probabilities: FloatArray, labels: IntArray) -> float:
    """Expected calibration error: mean of |accuracy - confidence| over the pictures' bins (Guo et al. 2017, eq. 3)."""
    counts, confidence, accuracy = reliability(probabilities, labels)
    held = counts > 0
    return float((counts[held] * np.abs(accuracy[held] - confidence[held])).sum() / counts.sum())
