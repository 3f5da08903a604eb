"""A network of inverted residuals for faces on the CPU, after Sandler et al. 2018, "MobileNetV2", with the squeeze and
excitation of MobileNetV3 (Howard et al. 2019). Widths, the stem and the head are chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from models.blocks import FaceNetwork, conv_bn, front, he_start
from models.residual import DropPath, SqueezeExcitation


class FaceMobileNet(FaceNetwork):
    """Stem, inverted residuals, mean over the picture: `[batch, channel, height, width]` to `[batch, output]`.

    Pixels are 0 to 255. A 3x3 stem; every stage halves the picture in its first block, but for the first.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; any.
        channels: 1 for gray, 3 for RGB.
        widths: channels of the stages.
        depths: blocks of the stages, as many.
        expansion: channels inside a block, by its input's.
        stem_stride: 1, or 2 to halve the picture at once.
        squeeze: squeeze and excitation with 1/squeeze of the inner channels; 0: none.
        num_features: channels of the last 1x1 convolution, which are averaged over the picture.
        drop_path: probability that the last block's branch is left out of a picture in training; earlier ones less.
        dropout: on the features.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 96,
        channels: int = 1,
        widths: Sequence[int] = (24, 48, 96, 160),
        depths: Sequence[int] = (1, 2, 3, 2),
        expansion: int = 4,
        stem_stride: int = 2,
        squeeze: int = 0,
        num_features: int = 512,
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
                layers.append(
                    InvertedResidual(
                        before,
                        width,
                        stride=stride,
                        expansion=expansion,
                        squeeze=squeeze,
                        drop=drop_path * len(layers) / blocks,
                        nonlinearity=nonlinearity,
                    )
                )
                before = width
        layers += [conv_bn(before, num_features, 1, nonlinearity=nonlinearity), nn.AdaptiveAvgPool2d(1)]
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=nn.Dropout(dropout),
            num_features=num_features,
            num_outputs=num_outputs,
        )
        he_start(self)


class InvertedResidual(nn.Module):
    """1x1 to more channels, depthwise 3x3, 1x1 back without a nonlinearity; added to x where the shape stays."""

    def __init__(
        self, before: int, width: int, *, stride: int, expansion: int, squeeze: int, drop: float, nonlinearity: str
    ) -> None:
        super().__init__()
        inner = before * expansion
        layers: list[nn.Module] = [
            conv_bn(before, inner, 1, nonlinearity=nonlinearity),
            conv_bn(inner, inner, stride=stride, groups=inner, nonlinearity=nonlinearity),
        ]
        if squeeze:
            layers.append(SqueezeExcitation(inner, inner // squeeze))
        self.branch = nn.Sequential(*layers, nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))
        self.adds = stride == 1 and before == width
        self.drop = DropPath(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, before, height, width]` to `[batch, width, height, width]`, halved (rounded up) by a stride of 2."""
        projected: torch.Tensor = self.branch(x)
        return x + self.drop(projected) if self.adds else projected
