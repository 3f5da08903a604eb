"""Names, facts without torch, and what a wrong name is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from models import registry
from schemas.errors import SettingsError

REPOSITORY = Path(__file__).parents[2]


def test_names_are_unique_and_readable() -> None:
    names = [facts.name for facts in registry.entries()]
    assert len(set(names)) == len(names)
    assert registry.names() == tuple(names)
    assert {"K", "P", "T", "A", "V"} <= {facts.paper for facts in registry.entries()}
    assert max(map(len, names)) <= 24


def test_published_figures_of_the_issue_are_there() -> None:
    accuracies = {
        facts.name: [one.value for one in facts.published if one.metric == "accuracy"] for facts in registry.entries()
    }
    assert accuracies["shallow"] == [56.31]
    assert accuracies["deep"] == [65.55]
    assert accuracies["poster-small"] == [69.69]
    assert accuracies["poster-large"] == [68.45]
    assert accuracies["touchy-final"][0] == 61.05
    assert accuracies["affectnet-hybrid-128"] == [63.4]
    for facts in registry.entries():
        for one in facts.published:
            assert one.metric in ("rmse", "cc", "ccc") or one.metric.startswith("accuracy"), facts.name
            assert (1 < one.value <= 100) == one.metric.startswith("accuracy"), facts.name
            assert one.split, facts.name
            assert one.where, facts.name


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"network = 'alexnet': expected one of khorrami-cnn, .*resnet-slim-96"):
        registry.build("alexnet", num_outputs=7)
    with pytest.raises(SettingsError, match=r"'khorrami-rnn' reads features.* faces: khorrami-cnn, "):
        registry.build("khorrami-rnn", num_outputs=7)
    with pytest.raises(SettingsError, match=r"'deep' reads faces.* features: khorrami-rnn, "):
        registry.build_recurrent("deep", num_outputs=7)


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(SettingsError, match=r"network deep: no option width; expected channels, dropout, .*widths"):
        registry.build("deep", num_outputs=7, width=3)
    with pytest.raises(SettingsError, match="network deep: nonlinearity = 'sine': expected one of relu, "):
        registry.build("deep", num_outputs=7, nonlinearity="sine")
    with pytest.raises(SettingsError, match="network deep: normalisation = 'max': expected one of unit, "):
        registry.build("deep", num_outputs=7, normalisation="max")
    with pytest.raises(SettingsError, match="network khorrami-cnn: normalisation = 'unit': expected one of mean, "):
        registry.build("khorrami-cnn", num_outputs=7, normalisation="unit")
    with pytest.raises(SettingsError, match="network poster-small: expected an input size that 8 divides, got 50"):
        registry.build("poster-small", num_outputs=7, input_size=50)
    with pytest.raises(SettingsError, match="network touchy-final: expected one width for each conv"):
        registry.build("touchy-final", num_outputs=7, widths=(8,))
    with pytest.raises(SettingsError, match="network touchy-final: layer 'pool': expected conv, mp, fc, bn"):
        registry.build("touchy-final", num_outputs=7, hidden="fc pool")


def test_facts_are_read_without_torch() -> None:
    code = (
        "import sys; from models import registry; registry.entries(); import flows.list_networks; "
        "assert not {'torch', 'numpy', 'polars', 'prefect'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
