"""The loop itself on a network of one number, beside the same arithmetic written out by hand."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from schemas.errors import TrainingError
from schemas.training import RnnTraining
from tasks.training.fit import Batch, FitData, best_epoch, epoch_generator, fit

SETTINGS = RnnTraining(
    name="one-number", learning_rate=0.1, momentum=0.9, weight_decay=0.01, clip_norm=None, max_epochs=5, patience=5
)


class OneNumber(nn.Module):
    """y = w x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w * x


def batches(epoch: int) -> Iterator[Batch]:
    x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    yield x, torch.tensor([[2.0], [float("nan")]], dtype=torch.float64)
    yield x * (1 + epoch / 10), 3 * x


def scored(values: list[float]) -> FitData:
    left = iter(values)
    return FitData(batches=batches, batches_per_epoch=2, dev_ccc=lambda: next(left))


def by_hand(epochs: int) -> list[float]:
    """w after each epoch: SGD with momentum and weight decay as torch documents it. The loop's loss is float32."""
    w, v = 0.5, None
    found = []
    for epoch in range(epochs):
        for x, y in (([1.0], [2.0]), ([1 + epoch / 10, 2 * (1 + epoch / 10)], [3.0, 6.0])):
            pairs = list(zip(x, y, strict=True))
            gradient = sum(2 * (w * a - b) * a for a, b in pairs) / len(pairs) + 0.01 * w
            v = gradient if v is None else 0.9 * v + gradient
            w -= 0.1 * v
        found.append(w)
    return found


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_weights_are_those_of_the_written_out_recurrence(tmp_path: Path, epochs: int) -> None:
    network = OneNumber()
    settings = SETTINGS.model_copy(update={"max_epochs": epochs})
    fit(network, scored([0.1 * e for e in range(epochs)]), settings, checkpoint=tmp_path / "c", label="")
    assert float(network.w.detach()) == pytest.approx(by_hand(epochs)[-1], rel=1e-6)


def test_nothing_of_a_step_is_held_when_the_next_batch_is_made(tmp_path: Path) -> None:
    network = OneNumber()
    predicted: list[weakref.ref[torch.Tensor]] = []
    network.register_forward_hook(lambda _module, _inputs, output: predicted.append(weakref.ref(output)))
    alive: list[torch.Tensor | None] = []

    def watched(epoch: int) -> Iterator[Batch]:
        for batch in batches(epoch):
            alive.extend(one() for one in predicted)
            yield batch

    data = FitData(batches=watched, batches_per_epoch=2, dev_ccc=lambda: 0.0)
    fit(network, data, SETTINGS.model_copy(update={"max_epochs": 2}), checkpoint=tmp_path / "c", label="")
    assert alive == [None] * (1 + 2 + 3)


def test_the_best_epoch_is_kept_and_patience_ends_it(tmp_path: Path) -> None:
    network = OneNumber()
    values = [0.1, 0.4, 0.4, 0.39, 0.9]
    settings = SETTINGS.model_copy(update={"patience": 2})
    history = fit(network, scored(values), settings, checkpoint=tmp_path / "c", label="")
    assert [record.dev_ccc for record in history] == values[:4]
    assert best_epoch(history).epoch == 1  # the first of two equal ones
    assert float(network.w.detach()) == pytest.approx(by_hand(2)[-1], rel=1e-6)
    assert not network.training


def test_negative_scores_count(tmp_path: Path) -> None:
    network = OneNumber()
    history = fit(network, scored([-0.5, -0.1, -0.2, -0.3, -0.4]), SETTINGS, checkpoint=tmp_path / "c", label="")
    assert (len(history), best_epoch(history).epoch) == (5, 1)
    assert float(network.w.detach()) == pytest.approx(by_hand(2)[-1], rel=1e-6)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_checkpoint_holds_everything(tmp_path: Path, stop: int) -> None:
    values = [0.3, 0.1, 0.2, 0.25, 0.28]
    whole, cut = OneNumber(), OneNumber()
    expected = fit(whole, scored(values), SETTINGS, checkpoint=tmp_path / "whole", label="")
    path = tmp_path / "cut"
    fit(cut, scored(values[:stop]), SETTINGS.model_copy(update={"max_epochs": stop}), checkpoint=path, label="")
    fresh = OneNumber()
    history = fit(fresh, scored(values[stop:]), SETTINGS, checkpoint=path, label="")
    assert torch.equal(fresh.w, whole.w)
    assert [(r.epoch, r.train_loss, r.dev_ccc) for r in history] == [
        (r.epoch, r.train_loss, r.dev_ccc) for r in expected
    ]


def test_a_finished_checkpoint_needs_no_epoch(tmp_path: Path) -> None:
    first, second = OneNumber(), OneNumber()
    settings = SETTINGS.model_copy(update={"max_epochs": 2})
    fit(first, scored([0.2, 0.1]), settings, checkpoint=tmp_path / "c", label="")
    history = fit(second, scored([]), settings, checkpoint=tmp_path / "c", label="")
    assert len(history) == 2
    assert torch.equal(first.w, second.w)


def test_a_loss_that_is_no_number_ends_it(tmp_path: Path) -> None:
    def bad(epoch: int) -> Iterator[Batch]:
        yield torch.tensor([[math.inf]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64)

    data = FitData(batches=bad, batches_per_epoch=1, dev_ccc=lambda: 0.0)
    with pytest.raises(TrainingError, match=r"one-number: the loss became inf in epoch 0; lower learning_rate \(0.1\)"):
        fit(OneNumber(), data, SETTINGS, checkpoint=tmp_path / "c", label="")
    assert not (tmp_path / "c").exists()


def test_the_norm_of_the_gradient_is_clipped(tmp_path: Path) -> None:
    def one(epoch: int) -> Iterator[Batch]:
        yield torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([[100.5]], dtype=torch.float64)

    network = OneNumber()
    update = {"clip_norm": 0.25, "max_epochs": 1, "weight_decay": 0.0}
    data = FitData(batches=one, batches_per_epoch=1, dev_ccc=lambda: 0.0)
    fit(network, data, SETTINGS.model_copy(update=update), checkpoint=tmp_path / "c", label="")
    assert float(network.w.detach()) == pytest.approx(0.5 + 0.1 * 0.25, abs=1e-6)


def test_chance_depends_on_seed_and_epoch_alone() -> None:
    def draw(seed: int, epoch: int) -> list[int]:
        return torch.randperm(50, generator=epoch_generator(seed, epoch)).tolist()

    assert draw(0, 3) == draw(0, 3)
    seen = {tuple(draw(seed, epoch)) for seed in range(3) for epoch in range(5)}
    assert len(seen) == 15
