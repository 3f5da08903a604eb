"""The loss beside numpy's nanmean and its gradient beside a difference quotient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.losses import masked_mse


@pytest.mark.parametrize("shape", [(8, 6), (4, 10, 3), (1,)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_it_is_the_mean_over_what_exists(shape: tuple[int, ...], share: float) -> None:
    rng = np.random.default_rng(1)
    predictions, ratings = rng.normal(size=shape), rng.normal(size=shape)
    ratings[rng.random(shape) < share] = np.nan
    ratings.flat[0] = 0.5
    found = masked_mse(torch.from_numpy(predictions), torch.from_numpy(ratings))
    assert float(found) == pytest.approx(float(np.nanmean((predictions - ratings) ** 2)), rel=1e-12)


def test_missing_ratings_have_no_gradient() -> None:
    predictions = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    ratings = torch.tensor([[0.5, float("nan")], [float("nan"), 5.0]], dtype=torch.float64)
    masked_mse(predictions, ratings).backward()  # type: ignore[no-untyped-call]
    assert predictions.grad is not None
    assert predictions.grad.tolist() == [[0.5, 0.0], [0.0, -1.0]]


def test_gradient_of_random_values() -> None:
    torch.manual_seed(0)
    ratings = torch.randn(3, 4, dtype=torch.float64)
    ratings[1, 2] = float("nan")
    predictions = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: masked_mse(p, ratings), (predictions,))


def test_no_rating_at_all_is_zero_with_a_zero_gradient() -> None:
    predictions = torch.ones(3, 2, requires_grad=True)
    loss = masked_mse(predictions, torch.full((3, 2), float("nan")))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert predictions.grad is not None
    assert not predictions.grad.any()
