"""Networks that name expressions, from settings and from model folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from models import registry
from models.blocks import FaceNetwork
from schemas.cards import ExpressionCard
from schemas.training import NamedNetwork
from tasks.expression.plan import FinishedModel, read_expression_card
from tasks.store.cards import read_weights
from tasks.training.networks import InputShape, start_from


def input_shape(network: NamedNetwork) -> InputShape:
    """The input of a network: the registry's, or what the options say. Raises SettingsError for an unknown name."""
    facts = registry.entry(network.name)
    wanted: dict[str, Any] = {"input_size": facts.input_size, "channels": facts.channels, **network.options}
    return InputShape(int(wanted["input_size"]), int(wanted["channels"]))


def build_network(network: NamedNetwork, num_classes: int) -> FaceNetwork:
    """The network with one output per class, with weights drawn from torch's global state."""
    return registry.build(network.name, num_outputs=num_classes, **network.options)


def load_expression(folder: Path) -> tuple[FaceNetwork, ExpressionCard]:
    """A trained network, on the CPU, ready to evaluate, and its card. Raises StoreError if something is damaged.

    Args:
        folder: holds `model.safetensors` and `card.json`.
    """
    card = read_expression_card(folder)
    return with_weights(card, read_weights(folder, card.weights_sha256)), card


def take_over(network: FaceNetwork, classes: Sequence[str], start: FinishedModel) -> None:
    """Give a network a start's weights, the mean picture of that training included.

    Of the head it takes the rows of classes that the start names too; those of other classes stay as they are.

    Args:
        network: newly built.
        classes: its outputs, in their order.
        start: the model to start from.

    Raises:
        SettingsError: the two differ in shape.
        StoreError: the start's weights are damaged.
    """
    source, card = load_expression(start.folder)
    start_from(network, source, card.model_id)
    own = [position for position, name in enumerate(classes) if name in card.classes]
    theirs = [card.classes.index(classes[position]) for position in own]
    with torch.no_grad():
        network.head.weight[own] = source.head.weight[theirs]
        network.head.bias[own] = source.head.bias[theirs]


def with_weights(card: ExpressionCard, data: bytes) -> FaceNetwork:
    """The network of a card with the weights of a safetensors file, in float32, ready to evaluate."""
    network = build_network(NamedNetwork(name=card.network, options=card.network_options), len(card.classes))
    network.load_state_dict(load(data))
    return network.eval().requires_grad_(False)
