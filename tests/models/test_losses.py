"""The losses beside numpy, their gradients beside difference quotients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.losses import masked_ccc_loss, masked_epsilon_insensitive, masked_mse

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES = (masked_mse, masked_epsilon_insensitive, masked_ccc_loss)


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


def numpy_ccc_loss(predictions: npt.NDArray[np.float64], ratings: npt.NDArray[np.float64]) -> float:
    """Rater by rater with numpy's covariance matrix."""
    losses = []
    for x, y in zip(
        predictions.reshape(-1, predictions.shape[-1]).T, ratings.reshape(-1, ratings.shape[-1]).T, strict=True
    ):
        known = ~np.isnan(y)
        if known.sum() < 2:
            continue
        matrix = np.cov(x[known], y[known], bias=True)
        distance = (x[known].mean() - y[known].mean()) ** 2
        losses.append(1 - 2 * matrix[0, 1] / (matrix[0, 0] + matrix[1, 1] + distance))
    return float(np.mean(losses))


@pytest.mark.parametrize("shape", [(8, 6), (4, 10, 3), (128, 1)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_ccc_and_epsilon_are_those_of_numpy(shape: tuple[int, ...], share: float) -> None:
    rng = np.random.default_rng(2)
    ratings = rng.normal(size=shape)
    predictions = 0.3 * ratings + 0.2 * rng.normal(size=shape) + 0.1
    ratings[rng.random(shape) < share] = np.nan
    ratings[..., 0][0] = 0.5
    x, y = torch.from_numpy(predictions), torch.from_numpy(ratings)
    assert float(masked_ccc_loss(x, y)) == pytest.approx(numpy_ccc_loss(predictions, ratings), rel=1e-12)
    for epsilon in (0.0, 0.1, 0.5):
        expected = np.nanmean(np.maximum(np.abs(predictions - ratings) - epsilon, 0))
        assert float(masked_epsilon_insensitive(x, y, epsilon=epsilon)) == pytest.approx(float(expected), rel=1e-12)


def test_a_rater_who_is_missing_changes_nothing_for_the_others() -> None:
    torch.manual_seed(0)
    predictions = torch.randn(4, 10, 3, dtype=torch.float64, requires_grad=True)
    ratings = torch.randn(4, 10, 3, dtype=torch.float64)
    ratings[..., 1] = float("nan")
    ratings[0, 0, 1] = 0.5  # a single rating has no CCC
    loss = masked_ccc_loss(predictions, ratings)
    others = [0, 2]
    expected = masked_ccc_loss(predictions[..., others], ratings[..., others])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))
    loss.backward()  # type: ignore[no-untyped-call]
    assert predictions.grad is not None
    assert not predictions.grad[..., 1].any()
    assert predictions.grad[..., others].all()


def test_ccc_at_its_ends() -> None:
    ratings = torch.tensor([[0.0], [0.5], [1.0]], dtype=torch.float64)
    assert float(masked_ccc_loss(ratings, ratings)) == pytest.approx(0, abs=1e-15)
    assert float(masked_ccc_loss(1 - ratings, ratings)) == pytest.approx(2)
    assert float(masked_ccc_loss(torch.full_like(ratings, 0.3), ratings)) == pytest.approx(1)
    same = torch.full((3, 1), 0.5, requires_grad=True)
    loss = masked_ccc_loss(same, torch.full((3, 1), 0.5))
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert same.grad is not None
    assert not same.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_of_random_values(loss: Loss) -> None:
    torch.manual_seed(0)
    ratings = torch.randn(3, 5, 4, dtype=torch.float64)
    ratings[1, 2, 0] = float("nan")
    ratings[..., 3] = float("nan")
    predictions = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: loss(p, ratings), (predictions,))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_rating_at_all_is_zero_with_a_zero_gradient(loss: Loss) -> None:
    predictions = torch.ones(3, 2, requires_grad=True)
    value = loss(predictions, torch.full((3, 2), float("nan")))
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0.0
    assert predictions.grad is not None
    assert not predictions.grad.any()
