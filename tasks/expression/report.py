"""The report of a training: one HTML page that fetches nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.blocks import FaceNetwork
from models.classification import accuracy_interval, recalls, reliability
from models.image_augmentation import resized
from models.saliency import saliency
from schemas.cards import ExpressionCard, ExpressionScore, ScoringCard
from tasks.expression import curves
from tasks.expression.pictures import face_uri, heat_uri
from tasks.expression.prepare import Judged, Prepared
from tasks.expression.scores import read_probabilities
from tasks.report import drawing, templates, words
from tasks.store.parts import code_version, write_text

MISTAKES_SHOWN = 24

LIMITS = (
    "A prediction names the expression that annotators would probably have chosen for a still picture. It is no "
    "reading of what a person feels, and no basis for a decision about anyone.",
    "The labels are those of one annotator or of a search word, and people disagree about many of these faces: an "
    "accuracy of 100 % is neither possible nor meaningful.",
    "Faces found by web search over-represent acted expressions and some groups of people. Accuracy differs between "
    "groups of people, and this page does not say how.",
    "Scores on choice selected the epoch, and perhaps the recipe: they are no results.",
)

_SPLIT_WORDS = {"choice": "choice: a part of Training, selected on", "public_test": "PublicTest"}


@dataclass(frozen=True)
class Shown:
    """Predictions of all runs on the split that the page draws: `[face]` positions, `[run, face, class]`."""

    split: str
    positions: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Figure:
    """A picture, or two side by side, with its words."""

    uri: str
    title: str
    caption: str
    beside: str = ""


def write_report(
    target: Path,
    cards: Sequence[ExpressionCard],
    data: Judged,
    shown: Shown,
    *,
    network: FaceNetwork,
    scoring: ScoringCard | None = None,
) -> None:
    """Write the page of a training, or of the scoring of a finished model.

    Args:
        target: the HTML file.
        cards: of the models, at least one.
        data: what they were scored on.
        shown: predictions that are drawn.
        network: of the first card.
        scoring: of a finished model on `data`, whose scores then take the place of the card's own.
    """
    environment = templates.environment(Path(__file__).parent)
    page = environment.get_template("expression.html.j2").render(_content(cards, data, shown, network, scoring))
    write_text(target, page)


def _content(
    cards: Sequence[ExpressionCard], data: Judged, shown: Shown, network: FaceNetwork, scoring: ScoringCard | None
) -> dict[str, Any]:
    first = cards[0]
    scores = [_mean_score(cards, score) for score in first.scores]
    headline = next(score for score in scores if score["split"] == shown.split)
    confusion = np.sum(
        [
            score.confusion
            for card in cards
            for score in card.scores
            if (score.split, score.subset) == (shown.split, "all")
        ],
        axis=0,
    )
    labels = data.labels[shown.positions]
    pooled = shown.probabilities.reshape(-1, len(first.classes)).astype(np.float64)
    return {
        "title": f"Expressions: {first.name}" if scoring is None else f"Expressions: {first.name} on {data.faces.name}",
        "card": first,
        "scoring": scoring,
        "cards": cards,
        "verdict": _verdict(first, headline, len(cards)),
        "scores": scores,
        "split": split_words(shown.split),
        "classes": first.classes,
        "confusion": confusion.tolist(),
        "recalls": recalls(confusion).tolist(),
        "shares": (confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)).tolist(),
        "charts": curves.epoch_charts(cards),
        "reliability": curves.reliability_bars(*reliability(pooled, np.tile(labels, len(cards)))),
        "ece": headline["ece"],
        "saliency": _saliency(network, first, data, shown),
        "mistakes": _mistakes(data, shown),
        "limits": LIMITS,
        "box": (drawing.WIDTH, drawing.HEIGHT),
        "written_at": datetime.now(UTC),
        "code_version": code_version(),
        "settings": _flat(first.settings),
    }


def split_words(split: str) -> str:
    """What a split is called on the page."""
    return _SPLIT_WORDS.get(split, split.replace("_", " "))


def _verdict(card: ExpressionCard, headline: dict[str, Any], runs: int) -> str:
    spread = (
        f" ({words.count(runs, 'run')}, standard deviation {words.percent(headline['spread'], 2)})" if runs > 1 else ""
    )
    told = f"{card.network} names {words.percent(headline['accuracy'], 2)} % of {headline['n']} faces right"
    return f"{told}, {split_words(headline['split'])}{spread}."


def _mean_score(cards: Sequence[ExpressionCard], like: ExpressionScore) -> dict[str, Any]:
    """One row of the table: means over runs, and each run's accuracy."""
    found = [
        score for card in cards for score in card.scores if (score.split, score.subset) == (like.split, like.subset)
    ]
    accuracies = [score.accuracy for score in found]
    means = {name: statistics.mean(getattr(score, name) for score in found) for name in ("mean_recall", "loss", "ece")}
    return {
        "split": like.split,
        "words": split_words(like.split)
        + (", without the faces that stand in Training too" if like.subset == "unseen" else ""),
        "n": like.n,
        "accuracies": accuracies,
        "accuracy": statistics.mean(accuracies),
        "spread": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "interval": accuracy_interval(statistics.mean(accuracies), like.n),
        **means,
    }


def predictions_shown(cards: Sequence[ExpressionCard], prepared: Prepared, models: Path) -> Shown:
    """The predictions of a training that are drawn: on the first test split that every run is scored on, or *choice*.

    Args:
        cards: of the models, at least one.
        prepared: what they were trained on.
        models: folder of the models' folders.
    """
    common = [
        score.split
        for score in cards[0].scores
        if all(score.split in {other.split for other in card.scores} for card in cards)
    ]
    split = next((name for name in common if name != "choice"), "choice")
    positions = prepared.choice if split == "choice" else prepared.scored[split]
    found = [read_probabilities(models / card.model_id, split, card.classes) for card in cards]
    return Shown(split, positions, np.stack(found))


def _saliency(network: FaceNetwork, card: ExpressionCard, data: Judged, shown: Shown) -> list[Figure]:
    """For each class the face that the first run is surest of and right about, and what that hangs on."""
    labels, values = data.labels[shown.positions], shown.probabilities[0]
    figures = []
    for number, name in enumerate(card.classes):
        right = np.flatnonzero((labels == number) & (values.argmax(axis=1) == number))
        if not right.size:
            continue
        place = right[values[right, number].argmax()]
        picture = np.array(data.faces.pictures[shown.positions[place]])
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None]
        images = resized(pixels, size=card.input_size, channels=card.channels)
        strength = saliency(network, images, torch.tensor([number]))[0].numpy()
        sure = f"{words.percent(float(values[place, number]), 0)} % sure"
        figures.append(Figure(face_uri(picture), name, sure, heat_uri(picture, strength)))
    return figures


def _mistakes(data: Judged, shown: Shown) -> list[Figure]:
    """The faces that the runs, averaged, are surest of and wrong about, surest first."""
    labels, values = data.labels[shown.positions], shown.probabilities.mean(axis=0)
    predicted = values.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    figures = []
    for place in wrong[np.argsort(-values[wrong].max(axis=1), kind="stable")][:MISTAKES_SHOWN]:
        position = shown.positions[place]
        sure = words.percent(float(values[place].max()), 0)
        figures.append(
            Figure(
                face_uri(np.array(data.faces.pictures[position])),
                f"{data.classes[predicted[place]]}, {sure} % sure",
                f"labelled {data.classes[labels[place]]}; row {data.faces.rows[position]}",
            )
        )
    return figures


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", str(value)))
    return found
