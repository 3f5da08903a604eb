"""Losses over several raters, some of whose values are missing."""

from __future__ import annotations

import torch


def masked_mse(predictions: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the ratings that exist.

    Args:
        predictions: `[..., rater]`.
        ratings: the same shape, NaN where a rater gave no value.

    Returns: a scalar; 0, with a gradient of zero, if every rating is missing.
    """
    known, difference = _differences(predictions, ratings)
    return difference.square().sum() / known.sum().clamp_min(1)


def masked_epsilon_insensitive(
    predictions: torch.Tensor, ratings: torch.Tensor, *, epsilon: float = 0.1
) -> torch.Tensor:
    """Mean of max(0, |prediction - rating| - epsilon) over the ratings that exist (Vapnik 1995, support vector
    regression; in K's table 5 with epsilon 0.1).

    Args:
        predictions: `[..., rater]`.
        ratings: the same shape, NaN where a rater gave no value.
        epsilon: errors up to this cost nothing, rating units.

    Returns: a scalar; 0, with a gradient of zero, if every rating is missing.
    """
    known, difference = _differences(predictions, ratings)
    return (difference.abs() - epsilon).clamp_min(0).sum() / known.sum().clamp_min(1)


def masked_ccc_loss(predictions: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
    """1 - Lin's CCC of each rater over all samples of the batch, in the mean over raters.

        1 - 2 cov(x, y) / (var(x) + var(y) + (mean x - mean y)^2)

    with population variance (docs/decisions/0001-ccc.md). A rater with fewer than two ratings is left out, and so is
    one whose ratings are all equal and met exactly.

    Args:
        predictions: `[..., rater]`; all other dimensions are samples.
        ratings: the same shape, NaN where a rater gave no value.

    Returns: a scalar in [0, 2]; 0, with a gradient of zero, if no rater is left.
    """
    known = ~torch.isnan(ratings)
    zero = torch.zeros_like(predictions)
    samples = tuple(range(predictions.ndim - 1))
    count = known.sum(dim=samples).clamp_min(1)
    x, y = torch.where(known, predictions, zero), torch.where(known, ratings, zero)
    mean_x, mean_y = x.sum(dim=samples) / count, y.sum(dim=samples) / count
    dx, dy = torch.where(known, predictions - mean_x, zero), torch.where(known, ratings - mean_y, zero)
    spread = (dx.square().sum(dim=samples) + dy.square().sum(dim=samples)) / count + (mean_x - mean_y).square()
    defined = (count > 1) & (spread > 0)
    ccc = 2 * (dx * dy).sum(dim=samples) / count / torch.where(defined, spread, torch.ones_like(spread))
    return torch.where(defined, 1 - ccc, torch.zeros_like(ccc)).sum() / defined.sum().clamp_min(1)


def _differences(predictions: torch.Tensor, ratings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where ratings exist, and predictions - ratings there, 0 elsewhere."""
    known = ~torch.isnan(ratings)
    return known, torch.where(known, predictions - torch.nan_to_num(ratings), torch.zeros_like(predictions))
