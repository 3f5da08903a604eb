"""Every network by name: its facts without torch, its construction with it.

    network = build("deep", num_outputs=7, dropout=0.4)

The facts themselves stand in `models.catalogue`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from schemas.errors import SettingsError

if TYPE_CHECKING:
    from models.blocks import FaceNetwork
    from models.recurrent import RecurrentNetwork


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published figure. `value` is in the metric's own unit: per cent for accuracy, a fraction for CC and CCC."""

    data: str
    split: str
    """The split as the source names it: never compared with a figure of another one."""
    metric: str
    value: float
    where: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class NetworkEntry:
    """What is known of a network without building it."""

    name: str
    paper: str
    """Short name of the source."""
    constructor: str
    """`module:class`."""
    reads: Literal["faces", "features"] = "faces"
    """Pixels of a face, or the features of the frames of a window."""
    input_size: int
    """Side of the square input, pixels; values of a frame where features are read."""
    channels: int
    """1 gray, 3 RGB; 0 where features are read."""
    num_features: int
    num_outputs: int
    """Outputs in the paper: classes, or 1 for a value."""
    task: Literal["classes", "values"]
    num_parameters: int
    """Trained values with the paper's outputs."""
    count_source: Literal["paper", "here"]
    """Whether the source gives that count, or it follows from the choices made here."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the constructor is called with, beside input size, channels and outputs."""
    published: tuple[Published, ...] = ()


def names() -> tuple[str, ...]:
    """Names of all networks, in the order of the papers."""
    return tuple(_by_name())


def entries() -> tuple[NetworkEntry, ...]:
    """All networks, in the order of the papers."""
    from models.catalogue import ENTRIES

    return ENTRIES


def entry(name: str) -> NetworkEntry:
    """The facts of one network.

    Raises:
        SettingsError: no such name.
    """
    found = _by_name()
    if name not in found:
        raise SettingsError(f"network = {name!r}: expected one of {', '.join(found)}")
    return found[name]


def build(name: str, *, num_outputs: int, **options: Any) -> FaceNetwork:
    """A network that reads faces, with weights drawn from torch's global state.

    Args:
        name: in the registry.
        num_outputs: classes, or raters.
        options: arguments of the constructor, in place of the entry's; `input_size` and `channels` too.

    Raises:
        SettingsError: no such name, or an option is unknown or out of range.
    """
    facts = entry(name)
    if facts.reads != "faces":
        known = ", ".join(one.name for one in entries() if one.reads == "faces")
        raise SettingsError(f"network = {name!r} reads features: expected one that reads faces: {known}")
    given = {"input_size": facts.input_size, "channels": facts.channels}
    network: FaceNetwork = _made(facts, num_outputs, {**given, **facts.options, **options})
    return network


def build_recurrent(name: str, *, num_outputs: int, **options: Any) -> RecurrentNetwork:
    """A network that reads windows of features; otherwise as `build`.

    Raises:
        SettingsError: no such name, it reads faces, or an option is unknown or out of range.
    """
    facts = entry(name)
    if facts.reads != "features":
        known = ", ".join(one.name for one in entries() if one.reads == "features")
        raise SettingsError(f"network = {name!r} reads faces: expected one that reads features: {known}")
    network: RecurrentNetwork = _made(
        facts, num_outputs, {"num_features": facts.input_size, **facts.options, **options}
    )
    return network


def _made(facts: NetworkEntry, num_outputs: int, options: dict[str, Any]) -> Any:
    module, _, constructor = facts.constructor.partition(":")
    make = getattr(importlib.import_module(module), constructor)
    known = make.__init__.__kwdefaults__.keys() | facts.options.keys()
    if unknown := sorted(options.keys() - known):
        raise SettingsError(
            f"network {facts.name}: no option {', '.join(unknown)}; expected {', '.join(sorted(known))}"
        )
    try:
        return make(num_outputs=num_outputs, **options)
    except ValueError as error:
        raise SettingsError(f"network {facts.name}: {error}") from error


def _by_name() -> dict[str, NetworkEntry]:
    return {facts.name: facts for facts in entries()}
