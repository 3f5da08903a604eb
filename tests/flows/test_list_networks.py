"""`affectflow models`: readable at 80 and 120 columns, and complete for machines."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows import list_networks as listing
from models import registry
from schemas.results import MeasuredResult, shipped_results
from tasks.results import measured as measured_module


def measured(recipe: str, split: str, value: float, *, selected: bool, data: str = "FER2013") -> MeasuredResult:
    return MeasuredResult(
        network="deep",
        recipe=recipe,
        data=data,
        split=split,
        metric="accuracy",
        value=value,
        runs=3,
        selected=selected,
    )


def test_shipped_results_are_of_known_networks() -> None:
    assert {one.network for one in shipped_results()} <= set(registry.names())


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_names_every_network(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    results = (
        measured("a", "choice", 60.0, selected=True),
        measured("a", "PublicTest", 66.0, selected=False),
        measured("b", "choice", 61.0, selected=True),
        measured("b", "PublicTest", 65.0, selected=False),
        measured("c", "choice", 50.0, selected=True, data="other"),
        measured("unfinished", "choice", 70.0, selected=True),
    )
    monkeypatch.setattr(listing, "shipped_results", lambda: results)
    out = StringIO()
    found = listing.list_networks(None, Console(file=out, width=width))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for name in registry.names():
        assert any(line.split()[:1] == [name] for line in text.splitlines()), name
    assert "65.55 %" in text
    assert "4,474,759" in text
    assert "65.00 %" in text  # the better recipe where recipes are chosen, not on the split that is reported
    assert "66.00 %" not in text
    assert "70.00 %" not in text  # nobody has seen what that recipe does elsewhere
    assert "50.00 %" in text
    networks = {one["name"]: one for one in json.loads(json.dumps(found))["networks"]}
    assert list(networks) == list(registry.names())
    assert [one["value"] for one in networks["deep"]["measured"]] == [60.0, 66.0, 61.0, 65.0, 50.0, 70.0]
    assert networks["deep"]["published"][0]["value"] == 65.55


def test_a_store_s_own_models_are_told_beside_what_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    ships = (measured("a", "PublicTest", 66.0, selected=False), measured("b", "PublicTest", 65.0, selected=False))
    own = (measured("b", "choice", 41.0, selected=True), measured("b", "PublicTest", 40.0, selected=False))
    monkeypatch.setattr(listing, "shipped_results", lambda: ships)
    monkeypatch.setattr(measured_module, "measured_in", lambda root: own)
    out = StringIO()
    found = listing.list_networks(Path("store"), Console(file=out, width=200))
    text = out.getvalue()
    assert "66.00 % FER2013, PublicTest" in text
    assert "in the store: 40.00 % FER2013, PublicTest" in text
    assert text.count("in the store") == 1
    (deep,) = [one for one in found["networks"] if one["name"] == "deep"]
    assert [one["value"] for one in deep["measured"]] == [41.0, 40.0, 66.0], "what ships of the same recipe gives way"
