"""Any corpus, through a manifest: one CSV that names every recording.

    recording,subject,video,ratings,partition,scale,audio
    take one,Anna,clips/take 1.mp4,ratings/take1.csv,train,1:9,
    take two,Ben,clips/take 2.mp4,,,,sound/take2.wav

`,` or `;`, UTF-8, columns in any order. The first six columns must be there, `audio` may be. Paths are relative to the
manifest's folder. `scale` is written `min:max` (`-1:1`, `1:9`) and may be empty only where `ratings` is; `ratings` and
`partition` may be empty: such a recording is predicted, never scored. Without `audio` the video's own track is used.
"""

from __future__ import annotations

import math
from pathlib import Path

from schemas.errors import Problem
from tasks.ingest.corpus import (
    CorpusListing,
    CorpusRecording,
    Row,
    Scale,
    check_recordings,
    parse_partition,
    printable,
    problem,
    read_rows,
    recording_id_of,
)

NAME = "manifest.csv"

COLUMNS = ("recording", "subject", "video", "ratings", "partition", "scale")

_UNRATED_SCALE: Scale = (-1.0, 1.0)


def list_manifest(manifest: Path) -> CorpusListing:
    """List the corpus that `manifest` describes.

    Returns: its recordings in the manifest's order. Problems, each with its line: a column missing, no subject, no
        recording, an unknown partition, a scale that is not `min:max` with min < max, one recording twice, one subject
        in two partitions, no rows (all fatal); a video, ratings or audio file that is not there (that recording
        failed); no ratings, no partition (warning).
    """
    rows, problems = read_rows(manifest, required=COLUMNS, optional=("audio",))
    recordings: list[CorpusRecording] = []
    for row in rows:
        recording, found = _recording(manifest, row)
        problems += found
        if recording is not None:
            recordings.append(recording)
    if not rows and not any(found.severity == "fatal" for found in problems):
        problems.append(problem("fatal", None, manifest, "at least one recording below the header", "none"))
    problems += check_recordings(recordings)
    for recording in recordings:
        problems += _file_problems(manifest, recording)
    return CorpusListing(
        layout="manifest",
        partitions_from=printable(manifest),
        recordings=tuple(recordings),
        problems=tuple(problems),
    )


def _recording(manifest: Path, row: Row) -> tuple[CorpusRecording | None, list[Problem]]:
    cells = row.cells
    problems = [
        problem("fatal", None, manifest, f"a {name} in every row", "an empty cell", line=row.line)
        for name in ("recording", "subject", "video")
        if not cells[name]
    ]
    partition, bad_partition = parse_partition(cells["partition"], origin=manifest, line=row.line)
    scale, bad_scale = _scale(manifest, row)
    recording_id = None
    bad_name = None
    if cells["recording"]:
        recording_id, bad_name = recording_id_of(cells["recording"], origin=manifest, line=row.line)
    problems += [found for found in (bad_partition, bad_scale, bad_name) if found is not None]
    if problems or recording_id is None:
        return None, problems
    folder = manifest.parent
    recording = CorpusRecording(
        recording_id=recording_id,
        recording_id_original=cells["recording"],
        subject_id=cells["subject"],
        partition=partition,
        video=folder / cells["video"],
        audio=folder / cells["audio"] if cells.get("audio") else None,
        ratings=folder / cells["ratings"] if cells["ratings"] else None,
        scale=scale,
        origin=manifest,
        line=row.line,
    )
    return recording, []


def _scale(manifest: Path, row: Row) -> tuple[Scale, Problem | None]:
    text = row.cells["scale"]
    if not text and not row.cells["ratings"]:
        return _UNRATED_SCALE, None
    low, separator, high = text.partition(":")
    try:
        scale = (float(low), float(high))
    except ValueError:
        scale = (math.nan, math.nan)
    if separator and math.isfinite(scale[0]) and math.isfinite(scale[1]) and scale[0] < scale[1]:
        return scale, None
    expected = "the scale of the ratings as min:max, such as -1:1 or 1:9"
    return _UNRATED_SCALE, problem("fatal", None, manifest, expected, repr(text), line=row.line)


def _file_problems(manifest: Path, recording: CorpusRecording) -> list[Problem]:
    name, line = recording.recording_id, recording.line
    files = (("video", recording.video), ("ratings", recording.ratings), ("audio", recording.audio))
    problems = [
        problem("failed", name, manifest, f"the {what} {printable(path)}", "no such file", line=line)
        for what, path in files
        if path is not None and not path.is_file()
    ]
    if (recording.ratings is None) != (recording.partition is None):  # with neither it is plainly there to be predicted
        what = "ratings" if recording.ratings is None else "partition"
        found = "none: predicted, never scored"
        problems.append(problem("warning", name, manifest, f"{what} of this recording", found, line=line))
    return problems
