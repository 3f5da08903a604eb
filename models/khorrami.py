"""K's networks: Khorrami, Le Paine, Brady, Dagli, Huang 2016, "How deep neural networks can improve emotion
recognition on video data". S/D/C mark what the paper states, what its code or counts imply, and what is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from models.chips import Normalisation
from models.windows import window_view

_PREDICTION_WINDOWS = 512


class KhorramiCNN(nn.Module):
    """Single-frame CNN: three convolutions, quadrant pooling, 300 features, one output per rater.

    conv 5x5 pad 2 (64) - ReLU - maxpool 2 - conv (128) - ReLU - maxpool 2 - conv (256) - ReLU - quadrant max pooling
    (2x2x256 = 1024) - dropout - FC 300 - ReLU - linear. S; D: convolutions without bias, FC 300 bias starts at 1,
    dropout .5 on the 1024 pooled values; C: Glorot uniform start. 1,336,601 parameters at 96x96 RGB with one output.

    Args:
        num_outputs: one for each rater.
        input_size: side of the input, pixels; a multiple of 8.
        channels: 3 for RGB, 1 for gray.
        kernel_size: of all convolutions; 5 in the paper.
        widths: channels of the three convolutions.
        num_features: width of the last hidden layer.
        dropout: on the pooled values.
        normalisation: mode of `models.chips.Normalisation`.
    """

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
        normalisation: str = "mean+lcn",
    ) -> None:
        super().__init__()
        if input_size % 8:
            raise ValueError(f"expected an input size that 8 divides, got {input_size}")
        self.normalisation = Normalisation(mode=normalisation, channels=channels, size=input_size)
        inputs = [channels, *widths[:-1]]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2, bias=False)
            for before, after in zip(inputs, widths, strict=True)
        )
        self.quadrant = input_size // 8
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(4 * widths[-1], num_features)
        self.head = nn.Linear(num_features, num_outputs)
        for layer in [*self.convolutions, self.hidden, self.head]:
            nn.init.xavier_uniform_(layer.weight)
        nn.init.ones_(self.hidden.bias)
        nn.init.zeros_(self.head.bias)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, feature]`, all >= 0."""
        x = self.normalisation(pixels).contiguous(memory_format=torch.channels_last)
        last = len(self.convolutions) - 1
        for position, convolution in enumerate(self.convolutions):
            x = F.relu(convolution(x))
            x = F.max_pool2d(x, 2) if position < last else F.max_pool2d(x, self.quadrant)
        return F.relu(self.hidden(self.dropout(x.flatten(1))))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, rater]`."""
        predictions: torch.Tensor = self.head(self.features(pixels))
        return predictions


class KhorramiRNN(nn.Module):
    """Windowed RNN over a frozen CNN's features; every step regresses every rater's value.

    S: W = 100 frames, one layer of 100 units, or 100-100-50; tanh or ReLU. D: Lasagne's defaults: weights into the
    hidden units uniform(-0.01, 0.01), zero biases, zero start state, Glorot uniform output. C: features standardised
    on the training set.

    Args:
        num_outputs: one for each rater.
        num_features: width of the CNN's features.
        hidden_sizes: units of each layer.
        nonlinearity: `tanh` or `relu`.
        identity_start: start each recurrence at the identity; diverges without gradient clipping.
    """

    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(
        self,
        *,
        num_outputs: int,
        num_features: int = 300,
        hidden_sizes: Sequence[int] = (100,),
        nonlinearity: str = "relu",
        identity_start: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(num_features))
        self.register_buffer("feature_std", torch.ones(num_features))
        inputs = [num_features, *hidden_sizes[:-1]]
        self.layers = nn.ModuleList(
            nn.RNN(before, after, nonlinearity=nonlinearity, batch_first=True)
            for before, after in zip(inputs, hidden_sizes, strict=True)
        )
        self.head = nn.Linear(hidden_sizes[-1], num_outputs)
        for layer in self.layers:
            for name, parameter in layer.named_parameters():
                if name.startswith("bias"):
                    nn.init.zeros_(parameter)
                elif name.startswith("weight_hh") and identity_start:
                    nn.init.eye_(parameter)
                else:
                    nn.init.uniform_(parameter, -0.01, 0.01)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def standardise(self, features: torch.Tensor) -> torch.Tensor:
        """`[..., feature]` to zero mean and unit variance over the training set."""
        return (features - self.feature_mean) / self.feature_std

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """`[batch, time, feature]`, standardised, to `[batch, time, rater]`."""
        x = windows
        for layer in self.layers:
            x = layer(x)[0]
        predictions: torch.Tensor = self.head(x)
        return predictions

    def predict_sequence(self, features: torch.Tensor, *, window: int) -> torch.Tensor:
        """Every rater's value at every frame: the last step of the window that ends there.

        Args:
            features: `[time, feature]`, not standardised, no gaps.
            window: W, frames.

        Returns: `[time, rater]`, on the CPU.
        """
        standardised = self.standardise(features.to(self.feature_mean.device))
        windows = window_view(standardised, window=window)
        starts = range(0, len(windows), _PREDICTION_WINDOWS)
        return torch.cat([self(windows[start : start + _PREDICTION_WINDOWS])[:, -1].cpu() for start in starts])
