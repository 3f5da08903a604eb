"""Building networks from settings, and loading them from model folders."""

from __future__ import annotations

import hashlib
from typing import cast

import torch
from safetensors.torch import load_file, save
from torch import nn

from models.khorrami import KhorramiCNN
from models.recurrent import RecurrentNetwork
from schemas.cards import ModelCard
from schemas.errors import StoreError
from schemas.settings import CnnTraining, RnnTraining
from schemas.tables import NUM_FEATURES
from tasks.store.cards import WEIGHTS_FILE
from tasks.store.layout import Store


def build_cnn(settings: CnnTraining, num_outputs: int) -> KhorramiCNN:
    """The CNN that the settings describe, with weights drawn from torch's global state."""
    network = settings.network
    return KhorramiCNN(
        num_outputs=num_outputs,
        input_size=network.input_size,
        channels=3 if network.colour == "rgb" else 1,
        kernel_size=network.kernel_size,
        widths=network.widths,
        num_features=NUM_FEATURES,
        dropout=network.dropout,
        normalisation=settings.normalisation,
    )


def build_rnn(settings: RnnTraining, num_outputs: int) -> RecurrentNetwork:
    """The RNN that the settings describe, with weights drawn from torch's global state."""
    network = settings.network
    return RecurrentNetwork(
        num_outputs=num_outputs,
        num_features=NUM_FEATURES,
        hidden_sizes=network.hidden_sizes,
        cell=network.cell,
        nonlinearity=network.nonlinearity,
        bidirectional=network.bidirectional,
        identity_start=network.identity_start,
        pool_features=network.pool_features,
        pool_outputs=network.pool_outputs,
    )


def load_cnn(store: Store, card: ModelCard) -> KhorramiCNN:
    """A trained CNN, on the CPU, ready to evaluate. Raises StoreError if its weights are damaged."""
    return cast(KhorramiCNN, _load(store, card, build_cnn(CnnTraining(**card.settings), len(card.raters))))


def load_rnn(store: Store, card: ModelCard) -> RecurrentNetwork:
    """A trained RNN, on the CPU, ready to evaluate. Raises StoreError if its weights are damaged."""
    return cast(RecurrentNetwork, _load(store, card, build_rnn(RnnTraining(**card.settings), len(card.raters))))


def weights_bytes(network: nn.Module) -> bytes:
    """The weights as a safetensors file; the same weights give the same bytes."""
    return save({name: tensor.cpu().contiguous() for name, tensor in sorted(network.state_dict().items())})


def weights_sha256(data: bytes) -> str:
    """Hash that names the weights."""
    return hashlib.sha256(data).hexdigest()


def _load(store: Store, card: ModelCard, network: nn.Module) -> nn.Module:
    path = store.model(card.model_id) / WEIGHTS_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error}); train the model again") from error
    found = weights_sha256(data)
    if found != card.weights_sha256:
        raise StoreError(f"{path}: sha256 {found[:8]}, expected {card.weights_sha256[:8]}; train the model again")
    network.load_state_dict(load_file(path))
    return network.eval().requires_grad_(False)


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def seeded(seed: int) -> None:
    """Make the next network's first weights depend on `seed` alone."""
    torch.manual_seed(seed)
