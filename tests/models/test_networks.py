"""The CNNs beside the counts of the papers, and beside the same layers written out in torch functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import registry
from models.blocks import NONLINEARITIES, FaceNetwork
from tasks.training.devices import cpu_threads

COUNTS = [
    ("khorrami-cnn", 1, 1_336_601),
    ("khorrami-cnn-gray", 1, 1_333_401),
    ("poster-small", 1, 574_865),
    ("poster-small", 4, 575_468),
    ("affectnet-baseline-64", 11, 1_143_307),
    ("affectnet-baseline-128", 11, 4_289_803),
    ("affectnet-resnet-64", 11, 2_613_227),
    ("affectnet-resnet-128", 11, 9_691_115),
    ("affectnet-densenet-128", 11, 22_320_971),
    ("affectnet-hybrid-128", 11, 11_961_579),
    ("shallow", 7, 4_927_111),
    ("deep", 7, 4_474_759),
]
FACES = [facts.name for facts in registry.entries() if facts.reads == "faces"]
SMALLER: dict[str, dict[str, Any]] = {
    "khorrami-cnn": {"input_size": 48, "widths": (16, 16, 32)},
    "khorrami-cnn-gray": {"input_size": 48, "widths": (16, 16, 32)},
    "touchy-conv3": {"hidden_size": 64},
    "touchy-conv4": {"hidden_size": 128},
    "touchy-conv8": {"widths": (8, 8, 16, 16, 16, 16, 16, 16)},
    "touchy-final": {"widths": 7 * (16,), "hidden_size": 64},
    "touchy-tapered": {"widths": (8, 8, 8, 8, 8, 16, 16), "hidden_size": 64},
    "vgg-face-48": {"widths": (16, 16, 32, 32), "hidden_sizes": (64, 64)},
    "resnet18-48": {"widths": (16, 16, 32, 32)},
    **{name: {"input_size": 32} for name in FACES if name.startswith("affectnet")},
    **{name: {"input_size": 32} for name in ("resnet-slim-48", "resnet-slim-96")},
}
"""Sizes that keep a test short: the layers stay, and their order."""

BY_HEART: dict[str, dict[str, Any]] = {
    "khorrami-cnn": {},
    "poster-small": {"widths": (16, 32, 64)},
    "poster-large": {"widths": (8, 16, 32), "normalisation": "image"},
    "touchy-baseline": {},
    "touchy-conv4": {"widths": (8, 16, 16, 32)},
    "touchy-final": {"widths": 7 * (8,)},
    **{name: {} for name in FACES if name.startswith("affectnet")},
    "shallow": {"widths": (8, 16)},
    "deep": {"widths": (8, 16, 32, 32)},
    "vgg-slim-48": {"widths": (8, 16, 32, 32)},
    "resnet-slim-48": {"widths": (8, 16, 32, 32)},
}
"""One network or more of each family, narrow."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small steps on several threads wait for each other where the machine has other work."""
    with cpu_threads(1):
        yield


def small(name: str, num_outputs: int = 7, **options: Any) -> FaceNetwork:
    torch.manual_seed(5)
    return registry.build(name, num_outputs=num_outputs, **{**SMALLER.get(name, {}), **options})


def pixels_for(name: str, batch: int, *, seed: int = 3) -> torch.Tensor:
    facts = registry.entry(name)
    size = SMALLER.get(name, {}).get("input_size", facts.input_size)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, facts.channels, size, size), generator=generator, dtype=torch.uint8)


def unsettle(network: nn.Module) -> None:
    """Give batch normalisation statistics and factors that are not 0 and 1, so that its place matters."""
    generator = torch.Generator().manual_seed(9)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            shape = layer.running_mean.shape
            layer.running_mean.copy_(0.2 * torch.randn(shape, generator=generator))
            layer.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
            with torch.no_grad():
                layer.weight.copy_(0.5 + torch.rand(shape, generator=generator))
                layer.bias.copy_(0.2 * torch.randn(shape, generator=generator))


@pytest.mark.parametrize(("name", "num_outputs", "expected"), COUNTS)
def test_parameter_counts_of_the_papers(name: str, num_outputs: int, expected: int) -> None:
    network = registry.build(name, num_outputs=num_outputs)
    assert sum(math.prod(parameter.shape) for parameter in network.parameters()) == expected


@pytest.mark.parametrize("name", registry.names())
def test_the_catalogue_counts_what_is_built(name: str) -> None:
    facts = registry.entry(name)
    build = registry.build if facts.reads == "faces" else registry.build_recurrent
    network = build(name, num_outputs=facts.num_outputs)
    assert sum(parameter.numel() for parameter in network.parameters()) == facts.num_parameters
    assert isinstance(network.head, nn.Linear)
    assert network.head.in_features == facts.num_features
    stated = {(one, outputs): count for one, outputs, count in COUNTS}
    if facts.count_source == "paper":
        assert stated[name, facts.num_outputs] == facts.num_parameters


@pytest.mark.parametrize("name", FACES)
def test_features_and_head_make_the_output(name: str) -> None:
    network = small(name, num_outputs=5).eval()
    pixels = pixels_for(name, 2)
    with torch.inference_mode():
        features, outputs = network.features(pixels), network(pixels)
        assert features.shape == (2, network.num_features)
        assert outputs.shape == (2, 5)
        torch.testing.assert_close(network.head(features), outputs)
        torch.testing.assert_close(network(pixels.float()), outputs)
        network.head = nn.Linear(network.num_features, 2)
        assert network(pixels).shape == (2, 2)


@pytest.mark.parametrize("name", FACES)
def test_gradients_reach_every_layer(name: str) -> None:
    network = small(name).eval()
    unsettle(network)
    torch.autograd.backward(F.cross_entropy(network(pixels_for(name, 4)), torch.tensor([0, 1, 2, 3])))
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.abs().sum() > 0, path


@pytest.mark.parametrize(("name", "options"), BY_HEART.items(), ids=BY_HEART)
def test_a_few_faces_are_learnt_by_heart(name: str, options: dict[str, Any]) -> None:
    network = small(name, dropout=0.0, **options).train()
    pixels, labels = pixels_for(name, 8), torch.arange(8) % 7
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(pixels), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        if loss < 0.05:
            return
    pytest.fail(f"{name}: loss {loss:.3f} after 150 steps on eight pictures, expected less than 0.05")


class Layers:
    """A network's tensors in order, each taken once by the layer that is written out."""

    def __init__(self, network: nn.Module) -> None:
        names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
        self._tensors: Iterator[torch.Tensor] = iter([network.state_dict()[name].double() for name in names])
        self.left = len(names)

    def take(self, count: int) -> list[torch.Tensor]:
        self.left -= count
        return [next(self._tensors) for _ in range(count)]

    def conv(self, x: torch.Tensor, padding: int, stride: int = 1) -> torch.Tensor:
        weight, bias = self.take(2)
        return F.conv2d(x, weight, bias, padding=padding, stride=stride)

    def bn(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias, mean, variance = self.take(4)
        shape = (-1, *[1] * (x.dim() - 2))
        scale = weight / (variance + 1e-5).sqrt()
        return x * scale.view(shape) + (bias - mean * scale).view(shape)

    def fc(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.take(2)
        return x.flatten(1) @ weight.T + bias


def poster_small(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for pool in (2, 2, 6):
        x = F.max_pool2d(take.conv(x, 1).relu(), pool)
    assert x.shape[1:] == (256, 2, 2)
    return take.fc(take.fc(x).relu())


def poster_large(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for _ in range(3):
        for _ in range(3):
            x = take.conv(x, 1).relu()
        x = F.max_pool2d(x, 2)
    return take.fc(take.fc(take.fc(x).relu()).relu())


def shallow(x: torch.Tensor, take: Layers) -> torch.Tensor:
    x = F.max_pool2d(take.bn(take.conv(x, 1)).relu(), 2)
    x = F.max_pool2d(take.bn(take.conv(x, 2)).relu(), 2)
    return take.fc(take.bn(take.fc(x)).relu())


def deep(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for padding in (1, 2, 1, 1):
        x = F.max_pool2d(take.bn(take.conv(x, padding)).relu(), 2)
    assert x.shape[1:] == (512, 3, 3)
    return take.fc(take.bn(take.fc(take.bn(take.fc(x)).relu())).relu())


def touchy_baseline(x: torch.Tensor, take: Layers) -> torch.Tensor:
    return take.fc(take.conv(x, 0, stride=2).relu())


def touchy_conv3(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for _ in range(3):
        x = take.conv(x, 1).relu()
    return take.fc(take.fc(take.fc(F.max_pool2d(x, 2)).relu()).relu())


def touchy_conv4(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for _ in range(4):
        x = F.max_pool2d(take.bn(take.conv(x, 1).relu()), 2)
    for _ in range(3):
        x = take.fc(x).relu()
    return take.fc(x)


def touchy_conv8(x: torch.Tensor, take: Layers) -> torch.Tensor:
    x = take.bn(F.max_pool2d(take.conv(take.conv(x, 1).relu(), 1), 2))
    for _ in range(2):
        x = F.max_pool2d(take.conv(take.conv(take.conv(x, 1).relu(), 1), 1), 2)
    return take.fc(x)


def touchy_final(x: torch.Tensor, take: Layers) -> torch.Tensor:
    sides, padding = [x.shape[-1]], 3
    for layer in range(7):
        x = take.bn(take.conv(x, padding)).relu()
        sides.append(x.shape[-1])
        padding = 4 - padding
        if layer and layer % 2 == 0:
            x = F.max_pool2d(x, 2)
            sides.append(x.shape[-1])
    assert sides == [48, 51, 50, 53, 26, 25, 28, 14, 13, 16, 8]
    for _ in range(2):
        x = take.bn(take.fc(x)).relu()
    return take.fc(x)


def affectnet_baseline(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for padding in (0, 1, 1):
        x = F.max_pool2d(take.bn(take.conv(x, padding)), 2).relu()
    return take.fc(take.bn(take.fc(x)).relu())


def affectnet_resnet(x: torch.Tensor, take: Layers) -> torch.Tensor:
    x = F.max_pool2d(take.bn(take.conv(x, 1)), 2).relu()
    x = (x + take.conv(take.conv(x, 1).relu(), 1)).relu()
    for _ in range(2):
        x = F.max_pool2d(take.bn(take.conv(x, 1)), 2).relu()
    return take.fc(take.bn(take.fc(x)).relu())


def affectnet_densenet(x: torch.Tensor, take: Layers) -> torch.Tensor:
    for depth in (3, 3, 2):
        x = take.bn(take.conv(x, 1)).relu()
        for _ in range(depth):
            x = torch.cat([x, take.conv(take.bn(x).relu(), 1)], dim=1)
        x = F.max_pool2d(x, 2)
    assert x.shape[1] == 288
    return take.fc(take.bn(take.fc(x)))


def affectnet_hybrid(x: torch.Tensor, take: Layers) -> torch.Tensor:
    x = take.bn(take.conv(x, 1)).relu()
    x = F.max_pool2d((x + take.bn(take.conv(x, 1))).relu(), 2)
    x = take.bn(take.conv(x, 1)).relu()
    branches = [take.conv(x, padding).relu() for padding in (0, 1, 2)]
    x = F.max_pool2d(torch.cat([*branches, F.max_pool2d(x, 3, stride=1, padding=1)], dim=1), 2)
    x = take.bn(take.conv(x, 1)).relu()
    for _ in range(3):
        x = torch.cat([x, take.conv(x.relu(), 1)], dim=1)
    x = F.max_pool2d(x, 2)
    assert x.shape[1] == 280
    return take.fc(take.bn(take.fc(x)))


WRITTEN_OUT: list[tuple[str, Callable[[torch.Tensor, Layers], torch.Tensor]]] = [
    ("poster-small", poster_small),
    ("poster-large", poster_large),
    ("shallow", shallow),
    ("deep", deep),
    ("touchy-baseline", touchy_baseline),
    ("touchy-conv3", touchy_conv3),
    ("touchy-conv4", touchy_conv4),
    ("touchy-conv8", touchy_conv8),
    ("touchy-final", touchy_final),
    ("touchy-tapered", touchy_final),
    ("affectnet-baseline-64", affectnet_baseline),
    ("affectnet-resnet-64", affectnet_resnet),
    ("affectnet-densenet-128", affectnet_densenet),
    ("affectnet-hybrid-128", affectnet_hybrid),
]


@pytest.mark.parametrize(("name", "written_out"), WRITTEN_OUT)
def test_a_network_is_its_layers(name: str, written_out: Callable[[torch.Tensor, Layers], torch.Tensor]) -> None:
    network = small(name).double().eval()
    unsettle(network)
    layers = Layers(network)
    pixels = pixels_for(name, 2)
    with torch.inference_mode():
        expected = written_out(pixels.double() / 255, layers)
        assert layers.left == 0
        torch.testing.assert_close(network(pixels), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_depth_widths_and_nonlinearity_are_arguments(nonlinearity: str) -> None:
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("khorrami-cnn", {"widths": (4, 8), "input_size": 48}),
        ("poster-small", {"widths": (4, 4, 8, 8)}),
        ("poster-large", {"widths": (4, 8), "group_depth": 2, "hidden_sizes": (16,)}),
        ("touchy-conv3", {"convolutions": "conv relu mp conv relu mp", "widths": (4, 8), "hidden_size": 16}),
        ("affectnet-resnet-64", {"widths": (4, 4, 8, 8), "residual_blocks": 2, "num_features": 16}),
        ("affectnet-densenet-128", {"widths": (4, 8), "depths": (1, 2), "growth": 4, "input_size": 32}),
        ("affectnet-hybrid-128", {"widths": (4, 8, 8), "branch": 2, "depth": 1, "growth": 4, "input_size": 32}),
        ("deep", {"widths": (4, 8, 8), "kernels": (3, 5, 3), "hidden_sizes": (16, 16)}),
        ("vgg-slim-48", {"widths": (4, 8), "stage_depth": 1, "hidden_sizes": (16,)}),
        ("resnet-slim-48", {"widths": (4, 8), "depths": (1, 2), "squeeze": 2, "drop_path": 0.5}),
    ]
    for name, options in wanted:
        network = registry.build(name, num_outputs=3, nonlinearity=nonlinearity, dropout=0.1, **options)
        size = options.get("input_size", registry.entry(name).input_size)
        channels = registry.entry(name).channels
        assert network(torch.zeros(2, channels, size, size)).shape == (2, 3), name


def test_a_standardised_picture_is_blind_to_brightness_and_contrast() -> None:
    network = small("vgg-slim-48").double().eval()
    picture = pixels_for("vgg-slim-48", 1).double()
    with torch.inference_mode():
        torch.testing.assert_close(network(picture), network(20 + 0.5 * picture))
        flat = network(torch.full_like(picture, 100))
    assert flat.isfinite().all()
