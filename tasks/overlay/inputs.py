"""What an overlay is made of, found in the store and checked before anything is decoded."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import StoreError, UnusableInputError, few
from tasks.ingest.media import hash_file
from tasks.ingest.recordings import Recording, read_recordings
from tasks.store.cards import read_cards
from tasks.store.layout import Store
from tasks.store.parts import read_provenance

_MOST_NAMES = 12


def find_recording(store: Store, name: str) -> Recording:
    """The recording with this id, or with this name in its corpus.

    Raises:
        UnusableInputError: there is none; the message names the nearest ones.
    """
    recordings = read_recordings(store)
    for recording in recordings:
        if recording.recording_id == name:
            return recording
    named = [recording for recording in recordings if recording.recording_id_original == name]
    if len(named) == 1:
        return named[0]
    known = [recording.recording_id for recording in recordings]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnusableInputError(f"{store.root}: no recording {name!r}; {hint}recordings in this store: {_listed(known)}")


def check_source(store: Store, recording: Recording) -> None:
    """Make sure that the rows are of the file as it is now; it is hashed only if its size or time differ.

    Raises:
        UnusableInputError: the file is missing, or has changed since the store's rows were made.
        StoreError: the recording has no rows in `frames`.
    """
    parts = frame_parts(store, recording)
    path = Path(recording.path)
    try:
        found = path.stat()
        unchanged = (found.st_size, found.st_mtime_ns) == (recording.bytes, recording.modified_ns)
        sha256 = recording.sha256 if unchanged else hash_file(path)
    except OSError as error:
        raise UnusableInputError(
            f"{path}: the video of {recording.recording_id} cannot be read ({error}); mount or restore it"
        ) from error
    made_from = (read_provenance(parts[0]) or {}).get("source_sha256", recording.sha256)
    again = f"run `affectflow ingest` and `affectflow faces --store {store.root}` again"
    for what, expected in (("it was ingested", recording.sha256), ("its faces were extracted", made_from)):
        if sha256 != expected:
            raise UnusableInputError(
                f"{path}: the file has changed since {what} (sha256 {sha256[:12]}, expected {expected[:12]}): "
                f"the stored rows are not of these pictures; {again}"
            )


def frame_parts(store: Store, recording: Recording) -> list[Path]:
    """The parts of a recording's `frames`, in order. Raises StoreError if there are none."""
    parts = sorted(store.frames(recording.recording_id).glob("part-*.parquet"))
    if not parts:
        raise StoreError(
            f"{store.frames(recording.recording_id)}: no rows of {recording.recording_id}; "
            f"run `affectflow faces --store {store.root}` first"
        )
    return parts


def check_target(store: Store, target: Path) -> None:
    """Refuse a target that no player opens by its name, or that is a source of the store.

    Raises:
        UnusableInputError: `target` does not end in .mp4, is a folder, or is a recording's video or sound.
    """
    if target.suffix.lower() != ".mp4" or target.is_dir():
        raise UnusableInputError(f"{target}: expected the name of a file that ends in .mp4")
    if not target.exists():
        return
    for recording in read_recordings(store):
        for source in filter(None, (recording.path, recording.audio_path)):
            if Path(source).exists() and target.samefile(source):
                raise UnusableInputError(
                    f"{target}: is the source of {recording.recording_id}, which is never overwritten; "
                    "name another file with --out"
                )


def choose_model(store: Store, recording: Recording, wanted: str | None) -> str | None:
    """Whose predictions are drawn: the one wanted, or the report's first (an RNN before a CNN, controls last), or none.

    Raises:
        StoreError: the model that is wanted has no predictions of this recording; the message names those that have.
    """
    folder = store.root / "predictions"
    found = sorted(path.parent.parent.name for path in folder.glob(f"*/{recording.recording_id}/part-00000.parquet"))
    if wanted is not None:
        if wanted not in found:
            raise StoreError(
                f"{store.root}: no predictions of {recording.recording_id} by {wanted!r}; "
                f"models with predictions of it: {_listed(found)}"
            )
        return wanted
    cards = [card for card in read_cards(store) if card.model_id in found]
    cards.sort(key=lambda card: (card.is_control, card.input != "features", card.model_id))
    return cards[0].model_id if cards else None


def _listed(names: Sequence[str]) -> str:
    return few(names, _MOST_NAMES) or "none"
