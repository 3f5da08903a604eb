"""A finished network scored on SYNTHETIC labelled faces: the numbers, what is left out, what cannot be known."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from schemas.cards import ScoringCard
from schemas.errors import DatasetError, SettingsError
from tasks.expression.plan import ExpressionStore
from tasks.expression.scoring import ExpressionScoring, score_expression
from tasks.expression.shipped import shipped_card
from tasks.expression.stage import ExpressionRun, train_expression

from .conftest import NUM_SHARED, TINY, Fer, write_csv

FOUR = ("angry", "happy", "sad", "neutral")  # 0, 3, 4 and 6 of FER2013


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def trained(fer: Fer, store: Path) -> ExpressionRun:
    return train_expression(store, fer.path, TINY.model_copy(update={"test_views": 2}), score_test=True)


@pytest.fixture(scope="module")
def scored(fer: Fer, store: Path, trained: ExpressionRun) -> ExpressionScoring:
    return score_expression(store, fer.path, trained.cards[0].model_id, device="cpu")


@pytest.fixture
def tested(fer: Fer, tmp_path: Path) -> Path:
    """PublicTest alone, as PrivateTest."""
    rows = [at for at, usage in enumerate(fer.usages) if usage == "PublicTest"]
    usages = ["PrivateTest"] * len(rows)
    return write_csv(tmp_path / "test.csv", [fer.pictures[at] for at in rows], [fer.labels[at] for at in rows], usages)


def test_a_model_scores_on_its_own_data_as_its_training_says(trained: ExpressionRun, scored: ExpressionScoring) -> None:
    own = [score for score in trained.cards[0].scores if score.split == "public_test"]
    assert [score.subset for score in own] == ["all", "unseen"]
    assert scored.card.scores == tuple(own)
    assert (scored.card.views, scored.card.truth, scored.card.left_out) == (2, "label", {"public_test": 0})
    assert scored.card.dataset.shared_with_training == {"public_test": NUM_SHARED}


def test_accuracy_is_the_share_of_rows_that_agree_with_the_table(fer: Fer, scored: ExpressionScoring) -> None:
    with fer.path.open(encoding="utf-8") as file:
        labels = [int(row["emotion"]) for row in csv.DictReader(file)]
    names = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    rows = pl.read_parquet(scored.folder / "predictions-public_test.parquet")
    right = [names[labels[row]] == said for row, said in rows.select("row", "predicted").iter_rows()]
    assert scored.card.scores[0].accuracy == pytest.approx(sum(right) / len(right), abs=1e-12)


def test_card_and_page_are_written(scored: ExpressionScoring) -> None:
    stored = ScoringCard.model_validate_json((scored.folder / "scoring.json").read_text(encoding="utf-8"))
    assert stored == scored.card
    page = scored.report.read_text(encoding="utf-8")
    assert "A finished model" in page
    assert 'id="confusion"' in page
    assert 'id="curves"' not in page  # they belong to the training
    assert "Data that the model was trained on" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_without_training_nobody_knows_what_the_model_has_seen(
    tested: Path, store: Path, trained: ExpressionRun, scored: ExpressionScoring
) -> None:
    done = score_expression(store, tested, trained.cards[0].model_id, device="cpu")
    assert [(score.split, score.subset) for score in done.card.scores] == [("private_test", "all")]
    assert done.card.scores[0].confusion == scored.card.scores[0].confusion  # the same faces
    assert "cannot be told" in str(done)
    assert "cannot be told" in done.report.read_text(encoding="utf-8")
    assert "cannot be told" not in str(scored)


def test_faces_of_other_classes_are_left_out_and_counted(fer: Fer, tmp_path: Path) -> None:
    run = train_expression(tmp_path, fer.path, TINY.model_copy(update={"classes": "four", "max_epochs": 1}))
    done = score_expression(tmp_path, fer.path, run.cards[0].model_id, device="cpu")
    tested = [label for label, usage in zip(fer.labels, fer.usages, strict=True) if usage == "PublicTest"]
    inside = [label for label in tested if label in (0, 3, 4, 6)]
    assert done.card.scores[0].n == len(inside)
    assert done.card.left_out == {"public_test": len(tested) - len(inside)}
    assert f"{len(tested) - len(inside)} faces left out" in str(done)
    assert done.card.dataset.name == "FER2013"
    assert run.cards[0].classes == FOUR


def test_the_network_that_ships_scores_a_folder_of_test_faces(fer: Fer, tmp_path: Path) -> None:
    for place, name in ((0, "happy"), (1, "sad"), (2, "sad")):
        folder = tmp_path / "faces" / "test" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(fer.pictures[place]).save(folder / f"{place}.png")
    done = score_expression(tmp_path / "store", tmp_path / "faces", views=1, device="cpu")
    assert done.card.model_id == shipped_card().model_id
    assert done.card.scores[0].n == 3
    assert sum(map(sum, done.card.scores[0].confusion)) == 3
    assert json.loads((done.folder / "scoring.json").read_text(encoding="utf-8"))["views"] == 1


def test_votes_are_what_counts_where_they_are_given(fer: Fer, store: Path, trained: ExpressionRun) -> None:
    votes = store / "votes.csv"
    columns = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
    with votes.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("Usage", *columns))
        for row, usage in enumerate(fer.usages):  # all vote for happiness, of every ninth row none leads
            counts = {"happiness": 5, "sadness": 5} if row % 9 == 0 else {"happiness": 10}
            writer.writerow((usage, *(counts.get(name, 0) for name in columns)))
    done = score_expression(store, fer.path, trained.cards[0].model_id, votes=votes, device="cpu")
    tested = [row for row, usage in enumerate(fer.usages) if usage == "PublicTest"]
    undecided = [row for row in tested if row % 9 == 0]
    assert undecided
    assert done.card.truth == "votes"
    assert done.card.left_out == {"public_test": len(undecided)}
    rows = pl.read_parquet(done.folder / "predictions-public_test.parquet")
    assert rows["label"].unique().to_list() == ["happy"]


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (
            lambda store, path: score_expression(store, path, "tiny-0"),
            SettingsError,
            r"'tiny-0': expected shipped.*found there tiny-",
        ),
        (
            lambda store, path: score_expression(store, path, splits=["private_test"]),
            DatasetError,
            r"in private_test .*found the splits training, public_test",
        ),
        (lambda store, path: score_expression(store, path, device="tpu"), SettingsError, "tpu"),
    ],
)
def test_what_cannot_be_scored_is_named(
    call: Callable[[Path, Path], object],
    error: type[Exception],
    said: str,
    fer: Fer,
    store: Path,
    trained: ExpressionRun,
) -> None:
    assert ExpressionStore(store).model(trained.cards[0].model_id).is_dir()
    with pytest.raises(error, match=said):
        call(store, fer.path)


def test_training_is_never_scored(fer: Fer, tmp_path: Path) -> None:
    only = write_csv(tmp_path / "train.csv", fer.pictures[:3], fer.labels[:3], ["Training"] * 3)
    with pytest.raises(DatasetError, match="training is never scored"):
        score_expression(tmp_path / "store", only)
