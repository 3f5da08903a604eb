"""Blocks that the networks on faces share: the common shape of such a network, its front, small parts, the start.

Every network maps `[batch, channel, height, width]` pixels, 0 to 255 in any dtype, to `[batch, output]`: logits of
classes, or values. Its last layer is always `head`, a linear one, so that a transfer can replace it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from models.chips import Normalisation

NONLINEARITIES: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.1),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class FaceNetwork(nn.Module):
    """Normalisation - convolutions - hidden layers - linear head.

    Args:
        normalisation: pixels to what the convolutions expect, the same shape.
        convolutions: `[batch, channel, height, width]` to any `[batch, ...]`, which is flattened.
        hidden: `[batch, flattened]` to `[batch, feature]`.
        num_features: width of the last hidden layer.
        num_outputs: classes, or raters.
    """

    def __init__(
        self,
        *,
        normalisation: nn.Module,
        convolutions: nn.Module,
        hidden: nn.Module,
        num_features: int,
        num_outputs: int,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.normalisation = normalisation
        self.convolutions = convolutions
        self.hidden = hidden
        self.head = nn.Linear(num_features, num_outputs)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, feature]`, the last hidden layer."""
        x = self.normalisation(pixels).contiguous(memory_format=torch.channels_last)
        features: torch.Tensor = self.hidden(self.convolutions(x).flatten(1))
        return features

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, output]`."""
        outputs: torch.Tensor = self.head(self.features(pixels))
        return outputs


class PixelScale(nn.Module):
    """Pixels 0 to 255 in any dtype to floats: `unit` is 0 to 1; `image` each picture less its mean, by its spread.

    `image` makes a network blind to brightness and contrast of the whole picture; it needs nothing of a training set.
    """

    MODES = ("unit", "image")

    scale: torch.Tensor

    def __init__(self, *, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.register_buffer("scale", torch.tensor(1 / 255), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]` to the same shape, in the network's dtype."""
        scaled = pixels.to(self.scale.dtype) * self.scale
        if self.mode == "unit":
            return scaled
        mean = scaled.mean(dim=(1, 2, 3), keepdim=True)
        spread = scaled.std(dim=(1, 2, 3), keepdim=True)
        return (scaled - mean) / spread.clamp_min(1 / 255)


def front(normalisation: str, *, channels: int, size: int) -> nn.Module:
    """A network's first step: `unit` and `image` as in `PixelScale`, the others as in `models.chips.Normalisation`.

    A `Normalisation` subtracts the training set's mean picture, `[channel, height, width]` in 0 to 1, which whoever
    trains writes to its `mean`.

    Raises:
        ValueError: no such normalisation.
    """
    if normalisation in PixelScale.MODES:
        return PixelScale(mode=normalisation)
    if normalisation in Normalisation.MODES:
        return Normalisation(mode=normalisation, channels=channels, size=size)
    known = ", ".join([*PixelScale.MODES, *Normalisation.MODES])
    raise ValueError(f"normalisation = {normalisation!r}: expected one of {known}")


def activation(name: str) -> nn.Module:
    """A nonlinearity by name, any shape to the same shape.

    Raises:
        ValueError: no such nonlinearity.
    """
    if name not in NONLINEARITIES:
        raise ValueError(f"nonlinearity = {name!r}: expected one of {', '.join(NONLINEARITIES)}")
    return NONLINEARITIES[name]()


def conv(before: int, after: int, kernel: int = 3, *, padding: int | None = None, bias: bool = True) -> nn.Conv2d:
    """`[batch, before, height, width]` to `[batch, after, height, width]`; another size if a padding is given."""
    return nn.Conv2d(before, after, kernel, padding=kernel // 2 if padding is None else padding, bias=bias)


def conv_bn(
    before: int, after: int, kernel: int = 3, *, nonlinearity: str = "relu", stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch normalisation, nonlinearity; height and width are divided by the stride."""
    convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), activation(nonlinearity))


def stages(
    channels: int, widths: Sequence[int], depth: int, *, nonlinearity: str, batch_norm: bool = False
) -> list[nn.Module]:
    """For each width `depth` 3x3 convolutions with the nonlinearity, batch normalised before it or not, then maxpool 2.

    `[batch, channels, height, width]` to `[batch, widths[-1], ...]`; every stage halves the picture, rounded down.
    """
    layers: list[nn.Module] = []
    before = channels
    for width in widths:
        for _ in range(depth):
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [conv(before, width), *norm, activation(nonlinearity)]
            before = width
        layers.append(nn.MaxPool2d(2))
    return layers


def connected(
    inputs: int, sizes: Sequence[int], *, nonlinearity: str, dropout: float, batch_norm: bool = False
) -> nn.Sequential:
    """Fully connected layers, each with the nonlinearity, batch normalised before it or not, and dropout after it.

    `[batch, inputs]` to `[batch, sizes[-1]]`.
    """
    layers: list[nn.Module] = []
    for before, units in pairwise([inputs, *sizes]):
        norm = [nn.BatchNorm1d(units)] if batch_norm else []
        layers += [nn.Linear(before, units), *norm, activation(nonlinearity), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def glorot_start(network: nn.Module) -> None:
    """Glorot uniform weights and zero biases in every convolution and linear layer: the start of Lasagne and Keras."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def he_start(network: nn.Module) -> None:
    """He normal weights (by fan-out in convolutions) and zero biases; a small head, so that training starts even."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01) if name == "head" else nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
