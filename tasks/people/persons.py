"""Whose the tracks of a recording are: tracks made persons by what was seen of whose they are, and by when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.faces.identity import Embedding, linked

MOST_TRACKS = 300
"""Tracks that are compared with each other at once; then those of one person are made one, and the next are read."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrackSummary:
    """One track: frames `[first, last)`, its embeddings' mean `[128]` and number, if the main face is there too."""

    first: int
    last: int
    mean: Embedding
    num_embeddings: int
    is_beside_main: bool


@dataclass(frozen=True)
class _Groups:
    """Tracks by person, the main person first: means `[group, 128]`, embeddings in each, which never meet, whose."""

    means: FloatArray
    sizes: FloatArray
    apart: npt.NDArray[np.bool_]
    tracks: list[list[int]]


def persons_of(
    segments: Iterable[Sequence[TrackSummary]], reference: Embedding | None, *, threshold: float
) -> list[int]:
    """Whose each track is.

    Average linkage, in which the main person's reference takes part and two tracks that share a frame never meet; a
    track that is near nobody is a person of its own. Memory grows with the number of persons and with `MOST_TRACKS`.

    Args:
        segments: the other tracks of each segment, in order.
        reference: the main person's embedding; None where there is none, and then no track is that person's.
        threshold: largest mean distance between two groups of tracks that are made one.

    Returns: for each track, in the order given: 0 for the main person, and for the others numbers from 1 on, by how
        many frames show them, most first; where two are level, the earlier is first.
    """
    found = reference if reference is not None else np.zeros(128)
    groups = _Groups(np.array([found], dtype=np.float64), np.ones(1), np.zeros((1, 1), dtype=np.bool_), [[]])
    frames: list[tuple[int, int]] = []
    settled = 1
    for summaries in segments:
        groups = _with_tracks(groups, summaries, len(frames), has_reference=reference is not None)
        frames += [(one.first, one.last) for one in summaries]
        if len(groups.sizes) - settled >= MOST_TRACKS:
            groups = _joined(groups, threshold)
            settled = len(groups.sizes)
    groups = _joined(groups, threshold)
    others = sorted(
        groups.tracks[1:],
        key=lambda tracks: (sum(frames[one][0] - frames[one][1] for one in tracks), min(frames[one] for one in tracks)),
    )
    persons = [0] * len(frames)
    for number, tracks in enumerate(others, start=1):
        for one in tracks:
            persons[one] = number
    return persons


def _with_tracks(groups: _Groups, summaries: Sequence[TrackSummary], first: int, *, has_reference: bool) -> _Groups:
    """The groups and the tracks of the segment that follows, each a group of its own, numbered from `first`."""
    known, number = len(groups.sizes), len(summaries)
    apart = np.zeros((known + number, known + number), dtype=np.bool_)
    apart[:known, :known] = groups.apart
    apart[0, known:] = [one.is_beside_main or not has_reference for one in summaries]
    apart[known:, 0] = apart[0, known:]
    for row, one in enumerate(summaries, start=known):
        apart[row, known:] = [one.first < other.last and other.first < one.last for other in summaries]
    return _Groups(
        np.concatenate([groups.means, *([one.mean] for one in summaries)]),
        np.concatenate([groups.sizes, [one.num_embeddings for one in summaries]]),
        apart,
        [*groups.tracks, *([first + one] for one in range(number))],
    )


def _joined(groups: _Groups, threshold: float) -> _Groups:
    """The groups with those of one person made one, in the order of their first."""
    labels = np.array(linked(groups.means, groups.sizes, groups.apart, threshold=threshold))
    kept = np.unique(labels)
    belongs = labels == kept[:, None]  # [new group, group]
    sizes = belongs @ groups.sizes
    return _Groups(
        (belongs * groups.sizes) @ groups.means / sizes[:, None],
        sizes,
        (belongs.astype(np.int64) @ groups.apart @ belongs.T.astype(np.int64)).astype(np.bool_),
        [[track for one in np.flatnonzero(row) for track in groups.tracks[one]] for row in belongs],
    )
