"""Learning rates against PyTorch's own schedulers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from tasks.expression.schedule import learning_rate

from .conftest import TINY


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def test_cosine_is_pytorchs() -> None:
    settings = TINY.model_copy(update={"schedule": "cosine", "learning_rate": 0.1, "max_epochs": 5})
    other = optimizer()
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(other, T_max=50)
    for step in range(50):
        rate = learning_rate(settings, step=step, steps_per_epoch=10, accuracies=())
        assert rate == pytest.approx(other.param_groups[0]["lr"], rel=1e-9)
        other.step()
        schedule.step()


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_pytorchs(patience: int) -> None:
    settings = TINY.model_copy(
        update={"schedule": "plateau", "learning_rate": 0.1, "plateau_factor": 0.5, "plateau_patience": patience}
    )
    accuracies = np.random.default_rng(patience).integers(0, 8, size=60) / 10 + np.linspace(0, 0.1, 60).round(2)
    other = optimizer()
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        other, mode="max", factor=0.5, patience=patience, threshold=0, threshold_mode="abs", eps=0
    )
    for epoch, accuracy in enumerate(accuracies):
        rate = learning_rate(settings, step=epoch, steps_per_epoch=1, accuracies=accuracies[:epoch].tolist())
        assert rate == pytest.approx(other.param_groups[0]["lr"], rel=1e-9)
        schedule.step(float(accuracy))


def test_warmup_rises_and_onecycle_starts_low() -> None:
    warm = TINY.model_copy(update={"schedule": "cosine", "warmup_epochs": 2.0, "max_epochs": 10, "learning_rate": 1.0})
    rates = [learning_rate(warm, step=step, steps_per_epoch=10, accuracies=()) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 21)
    assert np.all(np.diff(rates[:21]) > 0)
    assert np.all(np.diff(rates[21:]) < 0)
    assert max(rates) == rates[20] == 1.0
    cycle = warm.model_copy(update={"schedule": "onecycle", "warmup_epochs": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants a step of the optimiser first
        other = optimizer()
        schedule = torch.optim.lr_scheduler.OneCycleLR(other, max_lr=1.0, total_steps=100, anneal_strategy="linear")
    ours = [learning_rate(cycle, step=step, steps_per_epoch=10, accuracies=()) for step in range(100)]
    assert max(ours) == pytest.approx(1.0)
    assert ours[0] == pytest.approx(schedule.get_last_lr()[0], abs=0.04)
    assert int(np.argmax(ours)) == 30
    constant = TINY.model_copy(update={"schedule": "constant"})
    assert learning_rate(constant, step=99, steps_per_epoch=10, accuracies=(0.1,) * 9) == TINY.learning_rate
