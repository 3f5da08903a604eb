"""K's networks: Khorrami, Le Paine, Brady, Dagli, Huang 2016, "How deep neural networks can improve emotion
recognition on video data". S/D/C mark what the paper states, what its code or counts imply, and what is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from models.blocks import FaceNetwork, activation, conv, glorot_start
from models.chips import Normalisation


class KhorramiCNN(FaceNetwork):
    """Single-frame CNN: three convolutions, quadrant pooling, 300 features, one output per rater.

    conv 5x5 pad 2 (64) - ReLU - maxpool 2 - conv (128) - ReLU - maxpool 2 - conv (256) - ReLU - quadrant max pooling
    (2x2x256 = 1024) - dropout - FC 300 - ReLU - linear. S; D: convolutions without bias, FC 300 bias starts at 1,
    dropout .5 on the 1024 pooled values; C: Glorot uniform start. 1,336,601 parameters at 96x96 RGB with one output.

    Args:
        num_outputs: one for each rater.
        input_size: side of the input, pixels; every convolution halves it, and it must come out even.
        channels: 3 for RGB, 1 for gray.
        kernel_size: of all convolutions; 5 in the paper.
        widths: channels of the convolutions; their number is the depth, three in the paper.
        num_features: width of the last hidden layer.
        dropout: on the pooled values.
        nonlinearity: name in `models.blocks.NONLINEARITIES`.
        normalisation: mode of `models.chips.Normalisation`.
    """

    normalisation: Normalisation
    convolutions: nn.ModuleList
    hidden: nn.Linear

    def __init__(
        self,
        *,
        num_outputs: int,
        input_size: int = 96,
        channels: int = 3,
        kernel_size: int = 5,
        widths: Sequence[int] = (64, 128, 256),
        num_features: int = 300,
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "mean+lcn",
    ) -> None:
        divisor = 2 ** len(widths)
        if input_size % divisor:
            raise ValueError(f"expected an input size that {divisor} divides, got {input_size}")
        inputs = [channels, *widths[:-1]]
        super().__init__(
            normalisation=Normalisation(mode=normalisation, channels=channels, size=input_size),
            convolutions=nn.ModuleList(
                conv(before, after, kernel_size, bias=False) for before, after in zip(inputs, widths, strict=True)
            ),
            hidden=nn.Linear(4 * widths[-1], num_features),
            num_features=num_features,
            num_outputs=num_outputs,
        )
        self.quadrant = input_size // divisor
        self.dropout = nn.Dropout(dropout)
        self.nonlinearity = activation(nonlinearity)
        glorot_start(self)
        nn.init.ones_(self.hidden.bias)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, feature]`, all >= 0 with ReLU."""
        x = self.normalisation(pixels).contiguous(memory_format=torch.channels_last)
        last = len(self.convolutions) - 1
        for position, convolution in enumerate(self.convolutions):
            x = self.nonlinearity(convolution(x))
            x = F.max_pool2d(x, 2) if position < last else F.max_pool2d(x, self.quadrant)
        features: torch.Tensor = self.nonlinearity(self.hidden(self.dropout(x.flatten(1))))
        return features
