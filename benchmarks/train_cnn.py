"""Training an expression network: images/s of `affectflow train-expression` and of a bare PyTorch loop, side by side.

    uv run benchmarks/train_cnn.py --network deep
    uv run benchmarks/train_cnn.py --network poster-small --augmentation expression/best

Both train the same network on the same SYNTHETIC faces, in turns, in the same precision and memory format. The bare
loop has everything in memory as the network reads it: it picks a batch, steps, and nothing else; it neither augments
nor shows progress. Ours goes through `tasks.expression.fit`, without and with the augmentation of a preset; what it
does after an epoch, scoring and writing a checkpoint, is not counted. Rates and ratios are medians over rounds. On a
busy machine wall time tells little; the ratio of processor time beside it is what the loop costs in itself.

Ends with 1 if ours, augmented, is below 0.9 of the bare loop by wall time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from schemas.expressions import (
    FER2013_CLASSES,
    ExpressionAugmentation,
    ExpressionTraining,
    load_expression_training,
)
from schemas.presets import preset_path
from schemas.training import NamedNetwork
from tasks.expression.batches import DevicePictures, training_batches
from tasks.expression.duplicates import find_duplicates
from tasks.expression.faces import LabelledFaces
from tasks.expression.fit import Batch, FitData, fit, make_optimizer
from tasks.expression.networks import build_network, input_shape
from tasks.expression.prepare import Prepared, prepare
from tasks.progress import LogReporter, set_reporter
from tasks.training.devices import cpu_threads, mixed_precision, resolve_device

LEAST_RATIO = 0.9


def synthetic_faces(number: int) -> LabelledFaces:
    """Noise with labels, in FER2013's size."""
    chance = np.random.default_rng(0)
    return LabelledFaces(
        name="synthetic noise",
        terms="",
        classes=FER2013_CLASSES,
        pictures=chance.integers(0, 256, size=(number, 48, 48, 1), dtype=np.uint8),
        labels=chance.integers(0, 7, size=number),
        splits=np.full(number, "training"),
        rows=np.arange(number),
        votes=None,
        hashes=np.arange(2 * number, dtype=np.int64).view("V16"),
        sha256={},
    )


@dataclass(frozen=True)
class Rate:
    """Images by second of wall time, and by second of processor time."""

    wall: float
    processor: float


def bare_rate(settings: ExpressionTraining, images: torch.Tensor, targets: torch.Tensor, batches: int) -> Rate:
    """Of the bare loop; `images` are `[face, channel, size, size]` float, `targets` `[face]`."""
    torch.manual_seed(0)
    network = build_network(settings.network, 7).to(device=images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(network, settings)
    order = torch.randperm(len(images)).to(images.device)
    network.train()
    started, spent = _now(images.device), time.process_time()
    for number in range(batches):
        picked = order[number * settings.batch_size : (number + 1) * settings.batch_size]
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(settings.precision, images.device):
            logits = network(images[picked])
        torch.autograd.backward(F.cross_entropy(logits.float(), targets[picked]))
        optimizer.step()
    seen = batches * settings.batch_size
    return Rate(seen / (_now(images.device) - started), seen / (time.process_time() - spent))


def our_rate(settings: ExpressionTraining, prepared: Prepared, pictures: DevicePictures, device: torch.device) -> Rate:
    """Of one epoch of `fit`."""
    spent: list[float] = []

    def batches(epoch: int) -> Iterator[Batch]:
        spent.append(time.process_time())
        return training_batches(pictures, prepared, settings, shape, device, seed=0, epoch=epoch)

    def choice(_: torch.nn.Module) -> tuple[float, float]:
        spent.append(time.process_time())
        return 0.0, 0.0

    torch.manual_seed(0)
    network = build_network(settings.network, 7).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    shape = input_shape(settings.network)
    data = FitData(
        batches=batches,
        batches_per_epoch=len(prepared.fit) // settings.batch_size,
        batch_size=settings.batch_size,
        choice=choice,
        class_weights=None,
    )
    with tempfile.TemporaryDirectory() as folder:
        (record,) = fit(network, data, settings, seed=0, checkpoint=Path(folder) / "last.safetensors", label="ours")
    return Rate(record.images_per_second, data.batches_per_epoch * settings.batch_size / (spent[1] - spent[0]))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Measure in turns, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="deep", help="name in the registry")
    parser.add_argument("--augmentation", default="expression/best", help="preset whose augmentation is measured")
    parser.add_argument("--batches", type=int, default=6, help="in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="torch threads on the CPU; 0: one for each core")
    arguments = parser.parse_args()
    set_reporter(LogReporter(lambda _: None))
    device = resolve_device(arguments.device)
    plain = ExpressionTraining(name="plain", network=NamedNetwork(name=arguments.network), max_epochs=1)
    augmentation: ExpressionAugmentation = load_expression_training(preset_path(arguments.augmentation)).augmentation
    augmented = plain.model_copy(update={"augmentation": augmentation})
    faces = synthetic_faces(round(arguments.batches * plain.batch_size / (1 - plain.choice_share)) + 16)
    assert not find_duplicates(faces).extra_copies
    prepared, pictures = prepare(faces, plain), DevicePictures(faces.pictures, device)
    shape = input_shape(plain.network)
    wanted = torch.from_numpy(prepared.fit[: arguments.batches * plain.batch_size])
    images = pictures.take(wanted).float()
    images = F.interpolate(images, size=(shape.size, shape.size)).repeat(1, shape.channels, 1, 1)
    targets = torch.from_numpy(prepared.labels).to(device)[wanted.to(device)]
    rates: dict[str, list[Rate]] = {"bare loop": [], "ours": [], "ours, augmented": []}
    with cpu_threads(arguments.threads):
        for turn in range(arguments.rounds + 1):
            found = {
                "bare loop": bare_rate(plain, images, targets, arguments.batches),
                "ours": our_rate(plain, prepared, pictures, device),
                "ours, augmented": our_rate(augmented, prepared, pictures, device),
            }
            if turn:  # the first round warms up
                for name, rate in found.items():
                    rates[name].append(rate)
    rounds = f"{arguments.rounds} rounds of {arguments.batches} batches of {plain.batch_size}"
    print(f"{arguments.network} on {device}, {rounds}")
    ratio = 0.0
    for name, ours in rates.items():
        pairs = list(zip(ours, rates["bare loop"], strict=True))
        ratio = statistics.median(one.wall / bare.wall for one, bare in pairs)
        processor = statistics.median(one.processor / bare.processor for one, bare in pairs)
        wall = statistics.median(one.wall for one in ours)
        print(f"{name:16} {wall:10,.0f} images/s; of the bare loop {ratio:.3f}, by processor time {processor:.3f}")
    sys.exit(0 if ratio >= LEAST_RATIO else 1)


if __name__ == "__main__":
    main()
