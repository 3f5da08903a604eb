"""A training under way on disk: one safetensors file, so that weights, optimiser and history can never disagree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from schemas.cards import ExpressionEpoch
from schemas.errors import StoreError
from tasks.store.parts import replacing

if TYPE_CHECKING:
    from tasks.expression.fit import Trained


def write_checkpoint(path: Path, state: Trained) -> None:
    """Write everything that a training needs to go on, whole or not at all."""
    tensors = {f"network.{name}": tensor for name, tensor in state.network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    if state.average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in state.average.state_dict().items()}
    for name, parameter in state.network.named_parameters():
        values = state.optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{key}.{name}": value for key, value in values.items() if value is not None}
    metadata = {"history": json.dumps([record.model_dump() for record in state.history])}
    data = save({name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def read_checkpoint(path: Path, state: Trained) -> list[ExpressionEpoch]:
    """Load a checkpoint into `state`, if there is one; the epochs that it has behind it.

    Raises:
        StoreError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            metadata = file.metadata()
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: expected a whole checkpoint ({error}); delete it and run again") from error
    state.network.load_state_dict(_below(tensors, "network."))
    if state.average is not None:
        state.average.load_state_dict(_below(tensors, "average."))
    device = next(state.network.parameters()).device
    state.best = {name: tensor.to(device) for name, tensor in _below(tensors, "best.").items()}
    optimizer = _below(tensors, "optimizer.")
    keys = {name.partition(".")[0] for name in optimizer}
    for name, parameter in state.network.named_parameters():
        for key in keys:
            if (saved := optimizer.get(f"{key}.{name}")) is not None:
                state.optimizer.state[parameter][key] = _like(saved, parameter)
    return [ExpressionEpoch(**record) for record in json.loads(metadata["history"])]


def _like(saved: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """In the parameter's memory format and on its device; a step count stays on the CPU, where optimisers want it."""
    if saved.shape != parameter.shape:
        return saved
    return torch.empty_like(parameter, requires_grad=False).copy_(saved)


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
