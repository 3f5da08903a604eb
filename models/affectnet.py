"""A's networks: the poster on AffectNet, eleven classes. S/D/C mark what it states, what the authors' code and the
parameter counts imply, and what is chosen here.

All of them: three stages that each halve the picture, then FC - batch normalisation - (ReLU) - dropout - linear.
C: pixels/255, dropout .5, PyTorch's own start.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from models.blocks import FaceNetwork, activation, conv, front


class AffectNetCNN(FaceNetwork):
    """Baseline and ResNet: `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`.

    D: stages of conv 3x3 pad 1 with bias - batch normalisation - maxpool 2 - ReLU, then FC - batch normalisation -
    ReLU - dropout - linear. Baseline: 32/64/128, FC 128 (its 64x64 version with a 1x1 first convolution, D). ResNet:
    48/96/192, FC 192, and one identity block of two 48->48 convolutions after the first stage. RGB, eleven classes:
    Baseline(64) 1,143,307, Baseline(128) 4,289,803, ResNet(64) 2,613,227, ResNet(128) 9,691,115 parameters.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; every stage halves it, rounded down.
        channels: 3 for RGB, 1 for gray.
        widths: channels of the stages.
        first_kernel: size of the first convolution, odd.
        residual_blocks: identity blocks after the first stage.
        num_features: width of the last hidden layer.
        dropout: after the hidden layer.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 128,
        channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        first_kernel: int = 3,
        residual_blocks: int = 0,
        num_features: int = 128,
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        layers: list[nn.Module] = []
        for stage, (before, width) in enumerate(zip([channels, *widths[:-1]], widths, strict=True)):
            kernel = 3 if stage else first_kernel
            layers += [conv(before, width, kernel), nn.BatchNorm2d(width), nn.MaxPool2d(2), activation(nonlinearity)]
            if stage == 0:
                layers += [Identity(width, nonlinearity=nonlinearity) for _ in range(residual_blocks)]
        flat = widths[-1] * (input_size // 2 ** len(widths)) ** 2
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=nn.Sequential(
                nn.Linear(flat, num_features),
                nn.BatchNorm1d(num_features),
                activation(nonlinearity),
                nn.Dropout(dropout),
            ),
            num_features=num_features,
            num_outputs=num_outputs,
        )


class AffectNetDenseNet(FaceNetwork):
    """DenseNet(128): `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`; 22,320,971 parameters.

    D: three stages of conv 3x3 - batch normalisation - ReLU (to 48, 96, 192), then 3, 3, 2 dense layers that each add
    48 channels, then maxpool 2; FC 288 - batch normalisation - dropout - linear.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; every stage halves it, rounded down.
        channels: 3 for RGB, 1 for gray.
        widths: channels of the stages' first convolutions.
        depths: dense layers of the stages, as many.
        growth: channels that a dense layer adds.
        num_features: width of the last hidden layer.
        dropout: after the hidden layer.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 128,
        channels: int = 3,
        widths: Sequence[int] = (48, 96, 192),
        depths: Sequence[int] = (3, 3, 2),
        growth: int = 48,
        num_features: int = 288,
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        layers: list[nn.Module] = []
        before = channels
        for width, depth in zip(widths, depths, strict=True):
            layers += [conv(before, width), nn.BatchNorm2d(width), activation(nonlinearity)]
            layers += [Dense(width + growth * n, growth, nonlinearity=nonlinearity) for n in range(depth)]
            layers.append(nn.MaxPool2d(2))
            before = width + growth * depth
        flat = before * (input_size // 2 ** len(widths)) ** 2
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=nn.Sequential(nn.Linear(flat, num_features), nn.BatchNorm1d(num_features), nn.Dropout(dropout)),
            num_features=num_features,
            num_outputs=num_outputs,
        )


class AffectNetHybrid(FaceNetwork):
    """Hybrid: residual, inception and dense stages, `[batch, channel, height, width]` to `[batch, output]`.

    C, the count matched (D, 11,961,579): conv 40 - BN - ReLU, a residual conv 40 with BN, pool; conv 80 - BN - ReLU,
    inception 1x1, 3x3, 5x5 (16 each) and 3x3 maxpool, pool; conv 160 - BN - ReLU, three dense convs of growth 40, pool;
    FC 160 - BN - dropout - linear.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; a multiple of 8.
        channels: 3 for RGB, 1 for gray.
        widths: channels of the three stages' first convolutions.
        branch: channels of each convolution of the inception block.
        depth: dense layers of the last stage.
        growth: channels that a dense layer adds.
        num_features: width of the last hidden layer.
        dropout: after the hidden layer.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 128,
        channels: int = 3,
        widths: tuple[int, int, int] = (40, 80, 160),
        branch: int = 16,
        depth: int = 3,
        growth: int = 40,
        num_features: int = 160,
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        first, second, third = widths

        def stage(before: int, after: int) -> list[nn.Module]:
            return [conv(before, after), nn.BatchNorm2d(after), activation(nonlinearity)]

        dense = [Dense(third + growth * n, growth, norm=False, nonlinearity=nonlinearity) for n in range(depth)]
        layers = [*stage(channels, first), Residual(first, nonlinearity=nonlinearity), nn.MaxPool2d(2)]
        layers += [*stage(first, second), Inception(second, branch, nonlinearity=nonlinearity), nn.MaxPool2d(2)]
        layers += [*stage(second + 3 * branch, third), *dense, nn.MaxPool2d(2)]
        flat = (third + depth * growth) * (input_size // 8) ** 2
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=nn.Sequential(nn.Linear(flat, num_features), nn.BatchNorm1d(num_features), nn.Dropout(dropout)),
            num_features=num_features,
            num_outputs=num_outputs,
        )


class Identity(nn.Module):
    """x + conv(ReLU(conv(x))), then ReLU: `[batch, width, height, width]`, the same shape out."""

    def __init__(self, width: int, *, nonlinearity: str) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        self.nonlinearity = activation(nonlinearity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, the same shape out."""
        added: torch.Tensor = self.nonlinearity(x + self.second(self.nonlinearity(self.first(x))))
        return added


class Residual(nn.Module):
    """x + BN(conv(x)), then ReLU."""

    def __init__(self, width: int, *, nonlinearity: str) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv(width, width), nn.BatchNorm2d(width))
        self.nonlinearity = activation(nonlinearity)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, the same shape out."""
        added: torch.Tensor = self.nonlinearity(x + self.branch(x))
        return added


class Dense(nn.Module):
    """x and `growth` new channels from it: (BN) - ReLU - conv 3x3."""

    def __init__(self, width: int, growth: int, *, nonlinearity: str, norm: bool = True) -> None:
        super().__init__()
        before = [nn.BatchNorm2d(width)] if norm else []
        self.branch = nn.Sequential(*before, activation(nonlinearity), conv(width, growth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]` to `[batch, channel + growth, height, width]`."""
        return torch.cat([x, self.branch(x)], dim=1)


class Inception(nn.Module):
    """Convolutions 1x1, 3x3 and 5x5 with ReLU, and a 3x3 maxpool of x itself, side by side."""

    def __init__(self, width: int, branch: int, *, nonlinearity: str) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv(width, branch, kernel) for kernel in (1, 3, 5))
        self.nonlinearity = activation(nonlinearity)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]` to `[batch, channel + 3 branches, height, width]`."""
        found = [self.nonlinearity(branch(x)) for branch in self.branches]
        return torch.cat([*found, self.pool(x)], dim=1)
