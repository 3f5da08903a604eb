"""The training loop: epochs over *fit*, a score on *choice* after each, checkpoints, early stopping.

Chance is drawn from (seed, epoch) alone, so a training that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import get_ema_multi_avg_fn

from schemas.cards import ExpressionEpoch
from schemas.errors import TrainingError
from schemas.expressions import ExpressionTraining
from tasks.expression.checkpoint import read_checkpoint, write_checkpoint
from tasks.expression.schedule import learning_rate
from tasks.progress import Bar, track
from tasks.training.devices import mixed_precision

CHECKPOINT_SECONDS = 30.0
"""Least time between two checkpoints: an epoch of a small network on a GPU is shorter than writing one."""

_GLANCE_SECONDS = 0.5  # between looks at the loss: on a GPU each one waits for all work under way

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class FitData:
    """What the loop needs of the data.

    `batches(epoch)` yields pictures and targets `[batch, class]` of one epoch (0-based); `choice(network)` gives loss
    and accuracy on *choice*, or is None where nothing is held out; `class_weights` is `[class]`, or None.
    """

    batches: Callable[[int], Iterator[Batch]]
    batches_per_epoch: int
    batch_size: int
    choice: Callable[[nn.Module], tuple[float, float]] | None
    class_weights: torch.Tensor | None


@dataclass(kw_only=True)
class Trained:
    """A training under way: everything that a checkpoint holds."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: nn.Module | None
    best: dict[str, torch.Tensor]
    history: list[ExpressionEpoch] = field(default_factory=list)

    @property
    def scored(self) -> nn.Module:
        """What is scored and kept: the average of the weights where one is made, else the network."""
        return self.network if self.average is None else self.average


def fit(
    network: nn.Module, data: FitData, settings: ExpressionTraining, *, seed: int, checkpoint: Path, label: str
) -> tuple[ExpressionEpoch, ...]:
    """Train until *choice* accuracy has not risen for `patience` epochs; leave the best epoch's weights in `network`.

    Args:
        network: on its device.
        data: batches and the score that selects.
        settings: rates, epochs.
        seed: of this run.
        checkpoint: a safetensors file, written now and then and resumed from if it exists.
        label: for the progress bar.

    Returns: one record for each epoch.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    state = Trained(
        network=network,
        optimizer=make_optimizer(network, settings),
        average=None if settings.average_decay is None else copy.deepcopy(network).requires_grad_(False),
        best=_copy(network),
    )
    state.history = read_checkpoint(checkpoint, state)
    images = data.batches_per_epoch * data.batch_size
    written = time.monotonic()
    with track(label, settings.max_epochs * images, "images", done=len(state.history) * images) as bar:
        while not (finished := _is_over(state.history, settings)):
            record = _epoch(state, data, settings, seed=seed, bar=bar)
            state.history.append(record)
            if best_epoch(state.history) is record:
                state.best = _copy(state.scored)
            finished = _is_over(state.history, settings)
            if finished or time.monotonic() - written >= CHECKPOINT_SECONDS:
                write_checkpoint(checkpoint, state)
                written = time.monotonic()
            bar.advance(0, _told(record))
    network.load_state_dict(state.best)
    network.eval()
    return tuple(state.history)


def best_epoch(history: Sequence[ExpressionEpoch]) -> ExpressionEpoch:
    """The epoch whose weights are kept: the first with the highest accuracy on *choice*; without one, the last."""
    return (
        max(history, key=lambda record: (record.choice_accuracy or 0.0, -record.epoch))
        if _chose(history)
        else history[-1]
    )


def _chose(history: Sequence[ExpressionEpoch]) -> bool:
    return history[-1].choice_accuracy is not None


def _told(record: ExpressionEpoch) -> str:
    if record.choice_accuracy is None:
        return f"loss {record.train_loss:.3f} train {100 * record.train_accuracy:.2f} %"
    return f"loss {record.train_loss:.3f} choice {100 * record.choice_accuracy:.2f} %"


def make_optimizer(network: nn.Module, settings: ExpressionTraining) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    parameters, rate, decay = list(network.parameters()), settings.learning_rate, settings.weight_decay
    fused = parameters[0].is_cuda  # one kernel instead of several for each tensor
    if settings.optimizer == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(parameters, rate, momentum, weight_decay=decay, nesterov=momentum > 0, fused=fused)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=rate, weight_decay=decay, fused=fused)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move an exponential average of a network's weights and statistics by one step.

    The first steps count less of what was before, (1 + step) / (10 + step), so that the start is soon forgotten. Unlike
    `torch.optim.swa_utils.AveragedModel` it never asks the device for a number, which would wait for all its work.
    """
    means, now = _tensors(average), _tensors(network)
    move = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))  # type: ignore[no-untyped-call]
    move([mean for mean in means if mean.is_floating_point()], [one for one in now if one.is_floating_point()], 0)
    for mean, one in zip(means, now, strict=True):
        if not mean.is_floating_point():
            mean.copy_(one)


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]


def _is_over(history: list[ExpressionEpoch], settings: ExpressionTraining) -> bool:
    if len(history) >= settings.max_epochs:
        return True
    if settings.patience is None or not history:
        return False
    return len(history) - 1 - best_epoch(history).epoch >= settings.patience


def _epoch(state: Trained, data: FitData, settings: ExpressionTraining, *, seed: int, bar: Bar) -> ExpressionEpoch:
    """Train one epoch, then score."""
    epoch = len(state.history)
    accuracies = [record.choice_accuracy or 0.0 for record in state.history]
    started = glanced = time.monotonic()
    torch.manual_seed(seed * 1_000_003 + epoch)  # dropout
    state.network.train()
    loss_sum, num_right, num_seen, rate = torch.zeros(()), torch.zeros(()), 0, 0.0
    for number, (images, targets) in enumerate(data.batches(epoch)):
        step = epoch * data.batches_per_epoch + number
        rate = learning_rate(settings, step=step, steps_per_epoch=data.batches_per_epoch, accuracies=accuracies)
        loss, right = _step(state, images, targets, data.class_weights, settings, rate)
        if state.average is not None and settings.average_decay is not None:
            update_average(state.average, state.network, decay=settings.average_decay, step=step)
        loss_sum, num_right = loss_sum.to(loss.device) + loss * len(images), num_right.to(right.device) + right
        num_seen += len(images)
        note = ""
        if time.monotonic() - glanced >= _GLANCE_SECONDS:
            glanced = time.monotonic()
            note = f"loss {_finite(loss_sum, settings, epoch) / num_seen:.3f} train {100 * num_right / num_seen:.1f} %"
        bar.advance(len(images), note)
    mean_loss = _finite(loss_sum, settings, epoch) / num_seen
    trained = time.monotonic()
    state.scored.eval()
    choice_loss, choice_accuracy = (None, None) if data.choice is None else data.choice(state.scored)
    return ExpressionEpoch(
        epoch=epoch,
        train_loss=mean_loss,
        train_accuracy=float(num_right) / num_seen,
        choice_loss=choice_loss,
        choice_accuracy=choice_accuracy,
        learning_rate=rate,
        seconds=round(time.monotonic() - started, 3),
        images_per_second=round(num_seen / (trained - started), 1),
    )


def _step(
    state: Trained,
    images: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor | None,
    settings: ExpressionTraining,
    rate: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One update; the batch's mean loss and how many were right, still on the device."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    with mixed_precision(settings.precision, images.device):
        logits = state.network(images)
    loss = F.cross_entropy(logits.float(), targets, weight=weights, label_smoothing=settings.label_smoothing)
    loss.backward()  # type: ignore[no-untyped-call]
    if settings.clip_norm is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip_norm)
    state.optimizer.step()
    return loss.detach(), (logits.detach().argmax(dim=1) == targets.argmax(dim=1)).sum()


def _finite(loss_sum: torch.Tensor, settings: ExpressionTraining, epoch: int) -> float:
    value = float(loss_sum)
    if not math.isfinite(value):
        raise TrainingError(
            f"{settings.name}: the loss became {value} in epoch {epoch}; lower learning_rate "
            f"({settings.learning_rate}) or set clip_norm ({settings.clip_norm})"
        )
    return value


def _copy(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
