"""Training on SYNTHETIC faces: what is learned and kept, that a kill changes nothing, and what the report shows."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from schemas.cards import ExpressionCard
from schemas.errors import SettingsError, StoreError, TrainingError
from schemas.expressions import FERPLUS_COLUMNS, ExpressionTraining
from tasks.expression import fit as fitting
from tasks.expression import stage
from tasks.expression.networks import load_expression
from tasks.expression.plan import predictions_path
from tasks.expression.stage import ExpressionRun, train_expression

from .conftest import NUM_SHARED, TINY, Fer, write_csv

REPOSITORY = Path(__file__).parents[3]
RICH = TINY.model_copy(
    update={
        "name": "rich",
        "optimizer": "adamw",
        "schedule": "plateau",
        "plateau_patience": 0,
        "average_decay": 0.9,
        "mixup": 0.2,
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "clip_norm": 1.0,
        "precision": "auto",
    }
)


@pytest.fixture(autouse=True)
def _checkpoint_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)


@pytest.fixture(scope="module")
def trained(fer: Fer, tmp_path_factory: pytest.TempPathFactory) -> ExpressionRun:
    """Two seeds, scored on PublicTest."""
    settings = TINY.model_copy(update={"seeds": (0, 1), "max_epochs": 8, "test_views": 2})
    return train_expression(tmp_path_factory.mktemp("store"), fer.path, settings, score_test=True)


def weights(run: ExpressionRun) -> dict[str, torch.Tensor]:
    return load_file(run.models / run.cards[0].model_id / "model.safetensors")


def test_it_learns_and_keeps_the_best_epoch(trained: ExpressionRun) -> None:
    for card in trained.cards:
        best = max(record.choice_accuracy or 0.0 for record in card.history)
        assert card.history[card.best_epoch].choice_accuracy == best
        assert best > 0.6  # of seven classes
        assert card.num_parameters == sum(
            parameter.numel() for parameter in load_expression(trained.models / card.model_id)[0].parameters()
        )
        assert card.dataset.shared_with_training == {"public_test": NUM_SHARED}
        assert card.dataset.name == "FER2013"
        assert "research" in card.dataset.terms
        assert list(card.dataset.sha256) == ["fer2013.csv"]
        assert sum(card.dataset.fit.values()) + sum(card.dataset.choice.values()) == 210 - NUM_SHARED
        stored = (trained.models / card.model_id / "card.json").read_text(encoding="utf-8")
        assert ExpressionCard.model_validate_json(stored) == card
    assert trained.cards[0].weights_sha256 != trained.cards[1].weights_sha256
    assert not list(trained.models.glob(".training-*"))


def test_scores_are_those_of_the_predictions(trained: ExpressionRun, fer: Fer) -> None:
    for card in trained.cards:
        for score in card.scores:
            frame = pl.read_parquet(predictions_path(trained.models / card.model_id, score.split))
            if score.subset == "unseen":
                frame = frame.filter(~pl.col("is_shared"))
            assert len(frame) == score.n
            assert (frame["label"] == frame["predicted"]).mean() == pytest.approx(score.accuracy)
            counts = Counter(zip(frame["label"], frame["predicted"], strict=True))
            told = {
                (label, name): count
                for label, row in zip(card.classes, score.confusion, strict=True)
                for name, count in zip(card.classes, row, strict=True)
                if count
            }
            assert told == dict(counts)
            columns = [f"probability_{name}" for name in card.classes]
            values = frame.select(columns).to_numpy()
            assert np.allclose(values.sum(axis=1), 1, atol=1e-5)
            assert [card.classes[k] for k in values.argmax(axis=1)] == frame["predicted"].to_list()
            for row, label in zip(frame["row"], frame["label"], strict=True):
                assert card.classes[fer.labels[row]] == label
                assert fer.usages[row] == ("Training" if score.split == "choice" else "PublicTest")
    assert [(score.split, score.subset, score.n) for score in trained.cards[0].scores] == [
        ("choice", "all", trained.cards[0].scores[0].n),
        ("public_test", "all", 42),
        ("public_test", "unseen", 42 - NUM_SHARED),
    ]


def test_the_test_split_is_left_alone_until_asked_for(
    fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TINY.model_copy(update={"max_epochs": 1})
    first = train_expression(tmp_path, fer.path, settings)
    assert [score.split for score in first.cards[0].scores] == ["choice"]
    monkeypatch.setattr(stage, "fit", None)  # nothing is trained again
    again = train_expression(tmp_path, fer.path, settings.model_copy(update={"num_threads": 2}), score_test=True)
    assert again.cards[0].model_id == first.cards[0].model_id
    assert [score.split for score in again.cards[0].scores] == ["choice", "public_test", "public_test"]
    assert again.cards[0].scores[:1] == first.cards[0].scores
    monkeypatch.setattr(stage, "score_split", None)  # nor scored twice
    assert train_expression(tmp_path, fer.path, settings, score_test=True).cards == again.cards


def test_seeds_decide_everything(fer: Fer, tmp_path: Path) -> None:
    runs = [train_expression(tmp_path / name, fer.path, RICH) for name in ("a", "b")]
    one, other = (weights(run) for run in runs)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert runs[0].cards[0].model_id == runs[1].cards[0].model_id


_KILLED = """
import os, signal, sys
from pathlib import Path
from schemas.expressions import ExpressionTraining
from tasks.expression import fit
from tasks.expression.stage import train_expression

fit.CHECKPOINT_SECONDS = 0.0
write = fit.write_checkpoint
def write_and_die(path, state):
    write(path, state)
    if len(state.history) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
fit.write_checkpoint = write_and_die
train_expression(Path(sys.argv[1]), Path(sys.argv[2]), ExpressionTraining.model_validate_json(sys.argv[3]))
"""


def test_a_killed_training_goes_on_to_the_same_bits(fer: Fer, tmp_path: Path) -> None:
    whole = train_expression(tmp_path / "whole", fer.path, RICH)
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "killed"), str(fer.path), RICH.model_dump_json()]
    died = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, env={**os.environ})
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(list((tmp_path / "killed").rglob("last.safetensors"))) == 1
    assert not list((tmp_path / "killed").rglob("card.json"))
    resumed = train_expression(tmp_path / "killed", fer.path, RICH)
    one, other = weights(whole), weights(resumed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    for ours, theirs in zip(whole.cards[0].history, resumed.cards[0].history, strict=True):
        timeless = {"seconds", "images_per_second"}
        assert ours.model_dump(exclude=timeless) == theirs.model_dump(exclude=timeless)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_kill_inside_an_epoch_only_costs_that_epoch(
    fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    settings = TINY.model_copy(update={"optimizer": optimizer, "max_epochs": 3, "schedule": "cosine"})
    whole = train_expression(tmp_path / "whole", fer.path, settings)
    batches = stage._batches

    def cut_short(place, seed, epoch):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(batches(place, seed, epoch)):
            if epoch == 1 and number == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(stage, "_batches", cut_short)
    with pytest.raises(KeyboardInterrupt):
        train_expression(tmp_path / "cut", fer.path, settings)
    monkeypatch.setattr(stage, "_batches", batches)
    resumed = train_expression(tmp_path / "cut", fer.path, settings)
    assert resumed.cards[0].weights_sha256 == whole.cards[0].weights_sha256


def test_early_stopping_and_a_mean_image(fer: Fer, tmp_path: Path) -> None:
    network = TINY.network.model_copy(update={"options": {**TINY.network.options, "normalisation": "mean"}})
    settings = TINY.model_copy(update={"patience": 1, "max_epochs": 60, "network": network})
    run = train_expression(tmp_path, fer.path, settings)
    card = run.cards[0]
    assert len(card.history) == card.best_epoch + 2
    image = weights(run)["normalisation.mean"][0].numpy()
    rows = [row for row in range(210) if row not in range(NUM_SHARED)]
    frame = pl.read_parquet(predictions_path(run.models / card.model_id, "choice"))
    fit = [row for row in rows if row not in set(frame["row"])]
    assert np.allclose(image, np.mean([fer.pictures[row] for row in fit], axis=0) / 255, atol=1e-5)


def test_colour_networks_of_another_size_train_on_gray_faces(fer: Fer, tmp_path: Path) -> None:
    options = {**TINY.network.options, "input_size": 32, "channels": 3}
    settings = TINY.model_copy(
        update={"max_epochs": 1, "test_views": 10, "network": TINY.network.model_copy(update={"options": options})}
    )
    card = train_expression(tmp_path, fer.path, settings).cards[0]
    assert (card.input_size, card.channels) == (32, 3)


def test_errors_are_named(fer: Fer, tmp_path: Path) -> None:
    wild = TINY.model_copy(update={"optimizer": "sgd", "learning_rate": 1e12})
    with pytest.raises(TrainingError, match=r"loss became .*learning_rate.*1000000000000"):
        train_expression(tmp_path, fer.path, wild)
    unknown = TINY.model_copy(update={"network": TINY.network.model_copy(update={"name": "huge"})})
    with pytest.raises(SettingsError, match="huge"):
        train_expression(tmp_path, fer.path, unknown)
    with pytest.raises(StoreError, match="no such model"):
        load_expression(tmp_path / "nothing")


def test_what_would_change_nothing_is_refused(fer: Fer, tmp_path: Path) -> None:
    number = fer.usages.index("PublicTest")
    alone = write_csv(tmp_path / "alone.csv", fer.pictures[:number], fer.labels[:number], fer.usages[:number])
    with pytest.raises(SettingsError, match=r"found none in .*alone\.csv; leave --score-test out"):
        train_expression(tmp_path, alone, TINY, score_test=True)
    votes = tmp_path / "fer2013new.csv"
    counts = ",".join(["1"] * 10)
    rows = [f"{usage},fer{row:07d}.png,{counts}" for row, usage in enumerate(fer.usages)]
    votes.write_text("\n".join([",".join(["Usage", "Image name", *FERPLUS_COLUMNS]), *rows]), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"expected no votes .* found .*fer2013new\.csv; leave --votes out"):
        train_expression(tmp_path, fer.path, TINY, votes=votes)
    with pytest.raises(SettingsError, match=r"name FER\+'s fer2013new\.csv with --votes"):
        train_expression(tmp_path, fer.path, TINY.model_copy(update={"truth": "votes"}))
    assert not (tmp_path / "expression" / "models").exists()


def test_damaged_weights_are_refused(trained: ExpressionRun, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained.models / trained.cards[0].model_id, folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    with pytest.raises(StoreError, match=r"sha256 .* expected"):
        load_expression(folder)
    (folder / "card.json").write_text(json.dumps({"model_id": "x"}), encoding="utf-8")
    with pytest.raises(StoreError, match="expected the card of an expression network"):
        load_expression(folder)


class Tags(HTMLParser):
    """Counts tags and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_shows_everything_and_fetches_nothing(trained: ExpressionRun) -> None:
    html = trained.report.read_text(encoding="utf-8")
    found = Tags()
    found.feed(html)
    assert found.tags["script"] == 0
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in found.sources)
    for section in ("scores", "confusion", "curves", "calibration", "saliency", "mistakes", "provenance", "limits"):
        assert f'id="{section}"' in html
    for card in trained.cards:
        assert card.model_id in html
    accuracies = [score.accuracy for card in trained.cards for score in card.scores if score.split == "public_test"]
    for accuracy in accuracies:
        assert f"{100 * accuracy:.2f}" in html
    assert trained.cards[0].dataset.sha256["fer2013.csv"] in html
    confusion = np.sum([card.scores[1].confusion for card in trained.cards], axis=0)
    shares = re.findall(r"/ [\d.]+\)\">([\d.]+)</td>", html)
    wanted = [f"{100 * value:.1f}" for value in (confusion / confusion.sum(axis=1, keepdims=True)).ravel()]
    assert shares == wanted
    mistakes = html[html.index('id="mistakes"') : html.index('id="provenance"')]
    wrong = np.mean(
        [
            pl.read_parquet(predictions_path(trained.models / card.model_id, "public_test"))
            .select([f"probability_{name}" for name in card.classes])
            .to_numpy()
            for card in trained.cards
        ],
        axis=0,
    )
    labels = pl.read_parquet(predictions_path(trained.models / trained.cards[0].model_id, "public_test"))["label"]
    num_wrong = sum(
        trained.cards[0].classes[place] != label for place, label in zip(wrong.argmax(axis=1), labels, strict=True)
    )
    assert mistakes.count("<img") == min(24, num_wrong)


def test_two_seeds_are_averaged_in_words(trained: ExpressionRun) -> None:
    found = [100 * card.scores[1].accuracy for card in trained.cards]
    mean, spread = np.mean(found), np.std(found, ddof=1)
    assert f"public test, 42 faces: accuracy {mean:.2f} % \N{PLUS-MINUS SIGN} {spread:.2f} over 2 seeds" in str(trained)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="seeds: expected each once"):
        ExpressionTraining.model_validate({**TINY.model_dump(), "seeds": (1, 1)})
    with pytest.raises(ValueError, match="erasing_area"):
        ExpressionTraining.model_validate({**TINY.model_dump(), "augmentation": {"erasing_area": (0.5, 0.1)}})
