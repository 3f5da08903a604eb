"""A network over stored chips, as fast as the device allows, whatever the network.

What is chosen: batches whose activations stay in the processor's cache, one to each thread (CPU), or large ones that
three streams load, compute and fetch side by side (CUDA); channels last; bfloat16 where it is asked for, the device
computes it natively and the features hold (`MAX_ERROR`). Every batch has the same size, the last one filled up,
so that a chip's features depend neither on its neighbours nor on the number of threads.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.blocks import FaceNetwork
from models.chips import network_pixels
from schemas.errors import UnusableInputError
from schemas.tables import CHIP_SIZE
from tasks.features.reading import ahead
from tasks.training.devices import native_bfloat16
from tasks.training.networks import ChipNetwork, InputShape

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

MAX_ERROR = 0.01
"""Largest relative L2 error of a frame's features in bfloat16, over the probe's pictures, that is accepted."""

_CPU_BATCH, _CUDA_BATCH = 8, 2048  # at 96x96; measured in benchmarks/features.py
_PROBE_PICTURES = 16
_SLOTS = 3  # one batch on its way in, one in the network, one on its way out
_logger = logging.getLogger(__name__)


Answer = Callable[[ChipNetwork, torch.Tensor], torch.Tensor]
"""What is asked of a network: pixels `[batch, channel, size, size]`, 0 to 255, to `[batch, column]`."""


def features(network: ChipNetwork, pixels: torch.Tensor) -> torch.Tensor:
    """The network's features: what is asked of it if nothing else is."""
    return network.features(pixels)


class Extractor:
    """A network made ready for a device.

    `width` is the number of columns of an answer.

    Args:
        network: in evaluation mode; a copy is used.
        shape: what it reads of a chip.
        device: where it shall run.
        precision: `float32`, or `auto`: bfloat16 where native, if `MAX_ERROR` holds for this network.
        batch_size: chips in a batch; 0: chosen by device and size.
        answer: what is asked of it.
    """

    def __init__(
        self,
        network: ChipNetwork,
        shape: InputShape,
        device: torch.device,
        *,
        precision: str = "float32",
        batch_size: int = 0,
        answer: Answer = features,
    ) -> None:
        self.shape = shape
        self.device = device
        self._answer = answer
        chosen = max(1, (_CPU_BATCH if device.type == "cpu" else _CUDA_BATCH) * CHIP_SIZE**2 // shape.size**2)
        self.batch_size = batch_size or min(chosen, _CUDA_BATCH)
        self.network = _channels_last(copy.deepcopy(network).to(device))
        with torch.inference_mode():
            blank = torch.zeros(1, CHIP_SIZE, CHIP_SIZE, shape.channels, dtype=torch.uint8, device=device)
            self.width = int(self(blank).shape[1])
        self.precision = "float32"
        if precision == "auto" and native_bfloat16(device):
            low = _in_bfloat16(copy.deepcopy(self.network))
            error = self._probe(low)
            if error <= MAX_ERROR:
                self.network, self.precision = low, "bfloat16"
            else:
                _logger.warning(
                    "features in bfloat16 would be %.1f %% off, expected at most %.0f %%: float32 is used",
                    100 * error,
                    100 * MAX_ERROR,
                )

    def __call__(self, chips: torch.Tensor) -> torch.Tensor:
        """`[batch, 96, 96, channel]` uint8 on the device to `[batch, column]` float32 there.

        Raises:
            UnusableInputError: colour is asked of gray chips.
        """
        return self._answer(self.network, self._pixels(chips)).float()

    def blocks(self, chips: Iterable[ByteArray], *, threads: int) -> Iterator[FloatArray]:
        """Answers for all chips in their order, `[row, column]` at a time; the rows of a block are the extractor's.

        Args:
            chips: `[row, 96, 96, channel]` each, any number of rows.
            threads: batches computed side by side, on the CPU.
        """
        for channels, alike in groupby(chips, key=lambda one: one.shape[-1]):
            if self.device.type == "cpu":
                yield from self._on_cpu(alike, threads)
            else:
                yield from self._on_cuda(alike, channels)

    def _pixels(self, chips: torch.Tensor) -> torch.Tensor:
        try:
            return network_pixels(chips, size=self.shape.size, channels=self.shape.channels)
        except ValueError as error:
            raise UnusableInputError(str(error)) from error

    def _probe(self, low: ChipNetwork) -> float:
        """Largest error of `low` against the network, over smooth noise that depends on nothing but a seed."""
        chance = torch.Generator().manual_seed(0)
        coarse = torch.rand(_PROBE_PICTURES, 3, 12, 12, generator=chance)
        pictures = nn.functional.interpolate(coarse, size=(CHIP_SIZE, CHIP_SIZE), mode="bilinear")
        chips = (255 * pictures).to(torch.uint8).permute(0, 2, 3, 1).contiguous().to(self.device)
        with torch.inference_mode():
            pixels = self._pixels(chips)
            exact = self._answer(self.network, pixels)
            found = self._answer(low, pixels).float()
            length = exact.norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
            return float(((found - exact).norm(dim=1) / length).max())

    def _on_cpu(self, chips: Iterable[ByteArray], threads: int) -> Iterator[FloatArray]:
        def answers(batch: tuple[ByteArray, int]) -> FloatArray:
            with torch.inference_mode():
                found: FloatArray = self(torch.from_numpy(batch[0])).numpy()
            return found[: batch[1]]

        # a batch to each thread, not all threads to a batch: nothing waits for the slowest part of each layer
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from ahead(pool, answers, _batches(chips, self.batch_size), 4 * threads)

    def _on_cuda(self, chips: Iterable[ByteArray], channels: int) -> Iterator[FloatArray]:
        compute = torch.cuda.current_stream(self.device)
        sides = [torch.cuda.Stream(self.device) for _ in range(2)]  # type: ignore[no-untyped-call]
        for side in sides:
            side.wait_stream(compute)
        slots = deque(_Slot(self, channels, sides[0], compute, sides[1]) for _ in range(_SLOTS))
        try:
            for rows in chips:
                begin = 0
                while begin < len(rows):
                    if slots[0].in_flight:
                        yield slots[0].fetched()
                    begin += slots[0].fill(rows[begin:])
                    if slots[0].filled == self.batch_size:
                        slots[0].launch()
                        slots.rotate(-1)
            if slots[0].filled and not slots[0].in_flight:
                slots[0].launch()
                slots.rotate(-1)
            yield from (slot.fetched() for slot in slots if slot.in_flight)
        finally:
            torch.cuda.synchronize(self.device)  # before the slots' memory is given to others


class _Slot:
    """One batch's memory, pinned here and on the device, and its way through the three streams."""

    def __init__(
        self,
        extractor: Extractor,
        channels: int,
        upload: torch.cuda.Stream,
        compute: torch.cuda.Stream,
        download: torch.cuda.Stream,
    ) -> None:
        self._extractor = extractor
        self._upload, self._compute, self._download = upload, compute, download
        picture = (extractor.batch_size, CHIP_SIZE, CHIP_SIZE, channels)
        result = (extractor.batch_size, extractor.width)
        self._chips = torch.zeros(picture, dtype=torch.uint8, pin_memory=True)
        self._device_chips = torch.empty(picture, dtype=torch.uint8, device=extractor.device)
        self._device_found = torch.empty(result, device=extractor.device)
        self._found = torch.empty(result, pin_memory=True)
        self._uploaded, self._computed, self._done = (torch.cuda.Event() for _ in range(3))  # type: ignore[no-untyped-call]
        self._rows = self._chips.numpy()
        self.filled = 0
        self.in_flight = False

    def fill(self, rows: ByteArray) -> int:
        """Copy as many rows as there is room for; how many."""
        taken = min(len(rows), len(self._rows) - self.filled)
        np.copyto(self._rows[self.filled : self.filled + taken], rows[:taken])
        self.filled += taken
        return taken

    def launch(self) -> None:
        """Send it on its way; returns at once."""
        self.in_flight = True
        with torch.inference_mode():
            with torch.cuda.stream(self._upload):
                self._device_chips.copy_(self._chips, non_blocking=True)
                self._uploaded.record()
            with torch.cuda.stream(self._compute):
                self._compute.wait_event(self._uploaded)
                self._device_found.copy_(self._extractor(self._device_chips))
                self._computed.record()
            with torch.cuda.stream(self._download):
                self._download.wait_event(self._computed)
                self._found.copy_(self._device_found, non_blocking=True)
                self._done.record()

    def fetched(self) -> FloatArray:
        """The answers, once they are here; the slot is free after it."""
        self._done.synchronize()
        found: FloatArray = self._found.numpy()[: self.filled].copy()
        self.filled, self.in_flight = 0, False
        return found


def _batches(chips: Iterable[ByteArray], size: int) -> Iterator[tuple[ByteArray, int]]:
    """Cut into batches `[size, ...]` and how many of their rows are chips: the last may end in zeros."""
    batch: ByteArray | None = None
    filled = 0
    for rows in chips:
        begin = 0
        while begin < len(rows):
            if batch is None:
                batch, filled = np.zeros((size, *rows.shape[1:]), dtype=np.uint8), 0
            taken = min(len(rows) - begin, size - filled)
            batch[filled : filled + taken] = rows[begin : begin + taken]
            begin += taken
            filled += taken
            if filled == size:
                yield batch, filled
                batch = None
    if batch is not None:
        yield batch, filled


def _channels_last(network: ChipNetwork) -> ChipNetwork:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _in_bfloat16(network: ChipNetwork) -> ChipNetwork:
    """Convolutions and linear layers in bfloat16, cast once; pixels are normalised in float32 and then cast."""
    for part in list(network.modules()):
        if isinstance(part, FaceNetwork):
            part.normalisation = nn.Sequential(part.normalisation, _Cast())
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.to(torch.bfloat16)
    return network


class _Cast(nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.to(torch.bfloat16)
