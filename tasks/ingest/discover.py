"""Which layout a corpus has."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from schemas.errors import CorpusError, few
from schemas.settings import IngestSettings
from tasks.ingest.avec import RATINGS_FOLDERS, is_avec, list_avec
from tasks.ingest.corpus import CorpusListing, printable, problem
from tasks.ingest.manifest import NAME, list_manifest
from tasks.ingest.recola import VIDEO_FOLDER, is_recola, list_recola

SYNTHETIC_MARK = "SYNTHETIC.txt"
"""A file of this name at the root of a corpus says that it is synthetic; its first line stands in every report."""


def list_corpus(corpus: Path, settings: IngestSettings) -> CorpusListing:
    """List the corpus in the folder `corpus`: by `settings.manifest`, its own `manifest.csv`, or as RECOLA's or AVEC's
    tree.

    Raises:
        CorpusError: no such folder, or it holds none of these.
    """
    if not corpus.is_dir():
        found = "a file" if corpus.exists() else "nothing"
        stop = problem("fatal", None, corpus, "the folder of a corpus", found)
        raise CorpusError(str(stop), [stop])
    return dataclasses.replace(_listed(corpus, settings), note=_note(corpus))


def _note(corpus: Path) -> str:
    mark = corpus / SYNTHETIC_MARK
    if not mark.is_file():
        return ""
    first = mark.read_text(encoding="utf-8", errors="replace").strip().partition("\n")[0].strip()
    return first if "synthetic" in first.lower() else f"Synthetic corpus. {first}".strip()


def _listed(corpus: Path, settings: IngestSettings) -> CorpusListing:
    own = corpus / NAME
    manifest = settings.manifest or (own if own.is_file() else None)
    if manifest is not None:
        return _checked(_with_manifest(corpus, manifest, settings))
    if is_recola(corpus):
        listing = list_recola(corpus, dimensions=settings.dimensions, partitions=settings.partitions)
        return _checked(listing, corpus / VIDEO_FOLDER, "at least one .mp4 video")
    if is_avec(corpus):
        listing = list_avec(corpus, dimensions=settings.dimensions, partitions=settings.partitions)
        return _checked(listing, corpus, "at least one video named train_*, dev_* or test_*")
    inside = sorted(printable(Path(path.name)) for path in corpus.iterdir())
    found = f"none of them, but {few(inside)}" if inside else "an empty folder"
    expected = (
        f"RECOLA's tree (a folder {VIDEO_FOLDER}), AVEC's ({' or '.join(RATINGS_FOLDERS)}) or a {NAME}; or name "
        "one with --manifest"
    )
    stop = problem("fatal", None, corpus, expected, found)
    raise CorpusError(str(stop), [stop])


def _with_manifest(corpus: Path, manifest: Path, settings: IngestSettings) -> CorpusListing:
    listing = list_manifest(manifest, dimensions=settings.dimensions)
    extra = []
    if settings.partitions is not None:
        expected = "partitions in the manifest's own column; leave out --partitions"
        extra.append(
            problem("fatal", None, settings.partitions, expected, f"the manifest {printable(manifest)} as well")
        )
    if settings.manifest is None and is_recola(corpus):
        extra.append(problem("warning", None, corpus, f"RECOLA's tree or a {NAME}", f"both; {NAME} is followed"))
    return dataclasses.replace(listing, problems=(*listing.problems, *extra))


def _checked(listing: CorpusListing, videos: Path | None = None, expected: str = "") -> CorpusListing:
    """The listing, without a video in the folder `videos` a fatal problem, and with paths that are no UTF-8 told."""
    problems = list(listing.problems)
    if videos is not None and not listing.recordings:
        problems.append(problem("fatal", None, videos, expected, "none"))
    for recording in listing.recordings:
        rated = (file.path for file in (*recording.ratings, *recording.gold_standards))
        for path in (recording.video, recording.audio, *rated):
            if path is not None and printable(path) != str(path):
                expected = "a path in UTF-8; rename the file"
                problems.append(problem("failed", recording.recording_id, path, expected, "other bytes"))
    return dataclasses.replace(listing, problems=tuple(problems))
