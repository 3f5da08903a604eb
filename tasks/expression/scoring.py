"""How a finished expression network does on labelled faces: other people's, or a split that was kept for the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.classification import accuracy_interval
from schemas.cards import ScoringCard
from schemas.errors import DatasetError
from schemas.expressions import ExpressionTraining
from tasks.expression.batches import DevicePictures
from tasks.expression.faces import SCORED_SPLITS, load_faces
from tasks.expression.networks import load_expression
from tasks.expression.plan import ExpressionStore
from tasks.expression.prepare import Judged, judge
from tasks.expression.report import Shown, write_report
from tasks.expression.scores import read_probabilities, score_split, told_of
from tasks.expression.shipped import SHIPPED
from tasks.expression.source import open_source
from tasks.expression.start import named_model
from tasks.report.words import count
from tasks.store.parts import code_version, stage_key, write_text
from tasks.training.devices import cpu_threads, resolve_device

STAGE_VERSION = 1
SCORING_FILE = "scoring.json"


@dataclass(frozen=True, kw_only=True)
class ExpressionScoring:
    """What a scoring came to: its card, the folder of card and predictions, the report."""

    card: ScoringCard
    folder: Path
    report: Path

    def __str__(self) -> str:
        card = self.card
        lines = [f"{card.model_id} on {card.dataset.name}, {count(card.views, 'view')} a face"]
        for score in card.scores:
            low, high = accuracy_interval(score.accuracy, score.n)
            interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
            lines.append(f"{told_of(score)}: accuracy {100 * score.accuracy:.2f} %, {interval}")
        if left_out := sum(card.left_out.values()):
            lines.append(f"{left_out} faces left out: the model names no class of theirs, or no majority does")
        if "training" not in card.dataset.pictures:
            lines.append("the data holds no Training: whether the model has seen some of these faces cannot be told")
        return "\n".join(lines)


def score_expression(
    root: Path,
    data: Path,
    model_id: str = SHIPPED,
    *,
    splits: Sequence[str] = (),
    votes: Path | None = None,
    views: int | None = None,
    device: str = "auto",
) -> ExpressionScoring:
    """Ask a finished network about every face that is not in Training, and hold its answers against the labels.

    Classes are matched by name, merged as in the model's training; faces of classes that it does not name are left out
    and counted.

    Args:
        root: of the store; what is found lies in `expression/scores/` and in `reports/`.
        data: a labelled set of faces in one of its public forms.
        model_id: id, name or folder of an expression model, or `shipped`: the one in the package.
        splits: those to score; by default all that there are.
        votes: FER+'s votes on the faces; their majority is then what counts as right.
        views: averaged for each face, 1, 2 or 10; by default as in the model's own training.
        device: auto | cpu | cuda | cuda:N.

    Raises:
        DatasetError: the data is malformed, or has no such split.
        SettingsError: there is no such model or device.
        StoreError: the model is damaged.
    """
    store, place = ExpressionStore(root), resolve_device(device)
    network, card = load_expression(named_model(store, model_id).folder)
    trained = ExpressionTraining.model_validate(card.settings)
    views = views or trained.test_views
    faces = load_faces(open_source(data, votes=votes, picture_size=card.input_size), store.faces)
    judged = judge(faces, card.classes, merge=trained.merge, by_votes=votes is not None)
    wanted = _wanted(judged, splits, data)
    key = stage_key(
        "score-expression", STAGE_VERSION, {"splits": wanted, "views": views}, [card.weights_sha256, str(faces.sha256)]
    )
    scoring_id = f"{card.model_id}-{key[:8]}"
    folder, report = store.scoring(scoring_id), store.report(scoring_id)
    network.to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = DevicePictures(faces.pictures, place)
    with cpu_threads(0):
        scores = [
            score
            for split in wanted
            for score in score_split(
                folder, card, network, judged, pictures, place, split=split, positions=judged.scored[split], views=views
            )
        ]
    scoring = ScoringCard(
        scoring_id=scoring_id,
        model_id=card.model_id,
        weights_sha256=card.weights_sha256,
        views=views,
        truth="label" if votes is None else "votes",
        dataset=judged.card(),
        left_out={split: int((faces.splits == split).sum()) - len(judged.scored[split]) for split in wanted},
        scores=tuple(scores),
        code_version=code_version(),
        device=str(place),
    )
    found = read_probabilities(folder, wanted[0], card.classes)[None]
    shown = Shown(wanted[0], judged.scored[wanted[0]], found)
    scored_card = card.model_copy(update={"scores": scoring.scores})
    write_report(report, [scored_card], judged, shown, network=network.cpu(), scoring=scoring)
    write_text(folder / SCORING_FILE, scoring.model_dump_json(indent=2) + "\n")
    return ExpressionScoring(card=scoring, folder=folder, report=report)


def _wanted(judged: Judged, splits: Sequence[str], data: Path) -> list[str]:
    """The splits to score, in their usual order. Raises DatasetError where one has no face of a known class."""
    present = [split for split in SCORED_SPLITS if split in judged.scored]
    missing = [split for split in splits if split not in present]
    if missing or not present:
        there = ", ".join(dict.fromkeys(judged.faces.splits.tolist()))
        raise DatasetError(
            f"{data}: expected faces of {', '.join(judged.classes)} in {' and '.join(missing) or 'a split to score'} "
            f"({', '.join(SCORED_SPLITS)}), found the splits {there}; training is never scored: put faces that are to "
            "be scored into another split (test/<class>/, or Usage PublicTest)"
        )
    return [split for split in present if not splits or split in splits]
