"""Train a network to name expressions, once for each seed, and put the models, their predictions and a report away."""

from __future__ import annotations

import functools
import logging
import shutil
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from models.blocks import FaceNetwork
from models.chips import Normalisation
from models.classification import log_loss
from schemas.cards import ExpressionCard, ExpressionEpoch, ExpressionScore
from schemas.errors import SettingsError
from schemas.expressions import ExpressionTraining
from tasks.expression.batches import DevicePictures, batches_per_epoch, mean_image, probabilities, training_batches
from tasks.expression.faces import load_faces
from tasks.expression.fit import Batch, FitData, best_epoch, fit
from tasks.expression.networks import build_network, input_shape, load_expression, take_over
from tasks.expression.plan import ExpressionStore, FinishedModel, find_model, training_key
from tasks.expression.prepare import IntArray, Prepared, prepare
from tasks.expression.report import predictions_shown, write_report
from tasks.expression.scores import score_split, told_of
from tasks.expression.source import open_source
from tasks.expression.start import named_model, network_of, recorded
from tasks.expression.teachers import check_start, load_teachers, taught
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE
from tasks.store.parts import code_version, replacing, stage_key, write_text
from tasks.training.devices import cpu_threads, resolve_device
from tasks.training.networks import InputShape, count_parameters, seeded, weights_bytes, weights_sha256

LICENCE = (
    "The weights follow the terms of the data they were trained on, stated under dataset. A prediction names the "
    "expression that annotators would probably have chosen; it is no reading of what a person feels."
)
OF_THE_START = "They start from other weights; the terms of their data, stated under start, hold too."

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExpressionRun:
    """What a training came to: the card of each seed's model, the folder that holds their folders, the report."""

    cards: tuple[ExpressionCard, ...]
    models: Path
    report: Path

    def __str__(self) -> str:
        first = self.cards[0]
        lines = [
            f"{card.model_id}: seed {card.seed}, epoch {card.best_epoch + 1} of {len(card.history)}"
            for card in self.cards
        ]
        lines += [f"{told_of(score)}: accuracy {_mean_of(self.cards, score)}" for score in first.scores]
        return "\n".join(lines)


def _mean_of(cards: Sequence[ExpressionCard], like: ExpressionScore) -> str:
    """Mean accuracy over the runs, in per cent, and their sample standard deviation where there are several."""
    found = [
        100 * score.accuracy
        for card in cards
        for score in card.scores
        if (score.split, score.subset) == (like.split, like.subset)
    ]
    spread = f" \N{PLUS-MINUS SIGN} {statistics.stdev(found):.2f} over {len(found)} seeds" if len(found) > 1 else ""
    return f"{statistics.mean(found):.2f} %{spread}"


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What all runs of one training share: settings, data, where it is computed."""

    store: ExpressionStore
    settings: ExpressionTraining
    prepared: Prepared
    pictures: DevicePictures
    shape: InputShape
    device: torch.device
    start: FinishedModel | None

    @functools.cached_property
    def teachers(self) -> Sequence[nn.Module]:
        """Read once there is somebody to teach."""
        return load_teachers(self.store, self.settings, self.prepared, self.device)


def train_expression(
    root: Path,
    data: Path,
    settings: ExpressionTraining,
    *,
    votes: Path | None = None,
    score_test: bool = False,
) -> ExpressionRun:
    """Train one network for each seed; what was trained on exactly this before is taken as it is.

    Args:
        root: of the store.
        data: a labelled set of faces in one of its public forms.
        settings: of the training.
        votes: FER+'s votes on it.
        score_test: score every split that is not Training too, for finished recipes: nothing may be chosen by it.

    Raises:
        DatasetError: the data is malformed.
        SettingsError: a network, a class or an option is unknown, or one would change nothing; there is no such model
            to start from or to be taught by, or it may know the faces that judge this one.
        TrainingError: the loss diverges.
    """
    store = ExpressionStore(root)
    settings, start = _settled(store, settings)
    shape, device = input_shape(settings.network), resolve_device(settings.device)
    faces = load_faces(open_source(data, votes=votes, picture_size=shape.size), store.faces)
    prepared = prepare(faces, settings)
    _check_asked(settings, prepared, data, votes=votes, score_test=score_test)
    if start is not None:
        check_start(start.card, settings, prepared)
    _logger.info("%s: %s", faces.name, prepared.duplicates)
    with cpu_threads(settings.num_threads):
        place = Workplace(
            store=store,
            settings=settings,
            prepared=prepared,
            pictures=DevicePictures(faces.pictures, device),
            shape=shape,
            device=device,
            start=start,
        )
        cards = [_run(place, seed) for seed in settings.seeds]
        if score_test:
            cards = [_with_test_scores(place, card) for card in cards]
        run_id = f"{settings.name}-{stage_key('expression-run', 1, {}, [card.stage_key for card in cards])[:8]}"
        report = store.report(run_id)
        shown = predictions_shown(cards, prepared, store.models)
        write_report(report, cards, prepared, shown, network=load_expression(store.model(cards[0].model_id))[0])
        return ExpressionRun(cards=tuple(cards), models=store.models, report=report)


def _settled(store: ExpressionStore, settings: ExpressionTraining) -> tuple[ExpressionTraining, FinishedModel | None]:
    """The settings with the id and the options of the model that they start from, and this model."""
    if settings.start_from is None:
        return settings, None
    start = named_model(store, settings.start_from)
    network = network_of(start, settings.network)
    return settings.model_copy(update={"start_from": start.card.model_id, "network": network}), start


def _check_asked(
    settings: ExpressionTraining, prepared: Prepared, data: Path, *, votes: Path | None, score_test: bool
) -> None:
    """Raise SettingsError where an option would change nothing, or nothing could judge the model."""
    if votes is not None and settings.truth == "label" and not settings.soft_labels:
        raise SettingsError(
            f'{settings.name}: expected no votes with truth = "label" and soft_labels = 0, found {votes}; leave '
            '--votes out, or set truth = "votes" or soft_labels'
        )
    if score_test and not prepared.scored:
        raise SettingsError(
            f"{settings.name}: expected a split to score besides training, found none in {data}; leave --score-test "
            "out, or name data that has one"
        )
    if not prepared.choice.size and not score_test:
        raise SettingsError(
            f"{settings.name}: choice_share = 0 holds nothing out, so only a test split can judge the model: ask for "
            f"its score (--score-test; the data has {', '.join(prepared.scored) or 'none'}), or hold some faces out"
        )


def _run(place: Workplace, seed: int) -> ExpressionCard:
    """One seed's model, trained or found."""
    settings, prepared, start = place.settings, place.prepared, place.start
    key = training_key(settings, prepared.faces, seed, None if start is None else start.card.weights_sha256)
    done = find_model(place.store, key)
    if done is not None:
        return done
    seeded(seed)
    network = build_network(settings.network, len(prepared.classes))
    if start is not None:
        take_over(network, prepared.classes, start)
    elif isinstance(network.normalisation, Normalisation):
        network.normalisation.mean.copy_(mean_image(place.pictures, prepared.fit, place.shape))
    network.to(device=place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = prepared.class_weights if settings.class_weights == "balanced" else None
    per_epoch = batches_per_epoch(len(prepared.fit), settings.batch_size)
    history = fit(
        network,
        FitData(
            batches=functools.partial(_batches, place, seed),
            batches_per_epoch=per_epoch,
            batch_size=min(settings.batch_size, len(prepared.fit)),
            choice=functools.partial(_choice, place) if len(prepared.choice) else None,
            class_weights=None if weights is None else torch.from_numpy(weights).to(place.device),
        ),
        settings,
        seed=seed,
        checkpoint=place.store.work(key) / "checkpoints" / "last.safetensors",
        label=f"train {settings.name} seed {seed}",
    )
    return _publish(place, network, history, seed, key)


def _batches(place: Workplace, seed: int, epoch: int) -> Iterator[Batch]:
    settings = place.settings
    batches = training_batches(
        place.pictures, place.prepared, settings, place.shape, place.device, seed=seed, epoch=epoch
    )
    if not place.teachers:
        return batches
    return taught(batches, place.teachers, share=settings.teacher_share, precision=settings.precision)


def _choice(place: Workplace, network: nn.Module) -> tuple[float, float]:
    """Loss and accuracy on *choice*, one view, in the precision of the training."""
    positions = place.prepared.choice
    found = probabilities(
        network, place.pictures, positions, place.shape, place.device, precision=place.settings.precision
    )
    labels = place.prepared.labels[positions]
    return log_loss(found.astype(float), labels), float((found.argmax(axis=1) == labels).mean())


def _publish(
    place: Workplace, network: FaceNetwork, history: tuple[ExpressionEpoch, ...], seed: int, key: str
) -> ExpressionCard:
    """Write weights, predictions on *choice* and card beside the checkpoints, then rename the folder to its id."""
    settings, prepared, work = place.settings, place.prepared, place.store.work(key)
    weights = weights_bytes(network)
    sha256 = weights_sha256(weights)
    card = ExpressionCard(
        model_id=f"{settings.name}-{sha256[:8]}",
        name=settings.name,
        stage_key=key,
        weights_sha256=sha256,
        network=settings.network.name,
        network_options=dict(settings.network.options),
        num_parameters=count_parameters(network),
        input_size=place.shape.size,
        channels=place.shape.channels,
        classes=prepared.classes,
        seed=seed,
        selected_on="choice" if prepared.choice.size else None,
        best_epoch=best_epoch(history).epoch,
        history=history,
        scores=(),
        dataset=prepared.card(),
        licence=LICENCE if place.start is None else f"{LICENCE} {OF_THE_START}",
        settings=settings.model_dump(mode="json"),
        code_version=code_version(),
        torch_version=torch.__version__,
        device=str(place.device),
        start=None if place.start is None else recorded(place.start),
    )
    with replacing(work / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(weights)
    card = _scored(place, card, network, work, {"choice": prepared.choice} if prepared.choice.size else {})
    folder = place.store.model(card.model_id)
    if folder.exists():  # the same weights under another key: the newer card stands
        shutil.rmtree(folder)
    work.replace(folder)
    return card


def _with_test_scores(place: Workplace, card: ExpressionCard) -> ExpressionCard:
    """The card with a score of each split that it has none of; the rest is as it was."""
    missing = {split: at for split, at in place.prepared.scored.items() if split not in _scored_splits(card)}
    if not missing:
        return card
    folder = place.store.model(card.model_id)
    network, _ = load_expression(folder)
    return _scored(place, card, network.to(place.device), folder, missing)


def _scored(
    place: Workplace, card: ExpressionCard, network: nn.Module, folder: Path, splits: dict[str, IntArray]
) -> ExpressionCard:
    """The card with the scores of these splits added, written last; their predictions lie beside it."""
    scores = list(card.scores)
    for split, positions in splits.items():
        scores += score_split(
            folder,
            card,
            network,
            place.prepared,
            place.pictures,
            place.device,
            split=split,
            positions=positions,
            views=place.settings.test_views,
        )
    full = card.model_copy(update={"scores": tuple(scores)})
    write_text(folder / CARD_FILE, full.model_dump_json(indent=2) + "\n")
    return full


def _scored_splits(card: ExpressionCard) -> Sequence[str]:
    return [score.split for score in card.scores]
