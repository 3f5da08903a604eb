"""Label maps, subsets, votes, copies and the split, against counts made another way."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import DatasetError, SettingsError
from schemas.expressions import (
    AFFECTNET_CLASSES,
    FER2013_CLASSES,
    FERPLUS_COLUMNS,
    FOLDER_NAMES,
    FOUR_CLASSES,
    SEVEN_CLASSES,
)
from tasks.expression.duplicates import find_duplicates
from tasks.expression.faces import LabelledFaces, load_faces
from tasks.expression.prepare import chosen_classes, prepare, votes_by_class
from tasks.expression.source import open_source
from tasks.expression.split import split_training

from .conftest import NUM_SHARED, TINY, Fer


@pytest.fixture
def faces(fer: Fer, tmp_path: Path) -> LabelledFaces:
    return load_faces(open_source(fer.path), tmp_path)


def test_label_maps_are_the_published_ones() -> None:
    """As printed in FER2013's, FER+'s and AffectNet's own documentation."""
    assert dict(enumerate(FER2013_CLASSES)) == {
        0: "angry",
        1: "disgust",
        2: "fear",
        3: "happy",
        4: "sad",
        5: "surprise",
        6: "neutral",
    }
    assert list(FERPLUS_COLUMNS) == (
        ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF"]
    )
    assert AFFECTNET_CLASSES[6:8] == ("angry", "contempt")
    assert set(SEVEN_CLASSES) < set(AFFECTNET_CLASSES)
    assert set(FOUR_CLASSES) < set(SEVEN_CLASSES)
    assert set(FOLDER_NAMES.values()) <= set(AFFECTNET_CLASSES)


def test_subsets_and_merges() -> None:
    def chosen(**changes: object) -> tuple[str, ...]:
        return chosen_classes(AFFECTNET_CLASSES, TINY.model_copy(update=changes))

    assert chosen() == AFFECTNET_CLASSES
    assert chosen(classes="seven") == SEVEN_CLASSES
    assert chosen(classes="four") == ("angry", "happy", "sad", "neutral")
    assert chosen(classes=("happy", "sad")) == ("happy", "sad")
    assert chosen(classes="seven", merge={"disgust": "angry"}) == tuple(c for c in SEVEN_CLASSES if c != "disgust")
    for wrong in ({"classes": ("happy", "joy")}, {"classes": ("happy",)}, {"classes": ("happy", "happy")}):
        with pytest.raises(SettingsError, match="classes: expected two or more"):
            chosen(**wrong)
    with pytest.raises(SettingsError, match=r"merge: expected classes of .* found joy"):
        chosen(merge={"joy": "happy"})
    with pytest.raises(SettingsError, match="merged away itself"):
        chosen(merge={"disgust": "angry", "angry": "fear"})


def test_four_classes_of_fer2013(faces: LabelledFaces) -> None:
    prepared = prepare(faces, TINY.model_copy(update={"classes": "four"}))
    names = np.array([*prepared.classes, "left out"])
    for position, label in enumerate(faces.labels):
        name = FER2013_CLASSES[label]
        assert names[prepared.labels[position]] == (name if name in FOUR_CLASSES else "left out")
    assert (prepared.labels[prepared.fit] >= 0).all()
    assert (prepared.labels[prepared.scored["public_test"]] >= 0).all()


def test_copies_are_found_and_dropped(faces: LabelledFaces, fer: Fer) -> None:
    by_pixels: dict[bytes, list[int]] = {}
    for row, picture in enumerate(fer.pictures):
        by_pixels.setdefault(picture.tobytes(), []).append(row)
    groups = [rows for rows in by_pixels.values() if len(rows) > 1]
    found = find_duplicates(faces)
    assert found.extra_copies == sum(len(rows) - 1 for rows in groups) == NUM_SHARED + 1
    assert found.groups_of_copies == len(groups)
    assert found.shared == {"public_test": NUM_SHARED}
    shared = {row for rows in groups if len({fer.usages[row] for row in rows}) == 2 for row in rows}
    assert set(np.flatnonzero(found.is_shared).tolist()) == shared
    prepared = prepare(faces, TINY)
    used = {*prepared.fit.tolist(), *prepared.choice.tolist()}
    assert used == {row for row, usage in enumerate(fer.usages) if usage == "Training"} - shared
    assert prepared.dropped == NUM_SHARED
    kept = prepare(faces, TINY.model_copy(update={"drop_shared": False}))
    assert len(kept.fit) + len(kept.choice) == fer.usages.count("Training")
    assert kept.dropped == 0


def test_one_picture_with_two_labels_is_counted(faces: LabelledFaces) -> None:
    assert find_duplicates(faces).conflicting == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_split_is_stratified_and_keeps_copies_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 900, size=1000)
    labels = rng.choice(4, size=1000, p=[0.6, 0.25, 0.1, 0.05])[groups]  # copies share a label
    chosen = split_training(labels, groups, share=0.1, seed=seed)
    assert not set(groups[chosen]) & set(groups[~chosen])
    largest = max(Counter(groups.tolist()).values())
    for label, total in Counter(labels.tolist()).items():
        assert abs(int((labels[chosen] == label).sum()) - 0.1 * total) <= largest
    assert np.array_equal(chosen, split_training(labels, groups, share=0.1, seed=seed))
    assert not np.array_equal(chosen, split_training(labels, groups, share=0.1, seed=seed + 1))


def test_a_class_without_faces_is_named(faces: LabelledFaces) -> None:
    nobody = np.where(faces.labels == 1, 0, faces.labels)
    without = LabelledFaces(**{**vars(faces), "labels": nobody})
    with pytest.raises(DatasetError, match="none of disgust"):
        prepare(without, TINY)


def test_class_weights_make_classes_weigh_the_same(faces: LabelledFaces) -> None:
    prepared = prepare(faces, TINY.model_copy(update={"classes": ("angry", "happy"), "merge": {"sad": "happy"}}))
    weights = prepared.class_weights[prepared.labels[prepared.fit]]
    assert weights.mean() == pytest.approx(1.0)
    sums = [weights[prepared.labels[prepared.fit] == label].sum() for label in range(2)]
    assert sums[0] == pytest.approx(sums[1])


def voted(faces: LabelledFaces) -> LabelledFaces:
    votes = np.zeros((len(faces.labels), 10), dtype=np.float32)
    votes[:, 0] = 10  # neutral
    votes[0] = [1, 5, 0, 0, 0, 0, 0, 4, 0, 0]  # happy before contempt
    votes[1] = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]  # nobody leads
    votes[2] = [4, 0, 0, 0, 0, 0, 0, 6, 0, 0]  # contempt, no class of FER2013
    votes[3] = np.nan
    return LabelledFaces(**{**vars(faces), "votes": votes})


def test_majority_and_soft_labels(faces: LabelledFaces) -> None:
    by_votes = TINY.model_copy(update={"truth": "votes", "classes": ("neutral", "happy")})
    one, other = FER2013_CLASSES.index("happy"), FER2013_CLASSES.index("neutral")
    data = voted(faces)
    assert data.votes is not None
    data.votes[10::7] = [0, 9, 1, 0, 0, 0, 0, 0, 0, 0]
    labels = prepare(data, by_votes).labels
    assert labels[:5].tolist() == [1, -1, -1, -1, 0]
    shares = votes_by_class(data.votes, FER2013_CLASSES, {})
    assert shares[0, one] == pytest.approx(5 / 6)
    assert shares[0, other] == pytest.approx(1 / 6)
    assert not shares[3].any()
    assert votes_by_class(data.votes, ("happy", "neutral"), {"contempt": "happy"})[0].tolist() == pytest.approx(
        [0.9, 0.1]
    )
    mixed = prepare(data, TINY.model_copy(update={"soft_labels": 0.25}))
    hard = np.eye(7)[faces.labels]
    assert mixed.targets[0] == pytest.approx(0.75 * hard[0] + 0.25 * shares[0])
    assert mixed.targets[3] == pytest.approx(hard[3])  # nobody voted: the label alone
    assert np.allclose(mixed.targets.sum(axis=1), 1)


def test_votes_have_to_be_there(faces: LabelledFaces) -> None:
    for changes in ({"truth": "votes"}, {"soft_labels": 0.5}):
        with pytest.raises(SettingsError, match=r"read without votes; name FER\+'s fer2013new.csv"):
            prepare(faces, TINY.model_copy(update=changes))
