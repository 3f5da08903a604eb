"""A VGG for small faces: Khaireddin, Chen 2021, "Facial emotion recognition: state of the art performance on FER2013".
S/D/C mark what the paper states, what follows from it, and what is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from models.blocks import FaceNetwork, connected, front, he_start, stages


class FaceVGG(FaceNetwork):
    """Stages of convolutions, then FC layers: `[batch, channel, height, width]`, 0 to 255, to `[batch, output]`.

    S: four stages of two 3x3 convolutions with batch normalisation and ReLU, each stage closed by maxpool 2; two FC
    layers with ReLU, then linear. C: widths 64 to 512, FC 4096, batch normalisation before the ReLU, dropout after each
    FC, each picture standardised, He start. The paper trains on random 40x40 crops: `input_size=40`.

    Args:
        num_outputs: classes, or raters.
        input_size: side of the input, pixels; every stage halves it, rounded down.
        channels: 1 for gray, 3 for RGB.
        widths: channels of the stages.
        stage_depth: convolutions in a stage.
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
        widths: Sequence[int] = (64, 128, 256, 512),
        stage_depth: int = 2,
        hidden_sizes: Sequence[int] = (4096, 4096),
        dropout: float = 0.5,
        nonlinearity: str = "relu",
        normalisation: str = "image",
    ) -> None:
        size = input_size // 2 ** len(widths)
        flat = [channels, *widths][-1] * size * size
        layers = stages(channels, widths, stage_depth, nonlinearity=nonlinearity, batch_norm=True)
        super().__init__(
            normalisation=front(normalisation, channels=channels, size=input_size),
            convolutions=nn.Sequential(*layers),
            hidden=connected(flat, hidden_sizes, nonlinearity=nonlinearity, dropout=dropout),
            num_features=[flat, *hidden_sizes][-1],
            num_outputs=num_outputs,
        )
        he_start(self)
