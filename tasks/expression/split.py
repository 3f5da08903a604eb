"""Training parted into *fit*, which weights are fitted on, and *choice*, which every choice is made on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def split_training(labels: IntArray, groups: IntArray, *, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which faces of Training are for choosing: `share` of each class, by seed, copies of a picture together.

    A group of copies whose labels differ counts to the class of its first face.

    Args:
        labels: `[face]`, classes of the faces of Training.
        groups: `[face]`, the same number for copies of one picture.
        share: of each class, in (0, 1).
        seed: of the draw.

    Returns: `[face]`, True for *choice*. Of each class that share is met to within one group.
    """
    chance = np.random.default_rng(seed)
    _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(group_of)
    group_labels = labels[first]
    chosen = np.zeros(len(sizes), dtype=bool)
    for label in np.unique(group_labels):
        order = chance.permutation(np.flatnonzero(group_labels == label))
        taken = np.cumsum(sizes[order])
        wanted = share * taken[-1]
        chosen[order[taken <= wanted + 0.5]] = True
    return chosen[group_of]
