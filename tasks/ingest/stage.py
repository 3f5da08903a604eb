"""Ingestion: a corpus becomes `recordings.parquet` and, per recording, an index, ratings and log-mel energies."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.errors import AudioError, CorpusError, ProbeError, Problem, RatingsError, RecordingError
from schemas.settings import IngestSettings
from tasks.ingest.audio import (
    AudioInfo,
    AudioTrack,
    audio_key,
    has_audio,
    read_audio_info,
    restamp_audio,
    write_audio,
)
from tasks.ingest.checks import DECLARED, cross_checks
from tasks.ingest.corpus import problem
from tasks.ingest.media import DECODER_VERSION, hash_file
from tasks.ingest.plan import IngestPlan, RecordingPlan, Source, plan_ingest
from tasks.ingest.probe import Limits, VideoProbe, probe_video
from tasks.ingest.rated import read_files, write_gold_standards, write_ratings
from tasks.ingest.recordings import STAGE_VERSION, Recording, recording_key, recordings_table
from tasks.ingest.source import check_source
from tasks.progress import track
from tasks.store.failures import clear_failure, record_failure
from tasks.store.layout import Store
from tasks.store.parts import Provenance, is_current, read_provenance, remove, stage_key, write_part

_logger = logging.getLogger(__name__)

STAGE = "ingest"


@dataclass(frozen=True, kw_only=True)
class IngestSummary:
    """What one run of ingestion did: `recordings` = `ingested` + `unchanged` are in the store now, `failed` are not."""

    recordings: int
    ingested: int
    unchanged: int
    failed: int
    problems: tuple[Problem, ...]
    seconds: float


def ingest_corpus(corpus: Path, store: Store, settings: IngestSettings) -> IngestSummary:
    """Bring a store up to date with a corpus. The caller holds the store's lock.

    Everything is validated first: the listing, every new or changed file of ratings, every new or changed video. Then
    each recording's parts are written, and `recordings.parquet` last. What has not changed is left alone. A recording
    that fails is left out of `recordings.parquet`, stands in the store's failures until it succeeds, and costs no
    other. Audio that cannot be decoded is a warning: its recording goes on without.

    Args:
        corpus: RECOLA's or AVEC's folder, or one with a `manifest.csv`.
        store: written to; made if need be.
        settings: a relative `manifest` or `partitions` counts from the working directory.

    Raises:
        CorpusError: the corpus contradicts itself; `problems` holds the whole table, and nothing has been written.
        StoreError: the store cannot be read or written. What was written until then is used by the next run.
    """
    started = time.monotonic()
    plan = plan_ingest(corpus, store, settings)
    problems = list(plan.problems)
    failures: dict[str, RecordingError] = {}
    for recording_id in sorted(plan.failed):
        found = [one for one in plan.problems if one.recording_id == recording_id and one.severity == "failed"]
        failures[recording_id] = RecordingError("\n".join(str(one) for one in found))
    _check_ratings(plan, problems, failures)
    if plan.is_fatal:
        raise CorpusError(_fatal_message(corpus, problems), problems)
    probes = _probe_videos(plan, settings, problems, failures)
    _log(problems)
    rows = _ingest_recordings(plan, probes, store, settings, problems, failures)
    across = cross_checks(store, rows)
    _log(across)
    problems += across
    _write_recordings(rows, plan, store, settings)
    for recording_id, error in failures.items():
        record_failure(store, STAGE, recording_id, error, _path_of(plan, recording_id))
    for recording_id in (*plan.forgotten, *(row.recording_id for row in rows)):
        clear_failure(store, STAGE, recording_id)
    redone = [one.listed.recording_id for one in plan.recordings if one.is_redone]
    ingested = len(set(redone) - set(failures))
    return IngestSummary(
        recordings=len(rows),
        ingested=ingested,
        unchanged=len(rows) - ingested,
        failed=len(failures),
        problems=tuple(problems),
        seconds=time.monotonic() - started,
    )


def _log(problems: Sequence[Problem]) -> None:
    for told in problems:
        _logger.warning("%s: %s", told.severity, told)


def _fatal_message(corpus: Path, problems: Sequence[Problem]) -> str:
    fatal = [found for found in problems if found.severity == "fatal"]
    lines = "\n".join(f"  {found}" for found in fatal[:20])
    more = f"\n  and {len(fatal) - 20} more" if len(fatal) > 20 else ""
    return f"{corpus}: the corpus contradicts itself in {len(fatal)} places; correct them and run again\n{lines}{more}"


def _check_ratings(plan: IngestPlan, problems: list[Problem], failures: dict[str, RecordingError]) -> None:
    for one in plan.recordings:
        name = one.listed.recording_id
        for source, is_redone, is_gold in (
            (one.ratings_source, one.ratings == "redo", False),
            (one.gold_source, one.gold == "redo", True),
        ):
            if is_redone:
                try:
                    read_files(source, scale=one.listed.scale, recording_id=name, is_gold=is_gold)
                except RatingsError as error:
                    problems += error.problems
                    failures.setdefault(name, error)


def _probe_videos(
    plan: IngestPlan, settings: IngestSettings, problems: list[Problem], failures: dict[str, RecordingError]
) -> dict[str, VideoProbe]:
    probes: dict[str, VideoProbe] = {}
    limits = Limits(max_pixels=settings.max_pixels, max_frames=settings.max_frames)
    todo = [one for one in plan.recordings if one.video == "redo"]
    with track("probe", len(todo), "videos") as bar:
        for one in todo:
            name, path = one.listed.recording_id, one.source.path
            try:
                probes[name] = probe_video(path, declared_frame_rate=settings.declared_frame_rate, limits=limits)
            except ProbeError as error:
                problems.append(_problem_of(error, name, path))
                failures.setdefault(name, error)
            else:
                if probes[name].is_mirrored:
                    found = "one whose metadata mirrors it; the mirroring is ignored"
                    problems.append(problem("warning", name, path, "a picture that is turned at most", found))
            bar.advance()
    return probes


def _problem_of(error: RecordingError, recording_id: str, path: Path) -> Problem:
    """The table's row of an error whose message reads `path: expected ..., found ...`."""
    text = str(error).removeprefix(f"{path}: ").removeprefix("expected ")
    expected, _, found = text.partition(", found ")
    return problem("failed", recording_id, path, expected, found or type(error).__name__)


def _ingest_recordings(
    plan: IngestPlan,
    probes: dict[str, VideoProbe],
    store: Store,
    settings: IngestSettings,
    problems: list[Problem],
    failures: dict[str, RecordingError],
) -> list[Recording]:
    rows = []
    todo = sum(one.has_work and one.listed.recording_id not in failures for one in plan.recordings)
    with track("ingest", todo, "recordings") as bar:
        for one in plan.recordings:
            name = one.listed.recording_id
            if name in failures:
                continue
            try:
                row = _video(one, probes.get(name), store)
                write_ratings(one, store)
                write_gold_standards(one, store)
                row = _audio(one, row, store, problems)
                if one.video == "redo":
                    check_source(row)  # what was probed, hashed and heard is one file
                rows.append(row)
            except RecordingError as error:
                problems.append(_problem_of(error, name, one.source.path))
                failures[name] = error
            if one.has_work:
                bar.advance(note=name)
    return rows


def _video(plan: RecordingPlan, probe: VideoProbe | None, store: Store) -> Recording:
    """The recording's row, without audio where the video is new; writes the index of a new video."""
    if probe is None:
        if plan.row is None:
            raise ProbeError(f"{plan.source.path}: expected a video that was probed, found none; run again")
        return plan.described(plan.row)
    listed, source = plan.listed, plan.source
    row = Recording(
        recording_id=listed.recording_id,
        recording_id_original=listed.recording_id_original,
        subject_id=listed.subject_id,
        path=str(source.path),
        partition=listed.partition,
        sha256=source.sha256 or _hashed(source.path),
        bytes=source.bytes,
        modified_ns=source.modified_ns,
        duration_seconds=probe.end_seconds,
        width=probe.width,
        height=probe.height,
        rotation=probe.rotation,
        pixel_aspect=probe.pixel_aspect,
        colour_matrix=probe.colour_matrix,
        num_frames=probe.num_frames,
        frame_rate_nominal=probe.frame_rate_nominal,
        video_start_seconds=float(probe.time_seconds[0]),
        time_source=probe.time_source,
        audio_path=None,
        audio_codec=None,
        audio_sample_rate=None,
        audio_channels=None,
        audio_start_seconds=None,
        audio_duration_seconds=None,
    )
    provenance = _provenance(STAGE, recording_key(row), replace(source, sha256=row.sha256))
    if probe.declared_seconds is not None:
        provenance = replace(provenance, extra={**(provenance.extra or {}), DECLARED: str(probe.declared_seconds)})
    write_part(store.index(row.recording_id), probe.index_table(row.recording_id), provenance)
    return row


def _hashed(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError as error:
        raise ProbeError(f"{path}: expected a file that can be read, found {error.strerror}; run again") from error


def _provenance(stage: str, key: str, source: Source) -> Provenance:
    return Provenance(
        stage=stage,
        stage_key=key,
        source_sha256=source.sha256,
        decoder_version=DECODER_VERSION,
        extra=source.as_extra(),
    )


def _audio(plan: RecordingPlan, row: Recording, store: Store, problems: list[Problem]) -> Recording:
    """`row` with its audio, whose part is brought up to date; without, and a warning, where it cannot be decoded."""
    part = store.audio(row.recording_id)
    if plan.audio == "remove":
        remove(part)
        return _with_audio(row, None, None)
    if plan.audio == "keep" and plan.video == "keep":
        return row
    separate = plan.audio_source
    source = separate or replace(plan.source, sha256=row.sha256)
    key = audio_key(source.sha256 or "", is_separate=separate is not None)
    provenance = _provenance("audio", key, source)
    try:
        if is_current(part, key):
            if plan.audio == "stamp":
                restamp_audio(part, provenance)
            return _with_audio(row, source.path, read_audio_info(part))
        if separate is None and not has_audio(source.path):
            remove(part)
            return _with_audio(row, None, None)
        track_ = AudioTrack(source.path, is_separate=separate is not None)
        return _with_audio(row, source.path, write_audio(track_, part, row.recording_id, provenance))
    except AudioError as error:
        remove(part)
        problems.append(replace(_problem_of(error, row.recording_id, source.path), severity="warning"))
        return _with_audio(row, source.path, None)


def _with_audio(row: Recording, path: Path | None, info: AudioInfo | None) -> Recording:
    return replace(
        row,
        audio_path=None if path is None else str(path),
        audio_codec=info.codec if info else None,
        audio_sample_rate=info.sample_rate if info else None,
        audio_channels=info.channels if info else None,
        audio_start_seconds=info.start_seconds if info else None,
        audio_duration_seconds=info.duration_seconds if info else None,
    )


def _write_recordings(rows: Sequence[Recording], plan: IngestPlan, store: Store, settings: IngestSettings) -> None:
    key = stage_key(STAGE, STAGE_VERSION, {"dimension": settings.dimension}, [recording_key(row) for row in rows])
    extra = {
        "layout": plan.listing.layout,
        "partitions_from": plan.listing.partitions_from,
        "corpus_note": plan.listing.note,
    }
    provenance = Provenance(stage=STAGE, stage_key=key, decoder_version=DECODER_VERSION, extra=extra)
    found = read_provenance(store.recordings)
    if found is not None and tuple(rows) == plan.rows and {**extra, "stage_key": key}.items() <= found.items():
        return
    write_part(store.recordings, recordings_table(rows), provenance)


def _path_of(plan: IngestPlan, recording_id: str) -> str | None:
    for found in plan.problems:
        if found.recording_id == recording_id and found.severity == "failed":
            return found.path
    return next((str(one.source.path) for one in plan.recordings if one.listed.recording_id == recording_id), None)
