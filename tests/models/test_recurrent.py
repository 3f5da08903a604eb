"""The recurrent networks beside their equations written out in numpy, one step of one window at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from models.recurrent import RecurrentNetwork

FloatArray = npt.NDArray[np.float64]
KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]


def make(
    cell: str,
    nonlinearity: str,
    *,
    bidirectional: bool = False,
    hidden: tuple[int, ...] = (6,),
    features: int = 5,
    pool_features: int = 1,
    pool_outputs: int = 1,
    seed: int = 0,
) -> RecurrentNetwork:
    """In float64, with weights large enough that every term counts."""
    torch.manual_seed(seed)
    network = RecurrentNetwork(
        num_outputs=3,
        num_features=features,
        hidden_sizes=hidden,
        cell=cell,
        nonlinearity=nonlinearity,
        bidirectional=bidirectional,
        pool_features=pool_features,
        pool_outputs=pool_outputs,
    ).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    network.feature_mean.copy_(torch.randn(features))
    network.feature_std.copy_(torch.rand(features) + 0.5)
    return network.requires_grad_(False)


def sigmoid(x: FloatArray) -> FloatArray:
    found: FloatArray = 1 / (1 + np.exp(-x))
    return found


def step(kind: tuple[str, str], x: FloatArray, h: FloatArray, c: FloatArray) -> tuple[FloatArray, FloatArray]:
    """One step from what input and state give each gate, `[gate, unit]` each.

    Elman 1990; Hochreiter & Schmidhuber 1997 with forget gates, order i f g o; Cho et al. 2014, order r z n, with the
    reset behind the product, as torch has it. `h` and `c` come in as (product of the state, [state, memory]).
    """
    state, memory = c
    if kind[0] == "lstm":
        i, f, g, o = x + h
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(memory), memory
    if kind[0] == "gru":
        r, z = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
        n = np.tanh(x[2] + r * h[2])
        return (1 - z) * n + z * state, memory
    total = x[0] + h[0]
    return (np.tanh(total) if kind[1] == "tanh" else np.maximum(total, 0)), memory


def by_hand(network: RecurrentNetwork, kind: tuple[str, str], window: FloatArray) -> FloatArray:
    """`[time, feature]` to `[time, rater]`, before any pooling."""
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    sequence = list(window)
    for layer in range(len(network.layers)):
        rows = []
        for suffix in ("", "_reverse") if network.bidirectional else ("",):
            w, u = weights[f"layers.{layer}.weight_ih_l0{suffix}"], weights[f"layers.{layer}.weight_hh_l0{suffix}"]
            b, d = weights[f"layers.{layer}.bias_ih_l0{suffix}"], weights[f"layers.{layer}.bias_hh_l0{suffix}"]
            units = u.shape[1]
            state, memory = np.zeros(units), np.zeros(units)
            found = []
            for x in reversed(sequence) if suffix else sequence:
                from_x, from_h = (w @ x + b).reshape(-1, units), (u @ state + d).reshape(-1, units)
                state, memory = step(kind, from_x, from_h, np.stack([state, memory]))
                found.append(state)
            rows.append(found[::-1] if suffix else found)
        sequence = [np.concatenate(both) for both in zip(*rows, strict=True)]
    return np.stack([weights["head.weight"] @ h + weights["head.bias"] for h in sequence])


def mean_before(values: FloatArray, end: int, frames: int) -> FloatArray:
    found: FloatArray = values[max(0, end - frames + 1) : end + 1].mean(axis=0)
    return found


@pytest.mark.parametrize("hidden", [(6,), (6, 4, 3)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_its_equations(kind: tuple[str, str], bidirectional: bool, hidden: tuple[int, ...]) -> None:
    network = make(*kind, bidirectional=bidirectional, hidden=hidden)
    windows = torch.randn(2, 7, 5, dtype=torch.float64)
    expected = np.stack([by_hand(network, kind, window) for window in windows.numpy()])
    np.testing.assert_allclose(network(windows).numpy(), expected, rtol=1e-9, atol=1e-12)
    pooled = make(*kind, bidirectional=bidirectional, hidden=hidden, pool_outputs=3)
    means = np.stack([[mean_before(one, end, 3) for end in range(7)] for one in expected])
    np.testing.assert_allclose(pooled(windows).numpy(), means, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("length", "window", "hidden", "pool_features", "pool_outputs"),
    [(1, 9, (6,), 1, 1), (5, 9, (6, 4), 3, 4), (30, 1, (6,), 1, 1), (300, 4, (6,), 1, 1), (40, 8, (6, 4, 3), 8, 8)],
)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_predicted_window_by_window(
    kind: tuple[str, str],
    bidirectional: bool,
    length: int,
    window: int,
    hidden: tuple[int, ...],
    pool_features: int,
    pool_outputs: int,
) -> None:
    """Causal: the last step of (t - W, t]. Both directions: step t of the window with (W - 1) // 2 frames after t."""
    network = make(
        *kind, bidirectional=bidirectional, hidden=hidden, pool_features=pool_features, pool_outputs=pool_outputs
    )
    features = torch.randn(length, 5, dtype=torch.float64)
    standard = ((features - network.feature_mean) / network.feature_std).numpy()
    pooled = [mean_before(standard, frame, pool_features) for frame in range(length)]
    ahead = (window - 1) // 2 if bidirectional else 0
    expected = []
    for frame in range(length):
        steps = range(frame + ahead - window + 1, frame + ahead + 1)
        outputs = by_hand(network, kind, np.stack([pooled[min(max(s, 0), length - 1)] for s in steps]))
        expected.append(mean_before(outputs, window - 1 - ahead, pool_outputs))
    found = network.predict_sequence(features, window=window)
    assert found.shape == (length, 3)
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_agrees_to_the_fifth_decimal(kind: tuple[str, str], bidirectional: bool) -> None:
    network = make(*kind, bidirectional=bidirectional, hidden=(32, 32), features=300)
    for parameter in network.parameters():
        parameter.mul_(0.25)
    features = torch.randn(20, 300, dtype=torch.float64)
    expected = network.predict_sequence(features, window=30)
    found = network.float().predict_sequence(features.float(), window=30)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_depends_on_its_window_alone(kind: tuple[str, str]) -> None:
    """Causal networks never see the future; those of both directions see (W - 1) // 2 frames of it."""
    features = torch.randn(30, 5, dtype=torch.float64)
    for bidirectional, before, after in ((False, 7, 0), (True, 4, 3)):
        network = make(*kind, bidirectional=bidirectional)
        first = network.predict_sequence(features, window=8)
        for changed in (12, 20):
            other = features.clone()
            other[changed] += 5
            second = network.predict_sequence(other, window=8)
            moved = torch.nonzero((first != second).any(dim=1)).flatten().tolist()
            assert moved == list(range(changed - after, changed + before + 1))


def test_the_rnn_starts_as_lasagne_does() -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(num_outputs=6, hidden_sizes=(100, 100, 50))
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
    identity = RecurrentNetwork(num_outputs=1, hidden_sizes=(10,), identity_start=True)
    recurrent = dict(identity.layers.named_parameters())["0.weight_hh_l0"]
    assert torch.equal(recurrent, torch.eye(10))


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3)])
def test_gates_start_glorot_and_orthogonal(cell: str, gates: int) -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(num_outputs=6, hidden_sizes=(64,), cell=cell, bidirectional=True)
    for name, parameter in network.layers.named_parameters():
        parts = torch.split(parameter.detach(), 64)
        assert len(parts) == gates
        for position, gate in enumerate(parts):
            if "bias" in name:
                assert (gate == (1 if cell == "lstm" and position == 1 and "bias_ih" in name else 0)).all(), name
            elif "weight_hh" in name:
                torch.testing.assert_close(gate @ gate.T, torch.eye(64), atol=1e-5, rtol=0)
            else:
                bound = math.sqrt(6 / (300 + 64))
                assert 0.97 * bound < float(gate.abs().max()) <= bound
    assert network.head.weight.shape == (6, 128)


def test_names_are_those_of_saved_models() -> None:
    """Models trained before there was more than one cell must load."""
    names = [f"layers.{k}.{part}_l0" for k in range(2) for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    network = RecurrentNetwork(num_outputs=2, hidden_sizes=(4, 3))
    assert list(network.state_dict()) == ["feature_mean", "feature_std", *names, "head.weight", "head.bias"]


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"rnn, lstm, gru.*'gated'"):
        RecurrentNetwork(num_outputs=1, cell="gated")
    with pytest.raises(ValueError, match="rnn for an identity start; got 'lstm', identity_start=True"):
        RecurrentNetwork(num_outputs=1, cell="lstm", identity_start=True)
