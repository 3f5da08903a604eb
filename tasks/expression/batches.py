"""Batches of faces on the device that computes: held there as bytes, augmented and resized there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from models.image_augmentation import erased, relit, resized, shifted_views, warped
from schemas.expressions import ExpressionAugmentation, ExpressionTraining
from tasks.expression.prepare import Prepared
from tasks.training.devices import mixed_precision
from tasks.training.fit import epoch_generator
from tasks.training.networks import InputShape

MOST_RESIDENT_BYTES = 4 * 2**30
"""Sets larger than this stay memory-mapped on disk, and only batches go to the device."""

_SCORING_BATCH = 512
_VIEW_SHIFT = 2  # pixels of the network's input, at 48; as a share of larger ones


class DevicePictures:
    """The pictures of a set of faces as `[face, channel, height, width]` uint8, on the device where they fit.

    Args:
        pictures: `[face, height, width, channel]`, memory-mapped.
        device: where batches are wanted.
    """

    def __init__(self, pictures: npt.NDArray[np.uint8], device: torch.device) -> None:
        self._device, self._mapped = device, pictures
        self._resident: torch.Tensor | None = None
        if pictures.nbytes <= MOST_RESIDENT_BYTES:
            self._resident = _channels_first(np.array(pictures)).to(device)

    def take(self, positions: torch.Tensor) -> torch.Tensor:
        """Pictures by position (`[batch]`, on the CPU), on the device."""
        if self._resident is not None:
            return self._resident[positions.to(self._device, non_blocking=True)]
        return _channels_first(self._mapped[positions.numpy()]).to(self._device)


def _channels_first(pictures: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()


def batches_per_epoch(num_faces: int, batch_size: int) -> int:
    """Whole batches; a rest is left out of its epoch, another one in each."""
    return max(1, num_faces // batch_size)


def training_batches(
    pictures: DevicePictures,
    prepared: Prepared,
    settings: ExpressionTraining,
    shape: InputShape,
    device: torch.device,
    *,
    seed: int,
    epoch: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of *fit* in its own order: pictures `[batch, channel, size, size]` 0 to 255, targets `[batch, class]`.

    Chance comes from (seed, epoch) alone.
    """
    chance = epoch_generator(seed, epoch)
    fit, targets = torch.from_numpy(prepared.fit), torch.from_numpy(prepared.targets).to(device)
    order = fit[torch.randperm(len(fit), generator=chance)]
    for number in range(batches_per_epoch(len(fit), settings.batch_size)):
        positions = order[number * settings.batch_size : (number + 1) * settings.batch_size]
        images = augmented(pictures.take(positions), settings.augmentation, shape, generator=chance)
        wanted = targets[positions.to(device, non_blocking=True)]
        yield mixed_up(images, wanted, settings.mixup, generator=chance) if settings.mixup else (images, wanted)


def augmented(
    pixels: torch.Tensor, settings: ExpressionAugmentation, shape: InputShape, *, generator: torch.Generator
) -> torch.Tensor:
    """Bytes `[batch, channel, height, width]` as a network reads them in training, 0 to 255."""
    images = warped(
        pixels.float(),
        flip=settings.flip,
        shift=settings.shift,
        rotation_degrees=settings.rotation_degrees,
        scale=settings.scale,
        generator=generator,
    )
    images = relit(images, brightness=settings.brightness, contrast=settings.contrast, generator=generator)
    images = erased(images, probability=settings.erasing, area=settings.erasing_area, generator=generator)
    return resized(images, size=shape.size, channels=shape.channels)


def mixed_up(
    images: torch.Tensor, targets: torch.Tensor, alpha: float, *, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every picture with another one of its batch, and their targets, in one proportion (Zhang et al. 2018)."""
    seed = int(torch.randint(2**62, (1,), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(images), generator=generator).to(images.device, non_blocking=True)
    return torch.lerp(images[other], images, share), torch.lerp(targets[other], targets, share)


def mean_image(pictures: DevicePictures, positions: npt.NDArray[np.int64], shape: InputShape) -> torch.Tensor:
    """Mean of faces as the network reads them, in [0, 1], `[channel, size, size]`."""
    total = torch.zeros(shape.channels, shape.size, shape.size, dtype=torch.float64)
    for start in range(0, len(positions), _SCORING_BATCH):
        batch = pictures.take(torch.from_numpy(positions[start : start + _SCORING_BATCH]))
        total += resized(batch, size=shape.size, channels=shape.channels).sum(dim=0, dtype=torch.float64).cpu()
    return (total / (255 * len(positions))).float()


@torch.inference_mode()
def probabilities(
    network: torch.nn.Module,
    pictures: DevicePictures,
    positions: npt.NDArray[np.int64],
    shape: InputShape,
    device: torch.device,
    *,
    views: int = 1,
    precision: str = "float32",
    told: Callable[[float], None] = lambda _: None,
) -> npt.NDArray[np.float32]:
    """Probability of each class, the mean over views, `[face, class]`; the network has to be in eval mode.

    `told` is called with each number of faces done.
    """
    step = max(1, round(_VIEW_SHIFT * shape.size / 48))
    found = []
    for start in range(0, len(positions), _SCORING_BATCH):
        images = resized(
            pictures.take(torch.from_numpy(positions[start : start + _SCORING_BATCH])),
            size=shape.size,
            channels=shape.channels,
        )
        with mixed_precision(precision, device):
            logits = [network(view).float() for view in shifted_views(images, views, step=step)]
        found.append(torch.stack([one.softmax(dim=1) for one in logits]).mean(dim=0))
        told(len(images))
    return torch.cat(found).cpu().numpy()
