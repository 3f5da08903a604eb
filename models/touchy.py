"""T's ladder: "Touchy Feely: An Emotion Recognition Challenge", FER2013, seven classes. S/D/C mark what the paper
states, what its numbers imply, and what is chosen here; the order of layers is S, widths are C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from torch import nn

from models.blocks import FaceNetwork, activation, front, he_start

Layer = Callable[[], nn.Module]


class TouchyCNN(FaceNetwork):
    """Any step of the ladder, from the order of its layers: `[batch, channel, height, width]` to `[batch, output]`.

    `convolutions` and `hidden` are words, as the paper writes its networks: `conv`, `bn`, `relu` (the nonlinearity),
    `mp` (maxpool 2), `drop`, `fc`. The convolutions take their channels from `widths` in turn, the last one repeated,
    and their padding from `paddings`, over and over. C: He start, pixels/255 (S: no mean subtraction).

    Args:
        num_outputs: classes, or raters.
        convolutions: words, separated by blanks.
        hidden: words, separated by blanks; may be empty, and then the flattened values are the features.
        input_size: side of the input, pixels.
        channels: 1 for gray, 3 for RGB.
        widths: channels of the convolutions, one for each.
        kernel_size: of all convolutions.
        stride: of all convolutions.
        paddings: of the convolutions.
        hidden_size: width of the fully connected layers.
        dropout: of every `drop`.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: as in `models.blocks.front`.

    Raises:
        ValueError: an unknown word, widths that do not match, or nothing is left of the picture.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        convolutions: str,
        hidden: str = "",
        input_size: int = 48,
        channels: int = 1,
        widths: Sequence[int] = (32,),
        kernel_size: int = 3,
        stride: int = 1,
        paddings: Sequence[int] = (1,),
        hidden_size: int = 1024,
        dropout: float = 0.2,
        nonlinearity: str = "relu",
        normalisation: str = "unit",
    ) -> None:
        if convolutions.split().count("conv") != len(widths):
            raise ValueError(f"expected one width for each conv of {convolutions!r}, got widths {tuple(widths)}")
        layers: list[nn.Module] = []
        width, size = channels, input_size
        padding, widths_left = cycle(paddings), iter(widths)
        for word in convolutions.split():
            if word == "conv":
                before, width, pad = width, next(widths_left), next(padding)
                layers.append(nn.Conv2d(before, width, kernel_size, stride=stride, padding=pad))
                size = (size + 2 * pad - kernel_size) // stride + 1
            elif word == "mp":
                layers.append(nn.MaxPool2d(2))
                size //= 2
            else:
                layers.append(_layer(word, nn.BatchNorm2d, width, dropout, nonlinearity))
        if size < 1:
            raise ValueError(f"expected an input larger than {input_size} pixels for {convolutions!r}")
        connected: list[nn.Module] = []
        units = width * size * size
        for word in hidden.split():
            if word == "fc":
                connected.append(nn.Linear(units, hidden_size))
                units = hidden_size
            else:
                connected.append(_layer(word, nn.BatchNorm1d, units, dropout, nonlinearity))
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=nn.Sequential(*connected),
            num_features=units,
            num_outputs=num_outputs,
        )
        he_start(self)


def _layer(word: str, norm: Callable[[int], nn.Module], width: int, dropout: float, nonlinearity: str) -> nn.Module:
    """A layer that keeps the shape `[batch, width, ...]`."""
    makers: dict[str, Layer] = {
        "bn": lambda: norm(width),
        "relu": lambda: activation(nonlinearity),
        "drop": lambda: nn.Dropout(dropout),
    }
    if word not in makers:
        raise ValueError(f"layer {word!r}: expected conv, mp, fc, {', '.join(makers)}")
    return makers[word]()
