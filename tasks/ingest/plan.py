"""What ingestion has to do, from disk alone: nothing is decoded; only a file whose size or time changed is hashed."""

from __future__ import annotations

import dataclasses
import errno
import json
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from schemas.errors import Problem
from schemas.settings import IngestSettings
from tasks.ingest.audio import audio_key
from tasks.ingest.corpus import CorpusListing, CorpusRecording, RatingsFile, Scale, problem
from tasks.ingest.discover import list_corpus
from tasks.ingest.media import hash_file
from tasks.ingest.recordings import STAGE_VERSION, Recording, read_recordings, recording_key
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.parts import is_current, read_provenance, stage_key

__all__ = ["RATINGS_VERSION", "STAGE_VERSION", "IngestPlan", "RatingsSource", "RecordingPlan", "Source", "plan_ingest"]

RATINGS_VERSION = 4
"""Raise when the table of ratings, or what its part says of it, changes for the same file."""

Work = Literal["keep", "stamp", "redo", "remove"]


@dataclass(frozen=True)
class Source:
    """A file as it was when the plan was made; `sha256` is None where it has yet to be hashed."""

    path: Path
    bytes: int
    modified_ns: int
    sha256: str | None = None

    def as_extra(self) -> dict[str, str]:
        """For a part's provenance."""
        return {
            "source_path": str(self.path),
            "source_bytes": str(self.bytes),
            "source_modified_ns": str(self.modified_ns),
        }


@dataclass(frozen=True)
class RatingsSource:
    """The files that a part of ratings is made of, as they were when the plan was made; none: the corpus has none."""

    files: tuple[RatingsFile, ...]
    sources: tuple[Source, ...]

    @property
    def sha256(self) -> str:
        """One hash of all: the file's own where there is one."""
        return "+".join(source.sha256 or "" for source in self.sources)

    def as_extra(self) -> dict[str, str]:
        """For a part's provenance: the first file as elsewhere, and all of them."""
        every = [[str(source.path), source.bytes, source.modified_ns, source.sha256] for source in self.sources]
        return {**self.sources[0].as_extra(), "sources": json.dumps(every)}


@dataclass(frozen=True, kw_only=True)
class RecordingPlan:
    """What to do for one recording.

    `row` is its row so far, None if it is new. `video` covers the index and everything read of the container. `stamp`:
    the bytes are the same, only name or time of the file changed; `remove`: the corpus no longer has it.
    """

    listed: CorpusRecording
    row: Recording | None
    source: Source
    ratings_source: RatingsSource
    gold_source: RatingsSource
    audio_source: Source | None
    video: Work
    ratings: Work
    gold: Work
    audio: Work

    @property
    def has_work(self) -> bool:
        """True if a part of this recording will be written or removed."""
        return {self.video, self.ratings, self.gold, self.audio} != {"keep"}

    @property
    def is_redone(self) -> bool:
        """True if what a part of this recording says may change."""
        return bool({self.video, self.ratings, self.gold, self.audio} & {"redo", "remove"})

    def described(self, row: Recording) -> Recording:
        """`row` with the subject, the partition and the file's name and time as they are now."""
        return dataclasses.replace(
            row,
            recording_id_original=self.listed.recording_id_original,
            subject_id=self.listed.subject_id,
            partition=self.listed.partition,
            path=str(self.source.path),
            bytes=self.source.bytes,
            modified_ns=self.source.modified_ns,
        )


@dataclass(frozen=True, kw_only=True)
class IngestPlan:
    """Everything ingestion would do now.

    `recordings` are those that can be ingested, sorted by id; those in `failed` have a `failed` problem already.
    `vanished` are ids of the store that the corpus no longer names, `forgotten` failures of recordings that are gone.
    `rows` are the recordings of the store as it is.
    """

    listing: CorpusListing
    recordings: tuple[RecordingPlan, ...]
    problems: tuple[Problem, ...]
    failed: frozenset[str]
    vanished: tuple[str, ...]
    forgotten: tuple[str, ...]
    rows: tuple[Recording, ...] = field(repr=False)

    @property
    def is_fatal(self) -> bool:
        """True if a problem stops the whole command."""
        return any(found.severity == "fatal" for found in self.problems)

    @property
    def has_work(self) -> bool:
        """True unless `ingest_corpus` would leave everything as it is. A recording that failed is tried again."""
        if self.is_fatal or self.vanished or self.forgotten or any(plan.has_work for plan in self.recordings):
            return True
        return [plan.row and plan.described(plan.row) for plan in self.recordings] != list(self.rows)


def plan_ingest(corpus: Path, store: Store, settings: IngestSettings) -> IngestPlan:
    """Compare a corpus with a store; 27 unchanged recordings take about 50 ms.

    Raises:
        CorpusError: `corpus` is no folder, or neither RECOLA's tree nor AVEC's nor described by a manifest.
        StoreError, SchemaVersionError: the store cannot be read.
    """
    listing = list_corpus(corpus, settings)
    rows = tuple(read_recordings(store)) if store.recordings.exists() else ()
    by_id = {row.recording_id: row for row in rows}
    problems = list(listing.problems)
    failed = {found.recording_id for found in problems if found.severity == "failed" and found.recording_id}
    plans = []
    for listed in sorted(listing.recordings, key=lambda recording: recording.recording_id):
        if listed.recording_id in failed:
            continue
        try:
            plans.append(_plan(listed, by_id.get(listed.recording_id), store, settings))
        except OSError as error:
            path = Path(error.filename) if error.filename else listed.video
            found = error.strerror or str(error)
            problems.append(problem("failed", listed.recording_id, path, "a file that can be read", found))
            failed.add(listed.recording_id)
    named = {listed.recording_id for listed in listing.recordings} | failed
    vanished = tuple(row.recording_id for row in rows if row.recording_id not in named)
    problems += [
        problem(
            "warning", name, Path(by_id[name].path), "a recording of the corpus", "it left; its parts stay in the store"
        )
        for name in vanished
    ]
    told = {row["recording_id"] for row in read_failures(store).to_pylist() if row["stage"] == "ingest"}
    return IngestPlan(
        listing=listing,
        recordings=tuple(plans),
        problems=tuple(problems),
        failed=frozenset(failed),
        vanished=vanished,
        forgotten=tuple(sorted(told - named)),
        rows=rows,
    )


def ratings_stage_key(source: RatingsSource, *, scale: Scale) -> str:
    """Stage key of a recording's ratings or gold standards: their files' content, and how these are read."""
    settings = {"files": [file.keyed() for file in source.files], "scale": list(scale)}
    return stage_key("ratings", RATINGS_VERSION, settings, [one.sha256 or "" for one in source.sources])


def _plan(listed: CorpusRecording, row: Recording | None, store: Store, settings: IngestSettings) -> RecordingPlan:
    source = _source(listed.video)
    if row is not None and source.bytes == row.bytes:
        unchanged = str(source.path) == row.path and source.modified_ns == row.modified_ns
        source = dataclasses.replace(source, sha256=row.sha256 if unchanged else hash_file(source.path))
    video = _video_work(row, source, store, settings)
    ratings_source, ratings = _ratings_work(listed.ratings, listed.scale, store.ratings(listed.recording_id))
    gold_part = store.gold_standards(listed.recording_id)
    gold_source, gold = _ratings_work(listed.gold_standards, listed.scale, gold_part)
    audio_source, audio = _audio_work(listed, row if video == "keep" else None, store)
    return RecordingPlan(
        listed=listed,
        row=row,
        source=source,
        ratings_source=ratings_source,
        gold_source=gold_source,
        audio_source=audio_source,
        video=video,
        ratings=ratings,
        gold=gold,
        audio=audio,
    )


def _video_work(row: Recording | None, source: Source, store: Store, settings: IngestSettings) -> Work:
    if row is None or row.sha256 != source.sha256:
        return "redo"
    if row.time_source == "declared_rate" and row.frame_rate_nominal != settings.declared_frame_rate:
        return "redo"
    return "keep" if is_current(store.index(row.recording_id), recording_key(row)) else "redo"


def _ratings_work(files: tuple[RatingsFile, ...], scale: Scale, part: Path) -> tuple[RatingsSource, Work]:
    if not files:
        return RatingsSource((), ()), "remove" if part.exists() else "keep"
    remembered = json.loads((read_provenance(part) or {}).get("sources", "[]"))
    sources, works = zip(*(_recalled(_source(file.path), remembered) for file in files), strict=True)
    source = RatingsSource(files, sources)
    work: Work = "stamp" if "stamp" in works else "keep"
    return source, work if is_current(part, ratings_stage_key(source, scale=scale)) else "redo"


def _recalled(source: Source, remembered: list[list[Any]]) -> tuple[Source, Work]:
    """A source with its hash, the one remembered where path, size and time are the same."""
    for path, size, modified_ns, sha256 in remembered:
        if (path, size, modified_ns) == (str(source.path), source.bytes, source.modified_ns):
            return dataclasses.replace(source, sha256=sha256), "keep"
    return dataclasses.replace(source, sha256=hash_file(source.path)), "stamp"


def _audio_work(listed: CorpusRecording, row: Recording | None, store: Store) -> tuple[Source | None, Work]:
    """`row` is None where the video is new: then the container is asked once it is open."""
    part = store.audio(listed.recording_id)
    if listed.audio is not None:
        source, work = _compared(_source(listed.audio), part)
        current = is_current(part, audio_key(source.sha256 or "", is_separate=True))
        named = row is None or row.audio_path == str(source.path)
        return source, work if current and named else "redo"
    if row is None:
        return None, "redo"
    if row.audio_path is None:
        return None, "remove" if part.exists() else "keep"
    return None, "keep" if is_current(part, audio_key(row.sha256, is_separate=False)) else "redo"


def _source(path: Path) -> Source:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # reading a pipe would wait for ever
        raise OSError(errno.EINVAL, "a folder, pipe or device", str(path))
    return Source(path.absolute(), found.st_size, found.st_mtime_ns)


def _compared(source: Source, part: Path) -> tuple[Source, Work]:
    """A source with its hash: the one its part remembers where size, time and name are the same, else a new one."""
    found = read_provenance(part) or {}
    if source.as_extra().items() <= found.items():
        return dataclasses.replace(source, sha256=found.get("source_sha256")), "keep"
    return dataclasses.replace(source, sha256=hash_file(source.path)), "stamp"
