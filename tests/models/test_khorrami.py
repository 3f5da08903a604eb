"""K's networks beside the same layers written out in numpy and torch functions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.khorrami import KhorramiCNN

FloatArray = npt.NDArray[np.float64]


def parameters(network: nn.Module) -> int:
    return sum(math.prod(p.shape) for p in network.parameters())


@pytest.mark.parametrize(("channels", "expected"), [(3, 1_336_601), (1, 1_333_401)])
def test_parameter_counts_of_the_paper(channels: int, expected: int) -> None:
    network = KhorramiCNN(num_outputs=1, channels=channels)
    assert parameters(network) == expected
    convolutions = 25 * (channels * 64 + 64 * 128 + 128 * 256)
    assert expected == convolutions + 1024 * 300 + 300 + 300 + 1
    assert parameters(KhorramiCNN(num_outputs=6, channels=channels)) == expected + 5 * 301


def naive_forward(network: KhorramiCNN, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and outputs by unfolding every patch and multiplying, pooling by reshaping."""
    state = {name: value.double() for name, value in network.state_dict().items()}
    x = network.normalisation(pixels)
    for layer in range(3):
        weight = state[f"convolutions.{layer}.weight"]
        kernel = weight.shape[-1]
        patches = F.unfold(x, kernel, padding=kernel // 2)
        size = x.shape[-1]
        x = (weight.flatten(1) @ patches).reshape(len(x), -1, size, size).clamp_min(0)
        pool = 2 if layer < 2 else size // 2
        blocks = size // pool
        x = x.reshape(len(x), -1, blocks, pool, blocks, pool).amax(dim=(3, 5))
    hidden = (x.reshape(len(x), -1) @ state["hidden.weight"].T + state["hidden.bias"]).clamp_min(0)
    return hidden, hidden @ state["head.weight"].T + state["head.bias"]


@pytest.mark.parametrize(
    ("size", "channels", "kernel", "widths"),
    [(96, 3, 5, (64, 128, 256)), (48, 1, 5, (8, 16, 32)), (48, 3, 3, (4, 4, 8))],
)
@pytest.mark.parametrize("normalisation", ["mean", "mean+lcn"])
def test_the_cnn_is_its_layers(
    size: int, channels: int, kernel: int, widths: tuple[int, int, int], normalisation: str
) -> None:
    torch.manual_seed(size + kernel)
    network = KhorramiCNN(
        num_outputs=6,
        input_size=size,
        channels=channels,
        kernel_size=kernel,
        widths=widths,
        normalisation=normalisation,
    )
    network = network.double().eval()
    network.normalisation.mean.uniform_(0, 1)
    pixels = torch.randint(0, 256, (3, channels, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        features, outputs = naive_forward(network, pixels)
        torch.testing.assert_close(network.features(pixels), features, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(network(pixels), outputs, rtol=1e-10, atol=1e-10)
    assert features.shape == (3, 300)
    assert outputs.shape == (3, 6)


def test_the_cnn_starts_as_specified() -> None:
    torch.manual_seed(0)
    network = KhorramiCNN(num_outputs=6)
    assert all(convolution.bias is None for convolution in network.convolutions)
    assert (network.hidden.bias == 1).all()
    assert (network.head.bias == 0).all()
    layers = [*network.convolutions, network.hidden, network.head]
    for layer in layers:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        field = math.prod(weight.shape[2:])
        bound = math.sqrt(6 / ((weight.shape[0] + weight.shape[1]) * field))  # Glorot & Bengio 2010, eq. 16
        assert float(weight.detach().abs().max()) <= bound
        assert float(weight.detach().abs().max()) > 0.97 * bound
    with pytest.raises(ValueError, match="8 divides, got 50"):
        KhorramiCNN(num_outputs=1, input_size=50)


def test_dropout_is_on_the_pooled_values_while_training() -> None:
    torch.manual_seed(0)
    network = KhorramiCNN(num_outputs=1, input_size=48, channels=1, widths=(2, 2, 256), dropout=0.5)
    pixels = torch.randint(0, 256, (1, 1, 48, 48), dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    network.hidden.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.train()(pixels)
    network.eval()(pixels)
    trained, evaluated = seen
    assert trained.shape == (1, 1024)
    dropped = (trained == 0) & (evaluated != 0)
    positive = int((evaluated != 0).sum())
    assert 0.4 * positive < int(dropped.sum()) < 0.6 * positive
    kept = trained != 0
    torch.testing.assert_close(trained[kept], 2 * evaluated[kept])
