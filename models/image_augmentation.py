"""Augmentation of whole batches of faces, and their resizing to what a network reads, in one resampling.

Draws are made on the CPU and go to the device without waiting: a copy that waits empties a GPU's queue at every step.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def resized(pixels: torch.Tensor, *, size: int, channels: int) -> torch.Tensor:
    """Faces as a network reads them, unaugmented.

    Args:
        pixels: `[batch, channel, height, width]` uint8; 1 or 3 channels.
        size: side of the result.
        channels: of the result: gray is repeated, colour becomes its mean.

    Returns: float32 `[batch, channels, size, size]`, 0 to 255; bilinear, antialiased where it shrinks.
    """
    images = with_channels(pixels.float(), channels)
    if images.shape[-2:] == (size, size):
        return images
    shrinks = size < max(images.shape[-2:])
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)


def with_channels(images: torch.Tensor, channels: int) -> torch.Tensor:
    """Gray repeated to three channels, or colour averaged to one; what fits already, as it is."""
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return images.expand(-1, channels, -1, -1)
    return images.mean(dim=1, keepdim=True)


def warped(
    images: torch.Tensor,
    *,
    flip: float,
    shift: int,
    rotation_degrees: float,
    scale: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mirror, shift, turn and scale every picture by its own draw, in one bilinear resampling.

    What comes in from outside is the picture mirrored at its border. A shift is a whole number of pixels, so that
    without turning and scaling no pixel is blurred.

    Args:
        images: float `[batch, channel, height, width]`.
        flip: probability of a mirror image.
        shift: largest shift either way, pixels.
        rotation_degrees: largest turn either way.
        scale: the size changes by a factor whose logarithm is uniform in +- ln(1 + scale).
        generator: the source of chance, on the CPU.
    """
    if not (flip or shift or rotation_degrees or scale):
        return images
    batch, _, height, width = images.shape
    mirror = torch.where(torch.rand(batch, generator=generator) < flip, -1.0, 1.0)
    moves = torch.randint(-shift, shift + 1, (2, batch), generator=generator).float()
    turns = (2 * torch.rand(batch, generator=generator) - 1) * math.radians(rotation_degrees)
    zooms = ((2 * torch.rand(batch, generator=generator) - 1) * math.log1p(scale)).exp()
    cosine, sine = zooms * turns.cos(), zooms * turns.sin()
    across = torch.stack([mirror * cosine, -sine * height / width, 2 * moves[0] / width])
    down = torch.stack([mirror * sine * width / height, cosine, 2 * moves[1] / height])
    return F.grid_sample(
        images,
        _affine_grid(torch.stack([across, down], dim=-1).to(images.device, non_blocking=True), height, width),
        mode="bilinear",
        padding_mode="reflection",
        align_corners=False,
    )


def _affine_grid(theta: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """`F.affine_grid` without its many tiny matrix products, which take as long as the resampling on a CPU.

    Args:
        theta: `[3, batch, 2]`, factors of x, of y, and shifts; for x and for y of what is sampled.
        height: of the picture, pixels.
        width: of the picture, pixels.

    Returns: `[batch, height, width, 2]`, x and y in -1 to 1, `align_corners=False`.
    """
    x = (2 * torch.arange(width, device=theta.device) + 1) / width - 1
    y = (2 * torch.arange(height, device=theta.device) + 1) / height - 1
    of_x, of_y, shift = theta[:, :, None, None, :]
    return torch.addcmul(of_y * y[:, None, None] + shift, of_x, x[:, None])


def relit(images: torch.Tensor, *, brightness: float, contrast: float, generator: torch.Generator) -> torch.Tensor:
    """Brightness, then contrast about the picture's mean, each times a factor in [1 - x, 1 + x]; 0 to 255 stays."""
    if not (brightness or contrast):
        return images
    draws = 2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1
    factors = (1 + draws * torch.tensor([brightness, contrast]).reshape(2, 1, 1, 1, 1)).to(
        images.device, non_blocking=True
    )
    lit = images * factors[0]
    middle = lit.mean(dim=(1, 2, 3), keepdim=True)
    return (middle + (lit - middle) * factors[1]).clamp(0, 255)


def erased(
    images: torch.Tensor, *, probability: float, area: tuple[float, float], generator: torch.Generator
) -> torch.Tensor:
    """Paint a rectangle of some pictures with the picture's mean (random erasing, Zhong et al. 2017).

    Args:
        images: float `[batch, channel, height, width]`.
        probability: that a picture gets a rectangle.
        area: smallest and largest share of the picture; height to width is log-uniform in .3 to 1 / .3.
        generator: the source of chance, on the CPU.
    """
    if not probability:
        return images
    batch, _, height, width = images.shape
    chosen = torch.rand(batch, generator=generator) < probability
    share = area[0] + (area[1] - area[0]) * torch.rand(batch, generator=generator)
    aspect = ((2 * torch.rand(batch, generator=generator) - 1) * math.log(1 / 0.3)).exp()
    tall = ((share * aspect).sqrt() * height).clamp(1, height).round()
    wide = ((share / aspect).sqrt() * width).clamp(1, width).round()
    top = (torch.rand(batch, generator=generator) * (height - tall + 1)).floor()
    left = (torch.rand(batch, generator=generator) * (width - wide + 1)).floor()
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None]) & chosen[:, None]
    in_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    in_rows, in_columns = (mask.to(images.device, non_blocking=True) for mask in (in_rows, in_columns))
    hidden = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return torch.where(hidden, images.mean(dim=(1, 2, 3), keepdim=True), images)


def shifted_views(images: torch.Tensor, views: int, *, step: int) -> list[torch.Tensor]:
    """The views that a score averages: 1 the picture, 2 and its mirror image, 10 also both shifted diagonally.

    Args:
        images: float `[batch, channel, height, width]`.
        views: 1, 2 or 10.
        step: pixels of a shift; what comes in from outside is the picture mirrored at its border.
    """
    found = [images]
    if views == 10:
        _, _, height, width = images.shape
        padded = F.pad(images, [step] * 4, mode="reflect")
        found += [padded[:, :, y : y + height, x : x + width] for y in (0, 2 * step) for x in (0, 2 * step)]
    return found if views == 1 else [*found, *(view.flip(-1) for view in found)]
