"""P's networks: the poster on categorical to continuous emotion prediction. S/D/C mark what it states, what the
parameter counts imply, and what is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from models.blocks import FaceNetwork, activation, connected, conv, front, glorot_start, he_start, stages


class PosterSmall(FaceNetwork):
    """P's own network: `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`.

    conv 3x3 pad 1 (64) - ReLU - maxpool 2 - conv (128) - ReLU - maxpool 2 - conv (256) - ReLU - quadrant max pooling
    (2x2x256 = 1024) - FC 200 - ReLU - linear. S; D: every layer has a bias; C: dropout .5 on the pooled values,
    pixels/255, Glorot uniform start. Gray 48x48: 574,865 parameters with one output, 575,468 with four.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; every layer of `widths` halves it, and it must come out even.
        channels: 1 for gray, 3 for RGB.
        kernel_size: of all convolutions, odd.
        widths: channels of the convolutions; their number is the depth.
        num_features: width of the last hidden layer.
        dropout: on the pooled values.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 48,
        channels: int = 1,
        kernel_size: int = 3,
        widths: Sequence[int] = (64, 128, 256),
        num_features: int = 200,
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        if input_size % 2 ** len(widths):
            raise ValueError(f"expected an input size that {2 ** len(widths)} divides, got {input_size}")
        layers: list[nn.Module] = []
        for depth, (before, after) in enumerate(zip([channels, *widths[:-1]], widths, strict=True), start=1):
            pool = 2 if depth < len(widths) else input_size // 2**depth
            layers += [conv(before, after, kernel_size), activation(nonlinearity), nn.MaxPool2d(pool)]
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=nn.Sequential(
                nn.Dropout(dropout), nn.Linear(4 * widths[-1], num_features), activation(nonlinearity)
            ),
            num_features=num_features,
            num_outputs=num_outputs,
        )
        glorot_start(self)


class PosterLarge(FaceNetwork):
    """The larger original, "Kaggle's EmoNets": `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`.

    C: three groups of three 3x3 convolutions (32, 64, 128), each with ReLU, maxpool 2 after each group, FC 64 - ReLU -
    dropout .5, twice, linear; pixels/255, He start: with Glorot's the signal of
    nine ReLU layers fades and training never leaves chance.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; every group halves it, rounded down.
        channels: 1 for gray, 3 for RGB.
        widths: channels of the groups.
        group_depth: convolutions in a group.
        hidden_sizes: widths of the fully connected layers; the last one is the features.
        dropout: after each fully connected layer.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 48,
        channels: int = 1,
        widths: Sequence[int] = (32, 64, 128),
        group_depth: int = 3,
        hidden_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        size = input_size // 2 ** len(widths)
        flat = [channels, *widths][-1] * size * size
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*stages(channels, widths, group_depth, nonlinearity=nonlinearity)),
            hidden=connected(flat, hidden_sizes, nonlinearity=nonlinearity, dropout=dropout),
            num_features=[flat, *hidden_sizes][-1],
            num_outputs=num_outputs,
        )
        he_start(self)
