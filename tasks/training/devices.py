"""Where tensors live, and how many threads work on them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from schemas.errors import SettingsError


def resolve_device(name: str) -> torch.device:
    """The device a setting means: `auto` is CUDA where there is one, else the CPU.

    Raises:
        SettingsError: the name is unknown, or CUDA is asked for where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(f"device = {name!r}: expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"device = {name!r}: expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f'device = {name!r}: this machine has no usable CUDA device; use "auto" or "cpu"')
    return device


def mixed_precision(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass: bfloat16 where `auto` allows it and the device computes it natively."""
    wanted = precision == "auto" and native_bfloat16(device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device computes bfloat16; a CPU without the instructions would emulate them at a loss."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()


@contextmanager
def cpu_threads(wanted: int) -> Iterator[None]:
    """Run torch with `wanted` threads (0: one for each core this process may use), then put the number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or len(os.sched_getaffinity(0)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
