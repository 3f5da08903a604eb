"""The protocol in words: it stands beside every score."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.cards import ModelCard
from schemas.errors import UnusableInputError
from schemas.evaluation import EvaluateSettings
from schemas.training import DelayHow
from tasks.evaluation.leaks import MARK

_HOW: dict[DelayHow, str] = {
    "searched": "searched by rater on train",
    "given": "set, not searched",
    "preset": "the dimension's usual one, not searched",
}
_STEPS = {"median": "median filter", "centre": "centring", "scale": "scaling", "shift": "time shift"}


def describe(settings: EvaluateSettings, cards: Sequence[ModelCard]) -> str:
    """One line: target, delay, post-processing, pooling, where was selected and what is scored.

    Raises:
        UnusableInputError: the protocol has a fixed delay, and a model was trained with another.
    """
    golds = ["the corpus's own" if name == "corpus" else name for name in settings.gold if name != "none"]
    targets = ["every rater apart"] if "none" in settings.gold else []
    targets += [f"gold standard {' and '.join(golds)} against the mean of a model's outputs"] if golds else []
    steps = ", ".join(_STEPS[name] for name in settings.chain)
    chain = (
        f"post-processing of models ({steps}) fitted on {settings.selected_on}, a step kept only where CCC rises there"
        if settings.chain
        else "no post-processing"
    )
    pooling = " and ".join(name.replace("_", " ") for name in settings.pooling)
    line = (
        f"{settings.protocol}: {'; '.join(targets)}; {_delay_words(settings, cards)}; {chain}; recordings {pooling}; "
        f"epoch selected on {settings.selected_on}; scored on {', '.join(settings.scored_on)}"
    )
    if settings.overlap:
        where = "" if len(settings.scored_on) == 1 else f"scores on {', '.join(settings.overlap)}: "
        line += f" ({where}{MARK}: no result on unseen people)"
    return f"{line}; {settings.note}" if settings.note else line


def trained_delays(card: ModelCard) -> dict[str, float]:
    """Seconds that each rater's labels were moved earlier by when a model was trained."""
    stated = card.settings["label_delay_seconds"]
    if isinstance(stated, dict):
        return {rater: float(stated.get(rater, 0.0)) for rater in card.raters}
    return dict.fromkeys(card.raters, float(stated))


def delay_how(card: ModelCard) -> str:
    """Where a model's delay comes from, in words; cards of older code do not say it."""
    if card.delay_how is not None:
        return _HOW[card.delay_how]
    by_rater = isinstance(card.settings["label_delay_seconds"], dict)
    return "by rater, the card does not say whether set or searched" if by_rater else _HOW["given"]


def _delay_words(settings: EvaluateSettings, cards: Sequence[ModelCard]) -> str:
    if settings.delay == "searched":
        return _delays_of_models(cards)
    for card in cards:
        if set(trained_delays(card).values()) != {settings.delay}:
            raise UnusableInputError(
                f"{card.model_id}: trained with a rater delay of {_seconds(card)}, and protocol {settings.protocol} "
                f"says {settings.delay:g} s; train with label_delay_seconds = {settings.delay:g}, or choose another "
                "protocol"
            )
    return f"rater delay {settings.delay:g} s"


def _delays_of_models(cards: Sequence[ModelCard]) -> str:
    """What each model was trained with, and where that comes from; models alike are told together."""
    alike: dict[str, list[str]] = {}
    for card in cards:
        names = alike.setdefault(f"{_seconds(card)}, {delay_how(card)}", [])
        names += [card.name] * (card.name not in names)
    if not alike:
        return "rater delay none: no model"
    if len(alike) == 1:
        return f"rater delay {next(iter(alike))}"
    several = "; ".join(f"{', '.join(names)}: {told}" for told, names in alike.items())
    return f"rater delay by model ({several})"


def _seconds(card: ModelCard) -> str:
    trained = sorted(set(trained_delays(card).values())) or [0.0]
    return f"{trained[0]:g} s" if len(trained) == 1 else f"{trained[0]:g} to {trained[-1]:g} s"
