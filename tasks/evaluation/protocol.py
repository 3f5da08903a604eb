"""The protocol in words: it stands beside every score."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.cards import ModelCard
from schemas.settings import EvaluateSettings


def describe(settings: EvaluateSettings, cards: Sequence[ModelCard]) -> str:
    """One line: target, delay, post-processing, where the epoch was selected and what is scored."""
    delays = sorted({float(card.settings["label_delay_seconds"]) for card in cards}) or [0.0]
    delay = " / ".join(f"{seconds:g}" for seconds in delays)
    line = (
        f"{settings.protocol}: every rater apart, no gold standard; rater delay {delay} s; no post-processing; "
        f"epoch selected on {settings.selected_on}; scored on {', '.join(settings.scored_on)}"
    )
    if settings.selected_on in settings.scored_on:
        line += f" (scores on {settings.selected_on}: selected on the scored partition)"
    return line
