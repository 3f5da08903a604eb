"""The protocol in words: it stands beside every score."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.cards import ModelCard
from schemas.errors import UnusableInputError
from schemas.settings import EvaluateSettings
from tasks.evaluation.leaks import MARK

_STEPS = {"median": "median filter", "centre": "centring", "scale": "scaling", "shift": "time shift"}


def describe(settings: EvaluateSettings, cards: Sequence[ModelCard]) -> str:
    """One line: target, delay, post-processing, pooling, where was selected and what is scored.

    Raises:
        UnusableInputError: the protocol has a fixed delay, and a model was trained with another.
    """
    golds = [name for name in settings.gold if name != "none"]
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


def _delay_words(settings: EvaluateSettings, cards: Sequence[ModelCard]) -> str:
    trained = sorted({seconds for card in cards for seconds in trained_delays(card).values()}) or [0.0]
    words = f"{trained[0]:g} s" if len(trained) == 1 else f"{trained[0]:g} to {trained[-1]:g} s"
    if settings.delay == "searched":
        by_rater = all(isinstance(card.settings["label_delay_seconds"], dict) for card in cards) and bool(cards)
        return f"rater delay {words}, " + ("by rater as trained" if by_rater else "as trained, not searched by rater")
    for card in cards:
        if set(trained_delays(card).values()) != {settings.delay}:
            raise UnusableInputError(
                f"{card.model_id}: trained with a rater delay of {words}, and protocol {settings.protocol} says "
                f"{settings.delay:g} s; train with label_delay_seconds = {settings.delay:g}, or choose another protocol"
            )
    return f"rater delay {settings.delay:g} s"
