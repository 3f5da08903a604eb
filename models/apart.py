"""A network for each rater, side by side, in the form of one network for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from models.blocks import FaceNetwork


class RatersApart(nn.Module):
    """Networks of one output each: their features laid end to end, and each one's head on its own part of these.

    So whatever reads features and predicts from them needs not know that the raters are kept apart.

    Args:
        networks: one for each rater, of one output each.
    """

    def __init__(self, networks: Sequence[FaceNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.widths = [network.num_features for network in networks]
        self.num_features = sum(self.widths)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, feature]`: those of the first rater, the next."""
        return torch.cat([network.features(pixels) for network in self.each()], dim=1)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """`[..., feature]` to `[..., rater]`."""
        parts = torch.split(features, self.widths, dim=-1)
        return torch.cat([network.head(part) for network, part in zip(self.each(), parts, strict=True)], dim=-1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, height, width]`, 0 to 255, to `[batch, rater]`."""
        return self.head(self.features(pixels))

    def each(self) -> list[FaceNetwork]:
        """The networks, in the order of the raters."""
        return [cast(FaceNetwork, network) for network in self.networks]
