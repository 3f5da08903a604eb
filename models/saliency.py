"""Which pixels a network's answer hangs on."""

from __future__ import annotations

import torch
from torch import nn


def saliency(network: nn.Module, images: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Gradient of one output of each picture by its pixels: the largest |d output / d pixel| of the channels.

    Simonyan, Vedaldi, Zisserman 2014, "Deep inside convolutional networks", section 3.

    Args:
        network: in eval mode, `[batch, channel, height, width]` to `[batch, output]`.
        images: `[batch, channel, height, width]`, 0 to 255.
        outputs: `[batch]`, the output to look at.

    Returns: `[batch, height, width]`, >= 0.
    """
    pixels = images.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        total = network(pixels).gather(1, outputs[:, None]).sum()
        (gradient,) = torch.autograd.grad(total, pixels)
    return gradient.abs().amax(dim=1)
