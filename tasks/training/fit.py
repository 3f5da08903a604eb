"""The training loop: SGD epochs, a checkpoint after each, early stopping on the development CCC.

Chance is drawn from (seed, epoch) alone, so a training that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from models.losses import masked_mse
from schemas.cards import EpochRecord
from schemas.errors import TrainingError
from schemas.training import TrainingSettings
from tasks.progress import Bar, track
from tasks.store.parts import replacing
from tasks.training.devices import mixed_precision

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class FitData:
    """What the loop needs of the data.

    `batches(epoch)` yields inputs and labels `[batch, ..., rater]` of one epoch (0-based) in its own order, each batch
    valid until the next; `dev_ccc()` scores the network as it stands; `loss(predictions, labels)` is what falls.
    `frozen` are the parts of the network that stay as they are: they neither learn nor draw dropout.
    """

    batches: Callable[[int], Iterator[Batch]]
    batches_per_epoch: int
    dev_ccc: Callable[[], float]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = masked_mse
    frozen: tuple[nn.Module, ...] = ()


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The source of chance of one epoch, on the CPU."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)


def fit(
    network: nn.Module, data: FitData, settings: TrainingSettings, *, checkpoint: Path, label: str
) -> tuple[EpochRecord, ...]:
    """Train until the development CCC has not risen for `patience` epochs; leave the best epoch's weights in `network`.

    Args:
        network: on its device.
        data: batches and the score that selects.
        settings: rates, epochs, seed.
        checkpoint: a safetensors file, written after each epoch and resumed from if it exists.
        label: for the progress bar.

    Returns: one record for each epoch.

    Raises:
        TrainingError: the loss is no longer a number.
    """
    for part in data.frozen:
        part.requires_grad_(False)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=settings.rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    history = _resume(network, optimizer, best, checkpoint)
    total = settings.max_epochs * data.batches_per_epoch
    with track(label, total, "steps", done=len(history) * data.batches_per_epoch) as bar:
        while len(history) < settings.max_epochs and not _stalled(history, settings.patience):
            started = time.monotonic()
            loss = _train_epoch(network, optimizer, data, settings, epoch=len(history), history=history, bar=bar)
            network.eval()
            with torch.inference_mode():
                score = data.dev_ccc()
            if not history or score > max(record.dev_ccc for record in history):
                best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            record = EpochRecord(
                epoch=len(history), train_loss=loss, dev_ccc=score, seconds=round(time.monotonic() - started, 3)
            )
            history.append(record)
            _save(network, optimizer, best, history, checkpoint)
            bar.advance(0, f"loss {loss:.3f} CCC {score:.3f}")
    network.load_state_dict(best)
    network.eval()
    return tuple(history)


def best_epoch(history: tuple[EpochRecord, ...]) -> EpochRecord:
    """The epoch whose weights are kept: the first with the highest development CCC."""
    return max(history, key=lambda record: (record.dev_ccc, -record.epoch))


def joined_history(histories: Sequence[tuple[EpochRecord, ...]]) -> tuple[EpochRecord, ...]:
    """What networks that are trained one by one come to together after each epoch, each with its best weights so far.

    Losses are those of the epoch, or the last one of a network that needed fewer; loss and CCC are means, seconds sums.
    """
    joined = []
    for epoch in range(max(len(history) for history in histories)):
        so_far = [history[: epoch + 1] for history in histories]
        joined.append(
            EpochRecord(
                epoch=epoch,
                train_loss=statistics.fmean(history[-1].train_loss for history in so_far),
                dev_ccc=statistics.fmean(best_epoch(history).dev_ccc for history in so_far),
                seconds=round(sum(history[epoch].seconds for history in histories if epoch < len(history)), 3),
            )
        )
    return tuple(joined)


def _stalled(history: list[EpochRecord], patience: int) -> bool:
    return bool(history) and len(history) - 1 - best_epoch(tuple(history)).epoch >= patience


def _train_epoch(
    network: nn.Module,
    optimizer: torch.optim.SGD,
    data: FitData,
    settings: TrainingSettings,
    *,
    epoch: int,
    history: list[EpochRecord],
    bar: Bar,
) -> float:
    network.train()
    for part in data.frozen:
        part.eval()
    torch.manual_seed(settings.seed * 1_000_003 + epoch)  # dropout
    losses = []
    score = f" CCC {history[-1].dev_ccc:.3f}" if history else ""
    for inputs, labels in data.batches(epoch):
        losses.append(_train_step(network, optimizer, data, settings, inputs, labels))
        if not math.isfinite(losses[-1]):
            raise TrainingError(
                f"{settings.name}: the loss became {losses[-1]} in epoch {epoch}; lower learning_rate "
                f"({settings.learning_rate}) or set clip_norm ({settings.clip_norm})"
            )
        bar.advance(1, f"loss {losses[-1]:.3f}{score}")
    return sum(losses) / len(losses)


def _train_step(
    network: nn.Module,
    optimizer: torch.optim.SGD,
    data: FitData,
    settings: TrainingSettings,
    inputs: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """The loss of one batch. Apart from the loop, so that nothing of one step lies among the memory of the next."""
    optimizer.zero_grad(set_to_none=True)
    with mixed_precision(settings.precision, inputs.device):
        predictions = network(inputs)
    loss = data.loss(predictions.float(), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    if settings.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    optimizer.step()
    return float(loss.detach())


def _save(
    network: nn.Module,
    optimizer: torch.optim.SGD,
    best: dict[str, torch.Tensor],
    history: list[EpochRecord],
    checkpoint: Path,
) -> None:
    """One file, so that weights, momentum and history can never disagree."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for name, parameter in network.named_parameters():
        buffer = optimizer.state[parameter].get("momentum_buffer") if parameter in optimizer.state else None
        if buffer is not None:
            tensors[f"momentum.{name}"] = buffer
    metadata = {"history": json.dumps([record.model_dump() for record in history])}
    data = save({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, metadata)
    with replacing(checkpoint) as temporary:  # save_file would make it private, and a full disk no OSError
        temporary.write_bytes(data)


def _resume(
    network: nn.Module, optimizer: torch.optim.SGD, best: dict[str, torch.Tensor], checkpoint: Path
) -> list[EpochRecord]:
    """Load the checkpoint into `network`, `optimizer` and `best`, if there is one."""
    if not checkpoint.exists():
        return []
    device = next(network.parameters()).device
    with safe_open(checkpoint, framework="pt", device=str(device)) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = file.metadata()
    network.load_state_dict(_stripped(tensors, "network."))
    best.update(_stripped(tensors, "best."))
    momentum = _stripped(tensors, "momentum.")
    for name, parameter in network.named_parameters():
        if name in momentum:
            optimizer.state[parameter]["momentum_buffer"] = momentum[name]
    return [EpochRecord(**record) for record in json.loads(metadata["history"])]


def _stripped(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
