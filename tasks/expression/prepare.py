"""From a set of faces and the settings to what a training fits, chooses on and is scored on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.cards import DatasetCard
from schemas.errors import DatasetError, SettingsError
from schemas.expressions import FERPLUS_COLUMNS, FOUR_CLASSES, SEVEN_CLASSES, ExpressionTraining
from tasks.expression.duplicates import Duplicates, find_duplicates
from tasks.expression.faces import SCORED_SPLITS, LabelledFaces
from tasks.expression.split import split_training

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A set of faces as a network is judged by it.

    `classes` are the network's outputs in order; `labels` is `[face]`, positions in them, -1 for faces of no class
    that is asked for; `scored` holds positions of faces, by split; training is none of these.
    """

    faces: LabelledFaces
    duplicates: Duplicates
    classes: tuple[str, ...]
    labels: IntArray
    scored: dict[str, IntArray]

    def card(self) -> DatasetCard:
        """What a card says of the data."""
        faces = self.faces
        present = [str(split) for split in dict.fromkeys(faces.splits.tolist())]
        return DatasetCard(
            name=faces.name,
            terms=faces.terms,
            sha256=faces.sha256,
            pictures={split: int((faces.splits == split).sum()) for split in present},
            extra_copies=self.duplicates.extra_copies,
            groups_of_copies=self.duplicates.groups_of_copies,
            shared_with_training=self.duplicates.shared,
            dropped_from_training=0,
            fit={},
            choice={},
        )


@dataclass(frozen=True, kw_only=True)
class Prepared(Judged):
    """A set of faces as one training sees it.

    `targets` is `[face, class]` float32, rows sum to 1 (to 0 where the label is -1); `fit` and `choice` hold positions
    of faces; `dropped` faces of Training stand in a split that is scored.
    """

    targets: npt.NDArray[np.float32]
    fit: IntArray
    choice: IntArray
    dropped: int

    @property
    def class_weights(self) -> npt.NDArray[np.float32]:
        """`[class]`: what makes every class of *fit* weigh the same; their mean over faces is 1."""
        counts = np.bincount(self.labels[self.fit], minlength=len(self.classes))
        return (len(self.fit) / (len(self.classes) * counts)).astype(np.float32)

    def card(self) -> DatasetCard:
        """What a model's card says of the data."""
        return (
            super()
            .card()
            .model_copy(
                update={
                    "dropped_from_training": self.dropped,
                    "fit": self._counts(self.fit),
                    "choice": self._counts(self.choice) if self.choice.size else {},
                }
            )
        )

    def _counts(self, positions: IntArray) -> dict[str, int]:
        counts = np.bincount(self.labels[positions], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))


def prepare(faces: LabelledFaces, settings: ExpressionTraining) -> Prepared:
    """Labels, targets and splits of a training.

    Raises:
        SettingsError: a class is unknown, or votes are asked for and the data has none.
        DatasetError: a class has no face to fit on, or there is none to choose on.
    """
    classes = chosen_classes(faces.classes, settings)
    if faces.votes is None and (settings.truth == "votes" or settings.soft_labels):
        raise SettingsError(
            f"truth = {settings.truth!r}, soft_labels = {settings.soft_labels}: {faces.name} was read without votes; "
            "name FER+'s fer2013new.csv with --votes"
        )
    voted = None if faces.votes is None else votes_by_class(faces.votes, classes, settings.merge)
    judged = judge(faces, classes, merge=settings.merge, by_votes=settings.truth == "votes")
    labels, duplicates = judged.labels, judged.duplicates
    of_training = (faces.splits == "training") & (labels >= 0)
    kept = of_training & ~duplicates.is_shared if settings.drop_shared else of_training
    training = np.flatnonzero(kept)
    is_choice = split_training(
        labels[training], duplicates.groups[training], share=settings.choice_share, seed=settings.split_seed
    )
    fit, choice = training[~is_choice], training[is_choice]
    counts = np.bincount(labels[fit], minlength=len(classes))
    if not counts.all() or (settings.choice_share and not choice.size):
        missing = ", ".join(name for name, count in zip(classes, counts, strict=True) if not count)
        raise DatasetError(
            f"{faces.name}: expected faces of every class to fit on and some to choose on, found {len(fit)} and "
            f"{len(choice)}, none of {missing or 'the latter'}; take more data, or leave classes out"
        )
    return Prepared(
        faces=faces,
        duplicates=duplicates,
        classes=classes,
        labels=labels,
        targets=_targets(labels, len(classes), voted, settings.soft_labels),
        fit=fit,
        choice=choice,
        scored=judged.scored,
        dropped=int(of_training.sum() - kept.sum()),
    )


def judge(faces: LabelledFaces, classes: tuple[str, ...], *, merge: dict[str, str], by_votes: bool) -> Judged:
    """Labels and splits by which a network with these classes is judged.

    Args:
        faces: with votes, if these are asked for.
        classes: of the network, in the order of its outputs.
        merge: classes that become another one.
        by_votes: FER+'s majority is what counts as right; else the label.
    """
    labels = _majority(faces.votes, classes, merge) if by_votes else _labels(faces, classes, merge)
    scored = {split: np.flatnonzero((faces.splits == split) & (labels >= 0)) for split in SCORED_SPLITS}
    return Judged(
        faces=faces,
        duplicates=find_duplicates(faces),
        classes=classes,
        labels=labels,
        scored={split: positions for split, positions in scored.items() if positions.size},
    )


def chosen_classes(available: tuple[str, ...], settings: ExpressionTraining) -> tuple[str, ...]:
    """The classes of a training, in the order of its outputs.

    Raises:
        SettingsError: a name is not one of the data set's, or the same class twice.
    """
    unknown = [name for name in (*settings.merge, *settings.merge.values()) if name not in available]
    if unknown:
        raise SettingsError(f"merge: expected classes of {', '.join(available)}, found {', '.join(unknown)}")
    chained = [name for name in settings.merge.values() if name in settings.merge]
    if chained:
        raise SettingsError(f"merge: {', '.join(chained)} is merged away itself; name the class that stays")
    left = tuple(name for name in available if name not in settings.merge)
    if settings.classes == "all":
        return left
    subsets = {"seven": SEVEN_CLASSES, "four": FOUR_CLASSES}
    wanted = subsets[settings.classes] if isinstance(settings.classes, str) else settings.classes
    wanted = tuple(name for name in wanted if not (isinstance(settings.classes, str) and name in settings.merge))
    if len(set(wanted)) != len(wanted) or len(wanted) < 2 or not set(wanted) <= set(left):
        raise SettingsError(f"classes: expected two or more of {', '.join(left)}, each once, found {', '.join(wanted)}")
    return wanted


def votes_by_class(
    votes: npt.NDArray[np.float32], classes: tuple[str, ...], merge: dict[str, str]
) -> npt.NDArray[np.float32]:
    """Share of the votes that each class got among `classes`, `[face, class]`; zeros where none of them got any.

    Args:
        votes: `[face, 10]` in the order of FER+, NaN where nobody voted.
    """
    counts = np.zeros((len(votes), len(classes)), dtype=np.float32)
    for column, name in enumerate(FERPLUS_COLUMNS.values()):
        name = merge.get(name, name)
        if name in classes:
            counts[:, classes.index(name)] += np.nan_to_num(votes[:, column])
    totals = counts.sum(axis=1, keepdims=True)
    shares: npt.NDArray[np.float32] = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    return shares


def _labels(faces: LabelledFaces, classes: tuple[str, ...], merge: dict[str, str]) -> IntArray:
    """`[face]`: position in `classes`, -1 for a face of no such class."""
    merged = [merge.get(name, name) for name in faces.classes]
    table = np.array([classes.index(name) if name in classes else -1 for name in merged], dtype=np.int64)
    return table[faces.labels]


def _majority(votes: npt.NDArray[np.float32] | None, classes: tuple[str, ...], merge: dict[str, str]) -> IntArray:
    """The class with the most votes of all ten kinds; -1 where two lead, or one that is not asked for."""
    assert votes is not None
    names = tuple(dict.fromkeys(merge.get(name, name) for name in FERPLUS_COLUMNS.values()))
    shares = votes_by_class(votes, names, merge)
    leads = shares == shares.max(axis=1, keepdims=True)
    place = np.array([classes.index(name) if name in classes else -1 for name in names], dtype=np.int64)
    return np.where(leads.sum(axis=1) == 1, place[shares.argmax(axis=1)], -1)


def _targets(
    labels: IntArray, num_classes: int, voted: npt.NDArray[np.float32] | None, soft: float
) -> npt.NDArray[np.float32]:
    targets = np.zeros((len(labels), num_classes), dtype=np.float32)
    labelled = np.flatnonzero(labels >= 0)
    targets[labelled, labels[labelled]] = 1.0
    if soft and voted is not None:
        mixed = labelled[voted[labelled].any(axis=1)]
        targets[mixed] = (1 - soft) * targets[mixed] + soft * voted[mixed]
    return targets
