"""Warnings that need more than one file: sound against picture, ratings against video, recordings against each other.

They are computed from what the store holds, so that they come back on every run, not only when a file is new.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import Problem, few
from tasks.ingest.corpus import problem
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import read_provenance

AUDIO_TOLERANCE_SECONDS = 0.04
_RATINGS_TOLERANCE_SECONDS = 1.0
_CUT_TOLERANCE_SECONDS = 1.0
DECLARED = "declared_seconds"
"""Where the index of a video keeps how long its container says that it is."""
_ROUNDING = 1e-6


def cross_checks(store: Store, recordings: Sequence[Recording]) -> list[Problem]:
    """Warnings about recordings that are ingested.

    A video that ends over 1 s before its header says; audio that starts, or lasts, over 40 ms off the video; ratings
    that begin over 1 s before the video or go on over 1 s after its end; ratings that were resampled; files of ratings
    without the main dimension; raters that most recordings have and one lacks; a gold standard without raters; one file
    under two subjects or in two partitions.
    """
    problems = [found for recording in recordings for found in (*broken_off(store, recording), *_audio(recording))]
    ratings = {
        recording.recording_id: read_provenance(store.ratings(recording.recording_id)) for recording in recordings
    }
    for recording in recordings:
        provenance = ratings[recording.recording_id]
        if provenance is not None:
            problems += _ratings_range(recording, provenance) + _resampling(recording, provenance)
            problems += _lacking(recording, provenance)
    raters = {
        name: (Path(provenance["source_path"]), tuple(sorted(json.loads(provenance["raters"]))))
        for name, provenance in ratings.items()
        if provenance is not None
    }
    return [*problems, *_raters(raters), *_gold_alone(store, recordings, ratings), *_copies(recordings)]


def _gold_alone(
    store: Store, recordings: Sequence[Recording], ratings: dict[str, dict[str, str] | None]
) -> list[Problem]:
    """One warning for all recordings that have a gold standard and no raters: AVEC's test partition has a dozen."""
    names = [
        one.recording_id
        for one in recordings
        if ratings[one.recording_id] is None and store.gold_standards(one.recording_id).exists()
    ]
    if not names:
        return []
    part = store.gold_standards(names[0])
    path = Path((read_provenance(part) or {}).get("source_path", str(part)))
    expected = "raters beside the corpus's gold standard, to train on and to compare"
    found = f'none in {few(names)}: scored by a protocol with gold = ["corpus"], otherwise only predicted'
    return [problem("warning", names[0] if len(names) == 1 else None, path, expected, found)]


def broken_off(store: Store, recording: Recording) -> list[Problem]:
    """A warning where a video ends over 1 s before its header says.

    A copy that broke off plays well up to its end in Matroska, FLV and often AVI; only the header knows of the rest.
    MPEG's streams have none.
    """
    declared = (read_provenance(store.index(recording.recording_id)) or {}).get(DECLARED)
    if declared is None or float(declared) <= recording.duration_seconds + _CUT_TOLERANCE_SECONDS:
        return []
    expected = f"a video of {float(declared):.3f} s, as its header says"
    found = f"{recording.duration_seconds:.3f} s: cut off (then get the whole file), or only its sound goes on"
    return [problem("warning", recording.recording_id, Path(recording.path), expected, found)]


def _audio(recording: Recording) -> list[Problem]:
    path, start, length = recording.audio_path, recording.audio_start_seconds, recording.audio_duration_seconds
    if path is None or start is None or length is None:
        return []
    video_seconds = recording.duration_seconds - recording.video_start_seconds
    measured = (
        ("audio that starts with the video", start, recording.video_start_seconds),
        ("audio as long as the video", length, video_seconds),
    )
    return [
        problem(
            "warning",
            recording.recording_id,
            Path(path),
            f"{what} ({video:.3f} s, within {AUDIO_TOLERANCE_SECONDS * 1000:.0f} ms)",
            f"{audio:.3f} s: {(audio - video) * 1000:+.0f} ms",
        )
        for what, audio, video in measured
        if abs(audio - video) > AUDIO_TOLERANCE_SECONDS + _ROUNDING
    ]


def _ratings_range(recording: Recording, provenance: dict[str, str]) -> list[Problem]:
    start, end = float(provenance["ratings_start"]), float(provenance["ratings_end"])
    tolerance = _RATINGS_TOLERANCE_SECONDS
    if start >= -tolerance and end <= recording.duration_seconds + tolerance:
        return []
    expected = f"ratings, in seconds, of a video from 0 to {recording.duration_seconds:.3f} s"
    found = f"ratings from {start:.3f} to {end:.3f} s; those outside meet no frame"
    if end > 100 * recording.duration_seconds:
        found += " (milliseconds? then say time_unit = ms in the manifest)"
    return [problem("warning", recording.recording_id, Path(provenance["source_path"]), expected, found)]


def _resampling(recording: Recording, provenance: dict[str, str]) -> list[Problem]:
    path = Path(provenance["source_path"])
    return [
        problem(
            "warning",
            recording.recording_id,
            path,
            f"{dimension} on a grid of times that all raters share",
            f"other times; brought onto {rate:g} Hz (bin means, PCHIP in between)",
        )
        for dimension, rate in json.loads(provenance.get("resampled_hz", "{}")).items()
    ]


def _lacking(recording: Recording, provenance: dict[str, str]) -> list[Problem]:
    return [
        problem(
            "warning",
            recording.recording_id,
            Path(path),
            f"ratings of {dimension}, the main dimension",
            f"{', '.join(held)} alone: nothing of this file is trained on or scored as {dimension}",
        )
        for path, dimension, held in json.loads(provenance.get("lacking", "[]"))
    ]


def _raters(raters: dict[str, tuple[Path, tuple[str, ...]]]) -> list[Problem]:
    if not raters:
        return []
    usual, count = Counter(names for _, names in raters.values()).most_common(1)[0]
    if count * 2 <= len(raters):
        return []  # every recording has raters of its own
    problems = []
    for recording_id, (path, names) in raters.items():
        missing, extra = sorted(set(usual) - set(names)), sorted(set(names) - set(usual))
        told = [f"{label} {', '.join(some)}" for label, some in (("no", missing), ("also", extra)) if some]
        if told:
            expected = f"the {len(usual)} raters of most recordings"
            problems.append(problem("warning", recording_id, path, expected, "; ".join(told)))
    return problems


def _copies(recordings: Sequence[Recording]) -> list[Problem]:
    by_content: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        by_content[recording.sha256].append(recording)
    problems = []
    for same in by_content.values():
        others = [one for one in same[1:] if (one.subject_id, one.partition) != (same[0].subject_id, same[0].partition)]
        expected = "a video of its own for every subject and partition"
        found = f"the same bytes as {same[0].recording_id} ({same[0].path})"
        problems += [problem("warning", one.recording_id, Path(one.path), expected, found) for one in others]
    return problems
