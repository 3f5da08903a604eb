"""Leaks are errors: nothing is scored on what it was fitted or selected on, unless the protocol declares it.

What a card and a protocol say of themselves is checked, so that nobody has to remember to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.cards import ModelCard
from schemas.errors import LeakError, few
from schemas.evaluation import EvaluateSettings
from tasks.ingest.recordings import Recording

_OTHERS = "or score the others: evaluate without --model leaves this one out"

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
    check_protocol(recordings, settings)
    scored = [recording for recording in recordings if recording.partition in settings.scored_on]
    known = {card.model_id for card in cards}
    for card in cards:
        if card.features_model_id is not None and card.features_model_id not in known:
            raise LeakError(
                f"{card.model_id} reads the features of {card.features_model_id}, whose card is not in the store: on "
                f"whom it was trained cannot be told; expected both cards. Put it back, or train again; {_OTHERS}"
            )
        _card_apart(card, recordings, scored, settings)


def left_out(
    recordings: Sequence[Recording], cards: Sequence[ModelCard], known: Sequence[ModelCard], settings: EvaluateSettings
) -> dict[str, str]:
    """Which models cannot be scored without a leak, by id, and why. Nobody asked for them by name.

    Args:
        recordings: all of the store.
        cards: of the models to be scored.
        known: every card of the store.
        settings: the protocol.

    Raises:
        LeakError: no model could be scored: what `check_protocol` refuses.
    """
    check_protocol(recordings, settings)
    by_id = {card.model_id: card for card in known}
    found = {}
    for card in cards:
        below = by_id.get(card.features_model_id or "")
        try:
            check(recordings, [card] if below is None else [card, below], settings)
        except LeakError as error:
            found[card.model_id] = str(error).removesuffix(f"; {_OTHERS}")
    return found


def unchecked(recordings: Sequence[Recording], cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """What could not be checked of models that `check` lets pass, in words: who was learned from is not all here."""
    held = {recording.recording_id for recording in recordings}
    told = []
    for card in cards:
        gone = sorted({*card.train_recordings, *card.dev_recordings} - held)
        if gone:
            told.append(
                f"{card.model_id} learned from {few(gone)}, which the store does not hold. By what its card says of "
                "them (subject, hash of the video) none of these is scored; people who go by another name here, in "
                "another video, would not be noticed"
            )
    return tuple(told)


def check_protocol(recordings: Sequence[Recording], settings: EvaluateSettings) -> None:
    """Refuse what would leak whichever model is scored.

    Raises:
        LeakError: somebody, or one video, is in two partitions; or the protocol scores what it selects or fits on,
            without declaring it.
    """
    _apart(recordings)
    if settings.overlap and not settings.declares_overlap:
        scored, selected = ", ".join(settings.scored_on), settings.selected_on
        raise LeakError(
            f"protocol {settings.protocol}: scored on {scored}, where {', '.join(settings.overlap)} served to fit or "
            f"select (training on train; epoch and post-processing on {selected}); expected another partition, or "
            "declares_overlap = true in the protocol, which then is printed with every score"
        )


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
            f"{settings.selected_on}; train it again, or write a protocol that says so; {_OTHERS}"
        )
    subjects = {recording.recording_id: recording.subject_id for recording in recordings}
    used: Mapping[str, tuple[str, ...]] = {"trained": card.train_recordings, "selected": card.dev_recordings}
    gone = [name for ids in used.values() for name in ids if name not in subjects and name not in card.seen]
    if gone:
        raise LeakError(
            f"{card.model_id} was trained or selected on {few(gone)}, which the store does not hold, and its card "
            "does not say who they are: whether these people are scored cannot be told. Put them back into the corpus "
            f"and ingest, or train again; {_OTHERS}"
        )
    allowed = settings.overlap if settings.declares_overlap else ()
    for verb, ids in used.items():
        if ("train" if verb == "trained" else card.selected_on) in allowed:
            continue
        people = {subjects[name]: name for name in ids if name in subjects}
        people |= {card.seen[name].subject_id: name for name in ids if name in card.seen}
        videos = {card.seen[name].sha256: name for name in ids if name in card.seen}
        for recording in scored:
            also = recording.recording_id if recording.recording_id in ids else None
            also = also or people.get(recording.subject_id) or videos.get(recording.sha256)
            if also is not None:
                raise LeakError(
                    f"{card.model_id} was {verb} on {also} (subject {_subject(also, card, subjects)}), and "
                    f"{recording.recording_id} of {recording.partition} is to be scored; expected people that it has "
                    "never seen. The partitions changed since, or the model is from another store: train again, or put "
                    f"them back; {_OTHERS}"
                )


def _subject(name: str, card: ModelCard, subjects: Mapping[str, str]) -> str:
    return subjects[name] if name in subjects else card.seen[name].subject_id
