"""From stored chips to what a network sees."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from models.image_augmentation import resized

_LUMA = (77, 150, 29)  # Rec. 601 weights .299 .587 .114 in 1/256
_LOCAL_KERNEL = 5


def network_pixels(chips: torch.Tensor, *, size: int, channels: int) -> torch.Tensor:
    """Stored chips at a network's resolution and colour.

    Gray is Rec. 601 luma; 48x48 is the mean of 2x2 pixels; any other size is interpolated. All are rounded to whole
    numbers, and the same on every device.

    Args:
        chips: `[batch, 96, 96, 3]` RGB or `[batch, 96, 96, 1]` gray, uint8.
        size: side of the result.
        channels: of the result: 3, or 1 for gray.

    Returns: `[batch, channels, size, size]` uint8; channels may be last in memory.

    Raises:
        ValueError: colour is asked of gray chips.
    """
    whole, stored = chips.shape[1], chips.shape[-1]
    pixels = chips.permute(0, 3, 1, 2)
    if channels == 1 and stored == 3:
        luma = chips.float() @ torch.tensor(_LUMA, dtype=torch.float32, device=chips.device)  # whole numbers: exact
        pixels = luma.add_(128).mul_(1 / 256).to(torch.uint8)[:, None]
    elif channels == 3 and stored != 3:
        raise ValueError('expected RGB chips, got gray ones; use colour = "gray", or chip_format = "rgb96"')
    if 2 * size == whole:
        high = pixels.to(torch.int16)
        rows = high[:, :, ::2] + high[:, :, 1::2]
        return ((rows[..., ::2] + rows[..., 1::2] + 2) >> 2).to(torch.uint8)
    if size == whole:
        return pixels
    return resized(pixels, size=size, channels=channels).round().clamp(0, 255).to(torch.uint8)


class Normalisation(nn.Module):
    """What K does before the net: subtract the training mean, then normalise local contrast.

    `mean` subtracts the training set's mean image; `mean+local-mean` also the 5x5 neighbourhood's mean, which is all
    that the authors' released code does; `mean+lcn` divides by the neighbourhood's standard deviation as well, no less
    than its mean over the picture (Jarrett et al. 2009, section 2).

    Raises:
        ValueError: no such mode.
    """

    MODES = ("mean", "mean+local-mean", "mean+lcn")

    mean: torch.Tensor

    def __init__(self, *, mode: str, channels: int, size: int) -> None:
        super().__init__()
        if mode not in self.MODES:
            raise ValueError(f"normalisation = {mode!r}: expected one of {', '.join(self.MODES)}")
        self.mode = mode
        self.register_buffer("mean", torch.zeros(channels, size, size))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255 in any dtype, to float of the mean's dtype."""
        centred = pixels.to(self.mean.dtype) / 255 - self.mean
        if self.mode == "mean":
            return centred
        local = centred - _local_mean(centred)
        if self.mode == "mean+local-mean":
            return local
        spread = _local_mean(local * local).clamp_min(0).sqrt()
        floor = spread.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-4)
        return local / torch.maximum(spread, floor)


def _local_mean(images: torch.Tensor) -> torch.Tensor:
    pad = _LOCAL_KERNEL // 2
    return F.avg_pool2d(images, _LOCAL_KERNEL, stride=1, padding=pad, count_include_pad=False)


def augment(
    pixels: torch.Tensor, *, shift_pixels: int, flip: float, colour_jitter: float, generator: torch.Generator
) -> torch.Tensor:
    """K's augmentation A: translation (zero-pad, random crop), mirror image, colour changes.

    Args:
        pixels: `[batch, channel, height, width]`, 0 to 255.
        shift_pixels: largest shift either way; the border is filled with zeros.
        flip: probability of a mirror image.
        colour_jitter: brightness, contrast and saturation each change by a factor in [1 - j, 1 + j].
        generator: the source of chance, on the CPU.

    Returns: float32, the same shape, 0 to 255.
    """
    batch, channels, height, width = pixels.shape
    images = pixels.to(torch.float32)
    if flip:
        mirrored = torch.rand(batch, generator=generator) < flip
        images = torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(-1), images)
    if shift_pixels:
        padded = F.pad(images, [shift_pixels] * 4)
        moves = torch.randint(0, 2 * shift_pixels + 1, (2, batch), generator=generator).to(images.device)
        rows = moves[0][:, None] + torch.arange(height, device=images.device)
        columns = moves[1][:, None] + torch.arange(width, device=images.device)
        picked = torch.arange(batch, device=images.device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[picked, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if colour_jitter:
        factors = 1 + colour_jitter * (2 * torch.rand(3, batch, 1, 1, 1, generator=generator) - 1).to(images.device)
        images = images * factors[0]
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        images = middle + (images - middle) * factors[1]
        if channels == 3:
            gray = images.mean(dim=1, keepdim=True)
            images = gray + (images - gray) * factors[2]
        images = images.clamp(0, 255)
    return images
