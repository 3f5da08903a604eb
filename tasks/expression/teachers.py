"""Models that teach another: their mean answer to a picture becomes part of its target (Hinton et al. 2015).

They answer to the very picture of the batch, cut and turned as it is (Beyer et al. 2022). FER2013's labels are often
wrong or one of two that fit; several networks together say so. Teachers must not know the faces of *choice*.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from schemas.cards import ExpressionCard
from schemas.errors import SettingsError
from schemas.expressions import ExpressionTraining
from tasks.expression.fit import Batch
from tasks.expression.networks import input_shape, load_expression
from tasks.expression.plan import ExpressionStore
from tasks.expression.prepare import Prepared
from tasks.training.devices import mixed_precision

_logger = logging.getLogger(__name__)


def load_teachers(
    store: ExpressionStore, settings: ExpressionTraining, prepared: Prepared, device: torch.device
) -> list[nn.Module]:
    """The teachers that a training names, on the device, ready to answer.

    Raises:
        StoreError: there is no such model, or it is damaged.
        SettingsError: a teacher reads other pictures, names other classes, or may have been fitted on *choice*.
    """
    found: list[nn.Module] = []
    for name in settings.teachers:
        network, card = load_expression(store.model(name))
        check_teacher(card, settings, prepared)
        found.append(network.to(device=device, memory_format=torch.channels_last))  # type: ignore[call-overload]
    return found


def check_teacher(card: ExpressionCard, settings: ExpressionTraining, prepared: Prepared) -> None:
    """Refuse a teacher that cannot answer, or that saw a face which the pupil is judged by. Raises SettingsError."""
    shape = input_shape(settings.network)
    wanted = {
        "classes": (prepared.classes, card.classes),
        "input": ((shape.size, shape.channels), (card.input_size, card.channels)),
    }
    for name, (expected, found) in (wanted | parting(card, settings, prepared)).items():
        if expected != found:
            raise SettingsError(
                f"{settings.name}: teacher {card.model_id} has {name} {found!r}, its pupil {expected!r}; "
                "train a teacher with the pupil's data and split, or leave it out"
            )


def check_start(card: ExpressionCard, settings: ExpressionTraining, prepared: Prepared) -> None:
    """Refuse to start from a model of the same data that may have been fitted on *choice*. Raises SettingsError.

    With nothing held out it is said that it may know faces of the splits that are scored. Of data that goes by another
    name nothing can be told: its faces may be the same ones.
    """
    faces = prepared.faces.name
    if faces.casefold() not in map(str.casefold, card.learned_from):
        return
    for name, (expected, found) in parting(card, settings, prepared).items():
        if expected == found:
            continue
        told = (
            f"{settings.name}: {card.model_id} has learned from {faces} too, with {name} {found!r}, here {expected!r}"
        )
        if settings.choice_share:
            raise SettingsError(
                f"{told}: it may know faces of choice. Start from a model of the same data and split, or set "
                "choice_share = 0 and let a test split judge that it has not seen"
            )
        _logger.warning("%s: whether it knows faces that are scored cannot be told", told)


def parting(card: ExpressionCard, settings: ExpressionTraining, prepared: Prepared) -> dict[str, tuple[object, object]]:
    """What decides which faces a model is fitted on: here, and in the training that the card is of."""
    found: dict[str, tuple[object, object]] = {
        "data": (dict(prepared.faces.sha256), dict(card.dataset.sha256)),
        "dropped from training": (prepared.dropped, card.dataset.dropped_from_training),
    }
    if settings.choice_share:
        split = ("choice_share", "split_seed", "classes", "merge", "truth", "drop_shared")
        own = settings.model_dump(mode="json")
        found |= {name: (own[name], card.settings[name]) for name in split}
    return found


def taught(batches: Iterator[Batch], teachers: Sequence[nn.Module], *, share: float, precision: str) -> Iterator[Batch]:
    """Batches whose targets `[batch, class]` are `share` parts the teachers' mean answer to the very same pictures."""
    for images, targets in batches:
        with torch.no_grad(), mixed_precision(precision, images.device):
            answers = [teacher(images).float().softmax(dim=1) for teacher in teachers]
        yield images, torch.lerp(targets, torch.stack(answers).mean(dim=0), share)
