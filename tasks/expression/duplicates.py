"""Pictures that stand in a set more than once, found by the hash of their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.expression.faces import SCORED_SPLITS, LabelledFaces


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Which faces are copies.

    `groups` is `[face]`: faces with the same pixels share a number. `is_shared` is `[face]`: the same pixels stand in
    Training and in a split that is scored. `extra_copies` counts faces beyond the first of their group,
    `groups_of_copies` the groups that have any, `shared` the faces of each scored split that stand in Training too,
    `conflicting` the groups whose labels differ.
    """

    groups: npt.NDArray[np.int64]
    is_shared: npt.NDArray[np.bool_]
    extra_copies: int
    groups_of_copies: int
    shared: dict[str, int]
    conflicting: int

    def __str__(self) -> str:
        told = f"{self.extra_copies} extra copies in {self.groups_of_copies} groups, {self.conflicting} with two labels"
        return "; ".join([told, *(f"{count} of {split} stand in training too" for split, count in self.shared.items())])


def find_duplicates(faces: LabelledFaces) -> Duplicates:
    """All copies in a set of faces."""
    _, groups, counts = np.unique(faces.hashes, return_inverse=True, return_counts=True)
    num_groups = len(counts)
    in_training = np.zeros(num_groups, dtype=bool)
    in_training[groups[faces.splits == "training"]] = True
    in_scored = np.zeros(num_groups, dtype=bool)
    in_scored[groups[np.isin(faces.splits, SCORED_SPLITS)]] = True
    is_shared = (in_training & in_scored)[groups]
    lowest, highest = np.full(num_groups, len(faces.classes)), np.full(num_groups, -1)
    np.minimum.at(lowest, groups, faces.labels)
    np.maximum.at(highest, groups, faces.labels)
    present = [split for split in SCORED_SPLITS if (faces.splits == split).any()]
    return Duplicates(
        groups=groups,
        is_shared=is_shared,
        extra_copies=int((counts - 1).sum()),
        groups_of_copies=int((counts > 1).sum()),
        shared={split: int(is_shared[faces.splits == split].sum()) for split in present},
        conflicting=int((lowest != highest).sum()),
    )
