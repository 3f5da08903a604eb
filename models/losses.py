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
    known = ~torch.isnan(ratings)
    difference = torch.where(known, predictions - torch.nan_to_num(ratings), torch.zeros_like(predictions))
    return difference.square().sum() / known.sum().clamp_min(1)
