"""The average of the weights against sums written out, in float64."""

from __future__ import annotations

import torch
from torch import nn

from tasks.expression.fit import update_average

DECAY = 0.8


def network_at(step: int) -> nn.Module:
    """A layer and a batch normalisation whose every number is the step's."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            tensor.fill_(step)
    return network


def test_the_average_is_the_weighted_sum_of_all_steps() -> None:
    average = network_at(100)
    expected = 100.0
    for step in range(60):
        update_average(average, network_at(step), decay=DECAY, step=step)
        kept = min(DECAY, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * step
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torch.full_like(tensor, expected), rtol=1e-5, atol=1e-5)
        else:  # a count is no mean: it is the last one
            assert name.endswith("num_batches_tracked")
            assert tensor == 59


def test_the_start_is_forgotten_within_a_few_steps() -> None:
    average = network_at(1_000_000)
    for step in range(30):
        update_average(average, network_at(0), decay=0.998, step=step)
    assert all(tensor.abs().max() < 1 for tensor in average.parameters())
