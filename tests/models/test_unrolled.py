"""Windows that share steps beside each window whole, through torch's own layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.recurrent import RecurrentNetwork
from models.unrolled import Cell

WINDOW = 60


def make(cell: str, *, hidden: tuple[int, ...], bidirectional: bool, spread: float) -> RecurrentNetwork:
    torch.manual_seed(0)
    network = RecurrentNetwork(
        num_outputs=2, num_features=12, hidden_sizes=hidden, cell=cell, bidirectional=bidirectional, pool_features=3
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, spread)
    return network.requires_grad_(False)


def each_whole(network: RecurrentNetwork, features: torch.Tensor) -> torch.Tensor:
    frames = network.prepare(features)
    ahead = network.lookahead(WINDOW)
    first = torch.arange(len(features))[:, None] + ahead - WINDOW + 1
    steps = (first + torch.arange(WINDOW)).clamp(0, len(features) - 1)
    values: torch.Tensor = network(frames[steps])[:, WINDOW - 1 - ahead]
    return values


@pytest.mark.parametrize("hidden", [(9,), (9, 7)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("spread", [0.1, 0.4])
def test_windows_that_forget_give_what_each_gives_alone(
    cell: str, bidirectional: bool, hidden: tuple[int, ...], spread: float
) -> None:
    network = make(cell, hidden=hidden, bidirectional=bidirectional, spread=spread)
    features = torch.randn(130, 12)
    found = network.predict_sequence(features, window=WINDOW)
    torch.testing.assert_close(found, each_whole(network, features), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_number_of_threads_changes_no_bit(cell: str) -> None:
    network = make(cell, hidden=(9, 7), bidirectional=False, spread=0.2)
    features, before, found = torch.randn(2500, 12), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(network.predict_sequence(features, window=WINDOW))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], each_whole(network, features), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_steps_that_all_windows_share_are_taken_once(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make(cell, hidden=(9,), bidirectional=False, spread=0.1)
    count: list[int] = []
    step = Cell.step

    def counted(
        self: Cell, x: torch.Tensor, state: torch.Tensor, memory: torch.Tensor, *, out: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count.append(len(x))
        return step(self, x, state, memory, out=out)

    monkeypatch.setattr(Cell, "step", counted)
    network.predict_sequence(torch.randn(130, 12), window=WINDOW)
    whole = sum(rows for rows in count if rows > 1)
    assert whole < 0.75 * 130 * WINDOW


def test_a_network_that_forgets_nothing_takes_every_step() -> None:
    """A running sum: the state is that of the window alone, and nothing of it ever fades."""
    network = make("rnn", hidden=(12,), bidirectional=False, spread=0.1)
    layer = network.layers[0]
    assert isinstance(layer, nn.RNN)
    for name, parameter in layer.named_parameters():
        nn.init.eye_(parameter) if name.startswith("weight") else nn.init.zeros_(parameter)
    features = torch.rand(130, 12)
    found = network.predict_sequence(features, window=WINDOW)
    torch.testing.assert_close(found, each_whole(network, features), rtol=1e-5, atol=1e-5)
    sums = network.prepare(features).cumsum(dim=0)
    sums = sums[WINDOW:] - sums[:-WINDOW]
    expected = sums @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(found[WINDOW:], expected, rtol=1e-4, atol=1e-4)
