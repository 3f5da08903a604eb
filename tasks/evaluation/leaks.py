"""Leaks are errors: nothing is scored on what it was fitted or selected on, unless the protocol declares it.

What a card and a protocol say of themselves is checked, so that nobody has to remember to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.cards import ModelCard
from schemas.errors import LeakError
from schemas.settings import EvaluateSettings
from tasks.ingest.recordings import Recording

MARK = "selected on the scored partition"
"""What every score carries whose protocol selects on what it scores."""


def check(recordings: Sequence[Recording], cards: Sequence[ModelCard], settings: EvaluateSettings) -> None:
    """Refuse an evaluation that would leak.

    Args:
        recordings: all of the store.
        cards: of the models scored, and of the CNNs whose features they read.
        settings: the protocol.

    Raises:
        LeakError: somebody, or one video, is in two partitions; the protocol scores what it selects or fits on, without
            declaring it; a model was trained or selected on somebody who is scored; or on whom cannot be told.
    """
    _apart(recordings)
    if settings.overlap and not settings.declares_overlap:
        scored, selected = ", ".join(settings.scored_on), settings.selected_on
        raise LeakError(
            f"protocol {settings.protocol}: scored on {scored}, where {', '.join(settings.overlap)} served to fit or "
            f"select (training on train; epoch and post-processing on {selected}); expected another partition, or "
            "declares_overlap = true in the protocol, which then is printed with every score"
        )
    scored_recordings = [r for r in recordings if r.partition in settings.scored_on]
    known = {card.model_id for card in cards}
    for card in cards:
        if card.features_model_id is not None and card.features_model_id not in known:
            raise LeakError(
                f"{card.model_id} reads the features of {card.features_model_id}, whose card is not in the store: on "
                "whom it was trained cannot be told; expected both cards. Put it back, or train again"
            )
        _card_apart(card, recordings, scored_recordings, settings)


def _apart(recordings: Sequence[Recording]) -> None:
    """Nobody is in two partitions, and no video: copies under two names are the same people."""
    seen: dict[tuple[str, str], Recording] = {}
    for recording in recordings:
        if recording.partition is None:
            continue
        video = f"the video of {recording.recording_id} (sha256 {recording.sha256[:12]})"
        for kind, which, what in (
            ("subject", recording.subject_id, f"subject {recording.subject_id}"),
            ("video", recording.sha256, video),
        ):
            first = seen.setdefault((kind, which), recording)
            if first.partition != recording.partition:
                raise LeakError(
                    f"{what} is in two partitions: {first.recording_id} in {first.partition}, {recording.recording_id} "
                    f"in {recording.partition}; expected one. Mend the partitions and ingest again"
                )


def _card_apart(
    card: ModelCard, recordings: Sequence[Recording], scored: Sequence[Recording], settings: EvaluateSettings
) -> None:
    if card.selected_on != settings.selected_on:
        raise LeakError(
            f"{card.model_id}: its epoch was selected on {card.selected_on}, and protocol {settings.protocol} says "
            f"{settings.selected_on}; train it again, or write a protocol that says so"
        )
    subjects = {recording.recording_id: recording.subject_id for recording in recordings}
    used: Mapping[str, tuple[str, ...]] = {"trained": card.train_recordings, "selected": card.dev_recordings}
    gone = [name for ids in used.values() for name in ids if name not in subjects]
    if gone:
        raise LeakError(
            f"{card.model_id} was trained or selected on {', '.join(gone[:5])}, which the store no longer holds: "
            "whether these people are scored cannot be told. Put them back into the corpus and ingest, or train again"
        )
    allowed = settings.overlap if settings.declares_overlap else ()
    for verb, ids in used.items():
        if ("train" if verb == "trained" else card.selected_on) in allowed:
            continue
        people = {subjects[name]: name for name in ids if name in subjects}
        for recording in scored:
            if recording.recording_id in ids or recording.subject_id in people:
                also = people.get(recording.subject_id, recording.recording_id)
                raise LeakError(
                    f"{card.model_id} was {verb} on {also} (subject {recording.subject_id}), and "
                    f"{recording.recording_id} of {recording.partition} is to be scored; expected people that it has "
                    "never seen. The partitions changed since: train again, or put them back"
                )
