"""Building networks from settings, and loading them from model folders."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

import torch
from safetensors.torch import load, save
from torch import nn

from models import registry
from models.apart import RatersApart
from models.blocks import FaceNetwork
from models.recurrent import RecurrentNetwork
from schemas.cards import ModelCard
from schemas.errors import SettingsError
from schemas.tables import NUM_FEATURES
from schemas.training import CnnTraining, KhorramiCnnSettings, NamedNetwork, RnnTraining
from tasks.store.cards import read_weights
from tasks.store.layout import Store

ChipNetwork = FaceNetwork | RatersApart


@dataclass(frozen=True)
class InputShape:
    """What a network reads: `[batch, channels, size, size]`; of chips, 3 channels are RGB and 1 is gray."""

    size: int
    channels: int


def input_shape(settings: CnnTraining) -> InputShape:
    """The input of the network in the settings. Raises SettingsError for an unknown name, or neither gray nor RGB."""
    network = settings.network
    if isinstance(network, KhorramiCnnSettings):
        return InputShape(network.input_size, 3 if network.colour == "rgb" else 1)
    facts = registry.entry(network.name)
    wanted: dict[str, Any] = {"input_size": facts.input_size, "channels": facts.channels, **network.options}
    if wanted["channels"] not in (1, 3):
        raise SettingsError(f"network {network.name}: channels = {wanted['channels']!r}, expected 1 (gray) or 3 (RGB)")
    return InputShape(int(wanted["input_size"]), int(wanted["channels"]))


def build_cnn(settings: CnnTraining, num_raters: int) -> ChipNetwork:
    """The network that the settings describe, with weights drawn from torch's global state.

    Raises:
        SettingsError: no such network, or an option is unknown or out of range.
    """
    if settings.raters == "apart":
        return RatersApart([_build_one(settings, 1) for _ in range(num_raters)])
    return _build_one(settings, num_raters)


def _build_one(settings: CnnTraining, num_outputs: int) -> FaceNetwork:
    network = settings.network
    if isinstance(network, NamedNetwork):
        own = {} if settings.normalisation is None else {"normalisation": settings.normalisation}
        return registry.build(network.name, num_outputs=num_outputs, **own, **network.options)
    return registry.build(
        "khorrami-cnn",
        num_outputs=num_outputs,
        input_size=network.input_size,
        channels=3 if network.colour == "rgb" else 1,
        kernel_size=network.kernel_size,
        widths=network.widths,
        num_features=NUM_FEATURES,
        dropout=network.dropout,
        normalisation=settings.normalisation or "mean+lcn",
    )


def start_from(network: FaceNetwork, source: FaceNetwork, name: str) -> None:
    """Give `network` the weights of `source`, the mean picture of its training included; the head stays its own.

    Raises:
        SettingsError: the two differ in shape.
    """
    given = {key: value for key, value in source.state_dict().items() if not key.startswith("head.")}
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("head.")}
    wrong = sorted(key for key in given.keys() | own.keys() if key not in own or key not in given)
    wrong += [key for key in own if key in given and own[key].shape != given[key].shape]
    if wrong:
        raise SettingsError(
            f"start_from = {name!r}: {', '.join(wrong)} differ in shape; leave out the options under network that the "
            "expression model does not have"
        )
    network.load_state_dict(given, strict=False)


def build_rnn(settings: RnnTraining, num_outputs: int, *, num_features: int = NUM_FEATURES) -> RecurrentNetwork:
    """The RNN that the settings describe, with weights drawn from torch's global state.

    Raises:
        SettingsError: an option is out of range.
    """
    network = settings.network
    return registry.build_recurrent(
        network.kind,
        num_outputs=num_outputs,
        num_features=num_features,
        hidden_sizes=network.hidden_sizes,
        cell=network.cell,
        nonlinearity=network.nonlinearity,
        bidirectional=network.bidirectional,
        identity_start=network.identity_start,
        pool_features=network.pool_features,
        pool_outputs=network.pool_outputs,
    )


def load_cnn(store: Store, card: ModelCard) -> ChipNetwork:
    """A trained CNN, on the CPU, ready to evaluate. Raises StoreError if its weights are damaged."""
    return cast(ChipNetwork, _load(store, card, build_cnn(CnnTraining(**card.settings), len(card.raters))))


def load_rnn(store: Store, card: ModelCard) -> RecurrentNetwork:
    """A trained RNN, on the CPU, ready to evaluate. Raises StoreError if its weights are damaged."""
    network = build_rnn(RnnTraining(**card.settings), len(card.raters), num_features=card.num_features)
    return cast(RecurrentNetwork, _load(store, card, network))


def weights_bytes(network: nn.Module) -> bytes:
    """The weights as a safetensors file; the same weights give the same bytes."""
    weights = sorted(network.state_dict().items())
    return save({name: tensor.cpu().contiguous().clone() for name, tensor in weights})  # shared memory is refused


def weights_sha256(data: bytes) -> str:
    """Hash that names the weights."""
    return hashlib.sha256(data).hexdigest()


def _load(store: Store, card: ModelCard, network: nn.Module) -> nn.Module:
    network.load_state_dict(load(read_weights(store.model(card.model_id), card.weights_sha256)))
    return network.eval().requires_grad_(False)


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def seeded(seed: int) -> None:
    """Make the next network's first weights depend on `seed` alone."""
    torch.manual_seed(seed)
