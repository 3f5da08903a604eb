"""RECOLA's tree, as its authors distribute it.

    RECOLA-Video-recordings/P16.mp4
    RECOLA-Audio-recordings/P16.wav                                     (may be absent)
    RECOLA-Annotation/emotional_behaviour/<dimension>/P16.csv           (may be absent)

Subject = recording. The tree names no partitions, so the split of the 46 participants that the field commonly uses is
built in; a partitions file replaces it.
"""

from __future__ import annotations

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
    parse_partition,
    printable,
    problem,
    read_rows,
    recording_id_of,
)

VIDEO_FOLDER = "RECOLA-Video-recordings"
AUDIO_FOLDER = "RECOLA-Audio-recordings"
ANNOTATION_FOLDER = "RECOLA-Annotation"

SCALE: Scale = (-1.0, 1.0)

BUILT_IN = "the built-in RECOLA table"

_SUBJECTS: dict[Partition, tuple[int, ...]] = {
    "train": (15, 16, 17, 18, 21, 23, 25, 37, 39, 41, 46, 50, 51, 55, 56, 60),
    "dev": (14, 19, 24, 26, 28, 30, 34, 40, 42, 43, 44, 45, 52, 64, 65),
    "test": (13, 20, 22, 32, 38, 47, 48, 49, 53, 54, 57, 58, 59, 62, 63),
}

PARTITION_OF: dict[str, Partition] = {
    f"P{number}": partition for partition, numbers in _SUBJECTS.items() for number in numbers
}
"""The commonly used split of RECOLA's 46 participants by subject, 16 train, 15 dev, 15 test."""


def is_recola(corpus: Path) -> bool:
    """True if `corpus` is RECOLA's tree: it holds `RECOLA-Video-recordings`."""
    return (corpus / VIDEO_FOLDER).is_dir()


def list_recola(corpus: Path, *, dimensions: Sequence[str], partitions: Path | None = None) -> CorpusListing:
    """List RECOLA's tree at `corpus`.

    Args:
        corpus: the folder that holds `RECOLA-Video-recordings`.
        dimensions: folders below `emotional_behaviour`, such as `valence`.
        partitions: CSV with the columns subject, partition; replaces the built-in table.

    Returns: one recording per video, sorted by name. Problems: a subject in no table (warning, its partition is
        null), a video without ratings (warning), ratings without a video (that recording failed), a dimension that
        the tree does not hold (fatal).
    """
    problems: list[Problem] = []
    table: dict[str, Partition] = PARTITION_OF
    partitions_from = BUILT_IN
    if partitions is not None:
        table, problems = read_partitions(partitions)
        partitions_from = printable(partitions)
    videos, ignored = _files(corpus / VIDEO_FOLDER, ".mp4")
    audios, _ = _files(corpus / AUDIO_FOLDER, ".wav")
    ratings: dict[str, list[RatingsFile]] = {}
    for dimension in dimensions:
        found, dimension_problems = _ratings(corpus, dimension)
        problems += dimension_problems
        for name, path in found.items():
            ratings.setdefault(name, []).append(RatingsFile(path=path, dimensions=(dimension,), instance=name))
    problems += [
        problem("warning", None, path, f"only .mp4 videos in {VIDEO_FOLDER}", "another file; ignored")
        for path in ignored
    ]
    recordings: list[CorpusRecording] = []
    for name, video in videos.items():
        recording_id, bad_name = recording_id_of(name, origin=video)
        if recording_id is None or bad_name is not None:
            problems += [bad_name] if bad_name else []
            continue
        recordings.append(
            CorpusRecording(
                recording_id=recording_id,
                recording_id_original=name,
                subject_id=name,
                partition=table.get(name),
                video=video,
                audio=audios.get(name),
                ratings=tuple(ratings.get(name, ())),
                scale=SCALE,
                origin=video,
            )
        )
    problems += check_recordings(recordings)
    problems += _missing_parts(recordings, ratings, dimensions, partitions_from)
    strangers = sorted(set(table) - set(videos)) if partitions is not None else []
    if partitions is not None and strangers:
        expected = f"subjects that have a video in {VIDEO_FOLDER}, named as there"
        problems.append(problem("warning", None, partitions, expected, f"no video of {', '.join(strangers)}"))
    return CorpusListing(
        layout="recola", partitions_from=partitions_from, recordings=tuple(recordings), problems=tuple(problems)
    )


def read_partitions(path: Path) -> tuple[dict[str, Partition], list[Problem]]:
    """Read a partitions file: a CSV with the columns subject and partition; an empty partition means none.

    Returns: partition by subject, and the problems: anything unreadable, an unknown partition, a subject twice (fatal).
    """
    rows, problems = read_rows(path, required=("subject", "partition"))
    lines: dict[str, int] = {}
    table: dict[str, Partition] = {}
    for row in rows:
        subject, text = row.cells["subject"], row.cells["partition"]
        if not subject:
            problems.append(problem("fatal", None, path, "a subject", "an empty cell", line=row.line))
            continue
        if subject in lines:
            found = f"{subject!r} again; first in line {lines[subject]}"
            problems.append(problem("fatal", None, path, "every subject once", found, line=row.line))
            continue
        lines[subject] = row.line
        partition, bad = parse_partition(text, origin=path, line=row.line)
        if bad is not None:
            problems.append(bad)
        if partition is not None:
            table[subject] = partition
    return table, problems


def _ratings(corpus: Path, dimension: str) -> tuple[dict[str, Path], list[Problem]]:
    behaviour = corpus / ANNOTATION_FOLDER / "emotional_behaviour"
    if not (corpus / ANNOTATION_FOLDER).is_dir():
        return {}, []
    known = sorted(path.name for path in behaviour.iterdir() if path.is_dir()) if behaviour.is_dir() else []
    if dimension not in known:
        expected = f"a folder {dimension!r} with its ratings (or another dimension in [ingest])"
        found = f"folders {', '.join(known)}" if known else "no folders"
        return {}, [problem("fatal", None, behaviour, expected, found)]
    found_files, ignored = _files(behaviour / dimension, ".csv")
    return found_files, [
        problem("warning", None, path, "only .csv files with ratings", "another file; ignored") for path in ignored
    ]


def _missing_parts(
    recordings: list[CorpusRecording],
    ratings: dict[str, list[RatingsFile]],
    dimensions: Sequence[str],
    partitions_from: str,
) -> list[Problem]:
    problems = []
    for recording in recordings:
        name = recording.recording_id
        if recording.partition is None:
            expected = f"subject {recording.subject_id!r} in {partitions_from}"
            problems.append(problem("warning", name, recording.video, expected, "none: predicted, never scored"))
        rated = {dimension for file in recording.ratings for dimension in file.dimensions}
        for dimension in dimensions:
            if dimension not in rated:
                found = "none: predicted, never scored"
                problems.append(problem("warning", name, recording.video, f"a CSV with ratings of {dimension}", found))
    with_video = {recording.recording_id_original for recording in recordings}
    for name, files in ratings.items():
        if name not in with_video:
            path = files[0].path
            recording_id, bad_name = recording_id_of(name, origin=path)
            problems += [bad_name] if bad_name else []
            if recording_id is not None:
                expected = f"the video {VIDEO_FOLDER}/{name}.mp4"
                problems.append(problem("failed", recording_id, path, expected, "ratings without a video"))
    return problems


def _files(folder: Path, suffix: str) -> tuple[dict[str, Path], list[Path]]:
    """Files of `folder` with `suffix` (any case) by stem, sorted; and the others. Hidden files are nobody's."""
    if not folder.is_dir():
        return {}, []
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    matching = [path for path in paths if path.suffix.lower() == suffix]
    return {path.stem: path for path in matching}, [path for path in paths if path.suffix.lower() != suffix]
