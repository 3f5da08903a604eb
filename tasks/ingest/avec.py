"""The trees of the AV+EC and AVEC challenges, as their authors distribute them.

    .../train_1.mp4  .../train_1.wav                                 (in any folders)
    ratings_individual/<dimension>/train_1.csv                       `;`, a column for each rater
    ratings_gold_standard/<dimension>/train_1.arff                   Instance_name, frameTime, GoldStandard

The partition stands in a recording's name; a partitions file replaces it. Subject = recording: who is who the tree does
not say. A gold standard may also stand in one file for a partition (`train.arff`), told apart by `Instance_name`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import Problem
from schemas.evaluation import Partition
from tasks.ingest.corpus import (
    CorpusListing,
    CorpusRecording,
    RatingsFile,
    Scale,
    check_recordings,
    printable,
    problem,
    recording_id_of,
)
from tasks.ingest.recola import read_partitions

INDIVIDUAL, GOLD = "ratings_individual", "ratings_gold_standard"
RATINGS_FOLDERS = (INDIVIDUAL, GOLD)

SCALE: Scale = (-1.0, 1.0)

_NAME = re.compile(r"(train|dev|devel|test)_\w+", re.IGNORECASE)
_PARTITION_OF: dict[str, Partition] = {"train": "train", "dev": "dev", "devel": "dev", "test": "test"}
_VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm"})


def is_avec(corpus: Path) -> bool:
    """True if `corpus` holds `ratings_individual` or `ratings_gold_standard`."""
    return any((corpus / name).is_dir() for name in RATINGS_FOLDERS)


def list_avec(corpus: Path, *, dimensions: Sequence[str], partitions: Path | None = None) -> CorpusListing:
    """List a challenge's tree at `corpus`.

    Args:
        corpus: the folder that holds `ratings_individual` or `ratings_gold_standard`.
        dimensions: folders below these, such as `valence`.
        partitions: CSV with the columns subject, partition; replaces what the names say.

    Returns: one recording per video named `train_*`, `dev_*` or `test_*`, sorted. Problems: two videos of one name
        (fatal), a dimension that the tree does not hold (fatal), a video without ratings (warning), ratings without a
        video (that recording failed).
    """
    table, problems = (None, []) if partitions is None else read_partitions(partitions)
    videos, twice = _named(corpus, _VIDEOS)
    problems += twice
    audios, _ = _named(corpus, frozenset({".wav"}))
    individual, gold = _individual(corpus, dimensions), _gold(corpus, dimensions)
    problems += _missing_dimensions(corpus, dimensions)
    recordings: list[CorpusRecording] = []
    for name, video in videos.items():
        recording_id, bad_name = recording_id_of(name, origin=video)
        if recording_id is None:
            problems += [bad_name] if bad_name else []
            continue
        recordings.append(
            CorpusRecording(
                recording_id=recording_id,
                recording_id_original=name,
                subject_id=name,
                partition=_partition(name) if table is None else table.get(name),
                video=video,
                audio=audios.get(name),
                ratings=_files(individual, name, dimensions),
                gold_standards=_files(gold, name, dimensions),
                scale=SCALE,
                origin=video,
            )
        )
    problems += check_recordings(recordings)
    problems += _unmatched(recordings, individual, gold)
    return CorpusListing(
        layout="avec",
        partitions_from="the names of the recordings" if partitions is None else printable(partitions),
        recordings=tuple(recordings),
        problems=tuple(problems),
    )


def _partition(name: str) -> Partition:
    return _PARTITION_OF[name.split("_")[0].lower()]


def _named(corpus: Path, suffixes: frozenset[str]) -> tuple[dict[str, Path], list[Problem]]:
    """Files below `corpus` whose names begin with a partition, by stem; a name found twice is a problem."""
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(corpus.rglob("*")):
        if path.suffix.lower() in suffixes and _NAME.fullmatch(path.stem):
            first = found.setdefault(path.stem, path)
            if first is not path:
                expected = f"one file named {path.stem}, as {printable(first)} is"
                problems.append(problem("fatal", None, path, expected, "another; move one of them out of the corpus"))
    return {name: found[name] for name in sorted(found, key=_natural)}, problems


def _natural(name: str) -> list[tuple[int, str]]:
    """`train_2` before `train_10`."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _individual(corpus: Path, dimensions: Sequence[str]) -> dict[tuple[str, str], Path]:
    """Raters' files by (dimension, name)."""
    return {
        (dimension, path.stem): path
        for dimension in dimensions
        for path in sorted((corpus / INDIVIDUAL / dimension).rglob("*.csv"))
    }


def _gold(corpus: Path, dimensions: Sequence[str]) -> dict[tuple[str, str], Path]:
    """Gold standards by (dimension, name); the name of a file for a whole partition is that partition's."""
    return {
        (dimension, path.stem): path
        for dimension in dimensions
        for path in sorted((corpus / GOLD).rglob("*.arff"))
        if dimension in path.relative_to(corpus).parts
    }


def _files(found: dict[tuple[str, str], Path], name: str, dimensions: Sequence[str]) -> tuple[RatingsFile, ...]:
    files = []
    for dimension in dimensions:
        path = found.get((dimension, name)) or found.get((dimension, name.split("_")[0]))
        if path is not None:
            files.append(RatingsFile(path=path, dimensions=(dimension,), instance=name))
    return tuple(files)


def _missing_dimensions(corpus: Path, dimensions: Sequence[str]) -> list[Problem]:
    known = sorted({path.name for folder in RATINGS_FOLDERS for path in (corpus / folder).glob("*") if path.is_dir()})
    found = f"folders {', '.join(known)}" if known else "no folders"
    return [
        problem("fatal", None, corpus, f"a folder {dimension!r} with its ratings", found)
        for dimension in dimensions
        if dimension not in known
    ]


def _unmatched(
    recordings: Sequence[CorpusRecording],
    individual: dict[tuple[str, str], Path],
    gold: dict[tuple[str, str], Path],
) -> list[Problem]:
    problems = [
        problem("warning", one.recording_id, one.video, "ratings of this recording", "none: predicted, never scored")
        for one in recordings
        if not one.ratings and not one.gold_standards
    ]
    names = {one.recording_id_original for one in recordings}
    told = set()
    for (_, name), path in {**gold, **individual}.items():
        if name not in names and name not in told and _NAME.fullmatch(name):
            told.add(name)
            recording_id, _ = recording_id_of(name, origin=path)
            problems.append(problem("failed", recording_id, path, f"a video {name}.mp4", "ratings without a video"))
    return problems
