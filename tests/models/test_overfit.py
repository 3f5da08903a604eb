"""Every network of A learns a handful of faces by heart: gradients reach all of it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from models import registry

NAMES = [entry.name for entry in registry.entries() if entry.paper == "A"]


@pytest.mark.parametrize("name", NAMES)
def test_eleven_faces_are_learned_by_heart(name: str) -> None:
    torch.manual_seed(0)
    network = registry.build(name, num_outputs=11, input_size=32, dropout=0.0)
    faces, classes = 255 * torch.rand(11, 3, 32, 32), torch.arange(11)
    before = {key: value.clone() for key, value in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss = torch.tensor(torch.inf)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(faces), classes)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if loss < 0.05:
            break
    assert loss < 0.05
    assert network(faces).argmax(dim=1).tolist() == classes.tolist()
    still = [key for key, value in network.named_parameters() if torch.equal(value, before[key])]
    assert not still
