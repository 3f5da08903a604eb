"""Analyze one clip whose faces are in the work folder, and say what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.cards import ExpressionCard
from schemas.errors import RecordingError
from schemas.settings import FacesSettings
from tasks.analyze.clips import Clip
from tasks.analyze.content import Analysis, read_analysis
from tasks.analyze.faceless import why_no_face
from tasks.analyze.plan import STAGE, analysis_key, stored_key
from tasks.expression.plan import FinishedModel
from tasks.ingest.checks import broken_off
from tasks.ingest.recordings import Recording
from tasks.ingest.source import check_source
from tasks.report.words import count
from tasks.store.failures import clear_failure, record_failure
from tasks.store.layout import Store
from tasks.training.devices import cpu_threads, resolve_device


@dataclass(frozen=True, kw_only=True)
class ClipSummary:
    """What was found in one clip. Shares are 0 to 1; valence is None where no frame shows a face."""

    clip: str
    table: Path
    report: Path
    video: Path
    num_frames: int
    face_share: float
    expressions: dict[str, float]
    """Share of the frames with a face that each expression is the most probable one in."""
    valence_mean: float | None
    notes: tuple[str, ...]
    """Whether the clip seems cut off; what to do where no frame shows a face."""

    def __str__(self) -> str:
        found = sorted(self.expressions.items(), key=lambda one: -one[1])
        told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found[:3] if share) or "no face"
        return f"{self.clip}: a face in {100 * self.face_share:.1f} % of {count(self.num_frames, 'frame')}; {told}"


def analyze_clip(
    store: Store, recording: Recording, clip: Clip, model: FinishedModel, settings: FacesSettings, *, device: str
) -> ClipSummary:
    """Write what is missing or stale of a clip's table, page and video; a failure is written to the store, then raised.

    Args:
        store: the work folder, with the clip's `frames`.
        recording: the clip's row in it.
        clip: its names.
        model: whose network names the expressions.
        settings: that its faces were found with.
        device: of the network: auto, cpu, cuda, cuda:N.

    Raises:
        RecordingError: the clip is gone or changed, or cannot be decoded again.
        StoreError: a folder cannot be read or written.
    """
    key = analysis_key(recording, settings, model.card)
    try:
        check_source(recording)
        _write_results(store, recording, clip, model, key, device)
    except RecordingError as error:
        record_failure(store, STAGE, recording.recording_id, error, recording.path)
        raise
    clear_failure(store, STAGE, recording.recording_id)
    return summary_of(store, clip, recording, model.card)


def _write_results(store: Store, recording: Recording, clip: Clip, model: FinishedModel, key: str, device: str) -> None:
    card = model.card
    if stored_key(clip.table) != key:
        from tasks.analyze.expressions import write_expressions
        from tasks.expression.networks import load_expression

        where, (network, _) = resolve_device(device), load_expression(model.folder)
        with cpu_threads(0):
            write_expressions(store, recording, clip.table, network=network, card=card, device=where, key=key)
    if stored_key(clip.report) != key:
        from tasks.analyze.report import write_report

        write_report(store, recording, clip, card)
    if stored_key(clip.video) != key:
        from tasks.analyze.drawn import write_video

        write_video(store, recording, clip, read_analysis(clip.table, card.classes), card=card)


def summary_of(store: Store, clip: Clip, recording: Recording, card: ExpressionCard) -> ClipSummary:
    """What a clip's table says in a few figures. Raises StoreError if there is none."""
    found: Analysis = read_analysis(clip.table, card.classes)
    known = found.valence[found.valid]
    return ClipSummary(
        clip=clip.name,
        table=clip.table,
        report=clip.report,
        video=clip.video,
        num_frames=found.num_frames,
        face_share=found.num_faces / max(found.num_frames, 1),
        expressions=found.shares,
        valence_mean=float(np.mean(known)) if known.size else None,
        notes=(*map(str, broken_off(store, recording)), *([] if found.num_faces else [str(why_no_face(recording))])),
    )
