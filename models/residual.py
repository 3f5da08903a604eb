"""A residual network for small faces, after He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition",
with squeeze and excitation as an option (Hu, Shen, Sun 2018). Widths, the stem and the head are chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from models.blocks import FaceNetwork, activation, conv_bn, front, he_start


class FaceResNet(FaceNetwork):
    """Stem, basic blocks, mean over the picture: `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`.

    A 3x3 stem; every stage but the first halves the picture in its first block. With widths 64/128/256/512, two blocks
    each and a stem of stride 1 it is ResNet-18 without its stride-4 start, which a picture of 48 pixels cannot afford.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; any.
        channels: 1 for gray, 3 for RGB.
        widths: channels of the stages; the last ones are the features.
        depths: blocks of the stages, as many.
        stem_stride: 1, or 2 to halve the picture at once.
        squeeze: squeeze and excitation with 1/squeeze of the channels; 0: none.
        drop_path: probability that the last block's branch is left out of a picture in training; earlier ones less.
        dropout: on the features.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 48,
        channels: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (2, 2, 2, 2),
        stem_stride: int = 1,
        squeeze: int = 0,
        drop_path: float = 0.0,
        dropout: float = 0.2,
        nonlinearity: str = "relu",
        normalisation: str = "image",
    ) -> None:
        layers: list[nn.Module] = [conv_bn(channels, widths[0], stride=stem_stride, nonlinearity=nonlinearity)]
        before, blocks = widths[0], sum(depths)
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for block in range(depth):
                stride = 2 if stage and not block else 1
                drop = drop_path * len(layers) / blocks
                layers.append(
                    BasicBlock(before, width, stride=stride, squeeze=squeeze, drop=drop, nonlinearity=nonlinearity)
                )
                before = width
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)),
            hidden=nn.Dropout(dropout),
            num_features=before,
            num_outputs=num_outputs,
        )
        he_start(self)
        for module in self.modules():
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.last_norm.weight)  # every block starts as the identity


class BasicBlock(nn.Module):
    """x + two 3x3 convolutions of x, then the nonlinearity; x is averaged and projected where the shape changes."""

    def __init__(self, before: int, width: int, *, stride: int, squeeze: int, drop: float, nonlinearity: str) -> None:
        super().__init__()
        self.last_norm = nn.BatchNorm2d(width)
        convolution = nn.Conv2d(width, width, 3, padding=1, bias=False)
        branch = [conv_bn(before, width, stride=stride, nonlinearity=nonlinearity), convolution, self.last_norm]
        self.branch = nn.Sequential(*branch, *([SqueezeExcitation(width, width // squeeze)] if squeeze else []))
        shortcut: list[nn.Module] = [nn.AvgPool2d(stride, ceil_mode=True)] if stride > 1 else []
        if before != width:
            shortcut += [nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width)]
        self.shortcut = nn.Sequential(*shortcut)
        self.drop = DropPath(drop)
        self.nonlinearity = activation(nonlinearity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, before, height, width]` to `[batch, width, height, width]`, halved (rounded up) by a stride of 2."""
        added: torch.Tensor = self.nonlinearity(self.shortcut(x) + self.drop(self.branch(x)))
        return added


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole picture says of them."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, the same shape out."""
        weights = F.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True)))
        return x * torch.sigmoid(self.expand(weights))


class DropPath(nn.Module):
    """In training, leave a picture's branch out with a probability, and scale the others up (Huang et al. 2016)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, ...]`, the same shape out."""
        if not self.training or not self.probability:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.probability
        return x * kept / (1 - self.probability)
