"""What an analysis has to do, from disk alone. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.valence import VALENCE
from schemas.cards import ExpressionCard
from schemas.errors import StoreError, UnusableInputError
from schemas.settings import FacesSettings, IngestSettings
from tasks.analyze.clips import Clip, corpus_folder, has_manifest
from tasks.faces.plan import frames_key, is_complete
from tasks.ingest.plan import plan_ingest
from tasks.ingest.recordings import Recording, read_recordings
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, stage_key

STAGE = "analyze"
STAGE_VERSION = 3

VIEWS = 2
"""The face and its mirror image: their probabilities are averaged."""
SMOOTHING_SECONDS = 1.0
"""Window of the smoothed valence; a centred mean."""

KEY_MARK = "affectflow.stage_key="
"""What stands before the stage key in a page's head and in a video's comment."""
_HEAD_BYTES = 4096


def analysis_key(recording: Recording, settings: FacesSettings, card: ExpressionCard) -> str:
    """Stage key of a clip's results: changes with the clip, how faces are found, the weights, and their scores."""
    valence = {name: VALENCE[name] for name in card.classes}
    scores = [score.model_dump(mode="json") for score in card.scores]  # shown on the page, may come after the weights
    used = {"views": VIEWS, "smoothing_seconds": SMOOTHING_SECONDS, "valence": valence, "scores": scores}
    return stage_key(STAGE, STAGE_VERSION, used, [frames_key(recording, settings), card.weights_sha256])


def stored_key(result: Path) -> str | None:
    """Stage key of a result; None if there is no such file.

    Raises:
        UnusableInputError: something else lies there.
    """
    if not result.exists():
        return None
    found = {".parquet": _table_key, ".html": _page_key, ".mp4": _video_key}[result.suffix](result)
    if found is None:
        raise UnusableInputError(
            f"{result}: expected nothing there, or a result of affectflow analyze, found another file; "
            "move it away, or name another folder with --out"
        )
    return found


def is_finished(clip: Clip, key: str) -> bool:
    """True if all results of a clip are there under `key`."""
    return all(stored_key(result) == key for result in clip.results)


def is_up_to_date(store: Store, clips: Sequence[Clip], settings: FacesSettings, card: ExpressionCard) -> bool:
    """True if an analysis of exactly these clips would leave everything as it is.

    Raises:
        StoreError: the work folder cannot be read.
        UnusableInputError: something else lies where a result goes.
    """
    keys = {stored_key(result) for clip in clips for result in clip.results}
    if None in keys or not store.recordings.exists() or not has_manifest(store, clips):
        return False
    if plan_ingest(corpus_folder(store), store, IngestSettings()).has_work:
        return False
    by_id = {recording.recording_id: recording for recording in read_recordings(store)}
    return all(
        clip.recording_id in by_id
        and is_complete(store, clip.recording_id, frames_key(by_id[clip.recording_id], settings))
        and is_finished(clip, analysis_key(by_id[clip.recording_id], settings, card))
        for clip in clips
    )


def _table_key(path: Path) -> str | None:
    try:
        found = read_provenance(path) or {}
    except StoreError:
        return None
    return found.get("stage_key") if found.get("stage") == STAGE else None


def _page_key(path: Path) -> str | None:
    with path.open("rb") as file:
        return _marked(file.read(_HEAD_BYTES).decode("utf-8", "replace"))


def _video_key(path: Path) -> str | None:
    import av

    try:
        with av.open(str(path)) as container:
            return _marked(container.metadata.get("comment", ""))
    except av.FFmpegError:
        return None


def _marked(text: str) -> str | None:
    _, mark, after = text.partition(KEY_MARK)
    return after[:16] if mark else None
