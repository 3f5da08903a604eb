"""`affectflow models`: every network of the registry, what was published of it, and what was measured here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from models.registry import NetworkEntry, Published, entries
from schemas.results import MeasuredResult, shipped_results

_CAPTION = (
    "K Khorrami et al. 2016; P poster on per-rater valence; T Touchy Feely; A AffectNet poster; V shallow and deep; "
    "VGG Khaireddin, Chen 2021; f features of a frame. Figures of different data or splits do not compare; "
    "AffectNet is not available here. All of them: --json."
)


def list_networks(store: Path | None, console: Console) -> dict[str, Any]:
    """Print the table. `store` adds what its models came to, in a line of its own, in place of what ships of the same
    recipes.

    Returns: the same for machines, with every figure.

    Raises:
        SettingsError, StoreError: the shipped results, the store or a card cannot be read.
    """
    own, shipped = _measured(store)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=_CAPTION, caption_justify="left")
    table.add_column("network", no_wrap=True)
    table.add_column("input", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("paper", no_wrap=True)
    table.add_column("published")
    table.add_column("measured")
    networks = []
    for facts in entries():
        ours, theirs = ([one for one in found if one.network == facts.name] for found in (own, shipped))
        table.add_row(
            facts.name,
            _input(facts),
            f"{facts.num_parameters:,}",
            facts.paper,
            _published(facts.published),
            "\n".join([*_best(theirs), *(f"in the store: {line}" for line in _best(ours))]) or "-",
        )
        networks.append({**dataclasses.asdict(facts), "measured": [one.model_dump() for one in (*ours, *theirs)]})
    console.print(table)
    return {"networks": networks}


def _measured(store: Path | None) -> tuple[Sequence[MeasuredResult], Sequence[MeasuredResult]]:
    """Of the store's models, and what ships of other recipes."""
    shipped = shipped_results()
    if store is None:
        return (), shipped
    from tasks.results.measured import measured_in

    own = measured_in(store)
    recipes = {(one.network, one.recipe) for one in own}
    return own, [one for one in shipped if (one.network, one.recipe) not in recipes]


def _input(facts: NetworkEntry) -> str:
    return f"{facts.channels}x{facts.input_size}" if facts.reads == "faces" else f"{facts.input_size} f"


def _published(published: Sequence[Published]) -> str:
    """The headline: overall accuracy, or the first CCC."""
    for one in published:
        if one.metric == "accuracy":
            return f"{one.value:.2f} % {one.data} {one.split}"
    for one in published:
        if one.metric == "ccc":
            return f"CCC {one.value:.3f} {one.data} {one.split}"
    return "-"


def _best(measured: Sequence[MeasuredResult]) -> list[str]:
    """For each data set the recipe that was best where recipes are chosen, at its figure on another split.

    Recipes without such a figure are not finished: they stand only where there is no other.
    """
    lines = []
    for data in dict.fromkeys(one.data for one in measured):
        same = [one for one in measured if one.data == data and one.subset == "all"]
        finished = {one.recipe for one in same if not one.selected}
        chosen = max(same, key=lambda one: (one.recipe in finished, one.selected, one.value))
        lines.append(_figure(next((one for one in same if one.recipe == chosen.recipe and not one.selected), chosen)))
    return lines


def _figure(shown: MeasuredResult) -> str:
    """A value with its data and split; a figure that chose the epoch says so."""
    value = f"{shown.value:.2f} %" if shown.metric == "accuracy" else f"CCC {shown.value:.3f}"
    runs = f", {shown.runs} runs" if shown.runs > 1 else ""
    changed = f", {shown.options}" if shown.options else ""
    return f"{value} {shown.data}, {shown.split}{' (selected on it)' if shown.selected else ''}{runs}{changed}"
