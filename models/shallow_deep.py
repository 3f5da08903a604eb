"""V's networks: a shallow and a deep CNN on FER2013. S/D/C mark what the paper states, what the parameter counts
imply, and what is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from models.blocks import FaceNetwork, activation, connected, conv, front, glorot_start


class ShallowDeepCNN(FaceNetwork):
    """One design at two depths: `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`.

    Convolutions, same padding, then FC layers; each + batch normalisation - ReLU - dropout .25 (a convolution with
    maxpool 2 before the dropout), then linear. S: shallow 64 3x3, 128 5x5; deep two more of 512 3x3. D: FC 256, and FC
    512 in the deep one, every layer with bias and batch normalisation: 4,927,111 and 4,474,759 parameters (gray 48x48,
    seven classes). C: pixels/255, Glorot uniform start. The defaults are the shallow one.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; every convolution halves it, rounded down.
        channels: 1 for gray, 3 for RGB.
        widths: channels of the convolutions; their number is the depth.
        kernels: sizes of the convolutions, odd, as many.
        hidden_sizes: widths of the fully connected layers; the last one is the features.
        dropout: after every layer.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 48,
        channels: int = 1,
        widths: Sequence[int] = (64, 128),
        kernels: Sequence[int] = (3, 5),
        hidden_sizes: Sequence[int] = (256,),
        dropout: float = 0.25,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        layers: list[nn.Module] = []
        before, size = channels, input_size
        for width, kernel in zip(widths, kernels, strict=True):
            layers += [conv(before, width, kernel), nn.BatchNorm2d(width), activation(nonlinearity)]
            layers += [nn.MaxPool2d(2), nn.Dropout(dropout)]
            before, size = width, size // 2
        flat = before * size * size
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=connected(flat, hidden_sizes, nonlinearity=nonlinearity, dropout=dropout, batch_norm=True),
            num_features=[flat, *hidden_sizes][-1],
            num_outputs=num_outputs,
        )
        glorot_start(self)
