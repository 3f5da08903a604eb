"""K's networks beside the same layers written out in numpy and torch functions."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.khorrami import KhorramiCNN, KhorramiRNN

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


def recurrence(network: KhorramiRNN, windows: FloatArray, nonlinearity: str) -> FloatArray:
    """h_t = f(W x_t + b + U h_{t-1} + c), layer upon layer, from zero; y_t = V h_t + d at every step."""
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}

    def activation(x: FloatArray) -> FloatArray:
        found: FloatArray = np.tanh(x) if nonlinearity == "tanh" else np.maximum(x, 0)
        return found

    outputs = []
    for window in windows:
        sequence = list(window)
        for layer in range(len(network.layers)):
            w, u = state[f"layers.{layer}.weight_ih_l0"], state[f"layers.{layer}.weight_hh_l0"]
            b = state[f"layers.{layer}.bias_ih_l0"] + state[f"layers.{layer}.bias_hh_l0"]
            h = np.zeros(len(u))
            for step, x in enumerate(sequence):
                h = activation(w @ x + b + u @ h)
                sequence[step] = h
        outputs.append([state["head.weight"] @ h + state["head.bias"] for h in sequence])
    return np.array(outputs)


@pytest.mark.parametrize("hidden", [(20,), (100, 100, 50)])
@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_the_rnn_is_its_recurrence(hidden: tuple[int, ...], nonlinearity: str) -> None:
    torch.manual_seed(3)
    network = KhorramiRNN(num_outputs=6, hidden_sizes=hidden, nonlinearity=nonlinearity).double()
    for parameter in network.parameters():  # larger than at the start, so that every term counts
        nn.init.normal_(parameter, 0, 0.08)
    windows = torch.randn(2, 7, 300, dtype=torch.float64)
    with torch.inference_mode():
        found = network(windows)
    assert found.shape == (2, 7, 6)
    np.testing.assert_allclose(found.numpy(), recurrence(network, windows.numpy(), nonlinearity), rtol=1e-9, atol=1e-10)


def test_the_rnn_starts_as_lasagne_does() -> None:
    torch.manual_seed(0)
    network = KhorramiRNN(num_outputs=6, hidden_sizes=(100, 100, 50))
    assert [tuple(p.shape) for p in network.layers.parameters() if p.ndim == 2] == [
        (100, 300), (100, 100), (100, 100), (100, 100), (50, 100), (50, 50),
    ]  # fmt: skip
    for name, parameter in network.layers.named_parameters():
        if "bias" in name:
            assert (parameter == 0).all(), name
        else:
            assert 0.0095 < float(parameter.detach().abs().max()) <= 0.01, name
            assert abs(float(parameter.detach().mean())) < 0.001
    assert (network.head.bias == 0).all()
    bound = math.sqrt(6 / (50 + 6))
    assert 0.9 * bound < float(network.head.weight.detach().abs().max()) <= bound
    identity = KhorramiRNN(num_outputs=1, hidden_sizes=(10,), identity_start=True)
    recurrent = dict(identity.layers.named_parameters())["0.weight_hh_l0"]
    assert torch.equal(recurrent, torch.eye(10))


@pytest.mark.parametrize("length", [1, 5, 40, 700])
@pytest.mark.parametrize("window", [1, 9])
def test_sequences_are_predicted_window_by_window(length: int, window: int) -> None:
    torch.manual_seed(length)
    network = KhorramiRNN(num_outputs=3, num_features=5, hidden_sizes=(8,), nonlinearity="tanh")
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    network.feature_mean.copy_(torch.randn(5))
    network.feature_std.copy_(torch.rand(5) + 0.5)
    features = torch.randn(length, 5)
    with torch.inference_mode():
        found = network.predict_sequence(features, window=window)
    standard = ((features - network.feature_mean) / network.feature_std).double().numpy()
    windows = np.stack([
        np.stack([standard[max(step, 0)] for step in range(end - window + 1, end + 1)]) for end in range(length)
    ])  # fmt: skip
    expected = recurrence(network, windows, "tanh")[:, -1]
    assert found.shape == (length, 3)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
