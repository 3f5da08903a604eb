"""Any corpus, through a manifest: one CSV that names every recording.

    recording,subject,video,ratings,partition,scale,audio
    take one,Anna,clips/take 1.mp4,ratings/take1.csv,train,1:9,
    take two,Ben,clips/take 2.mp4,,,,sound/take2.wav

`,` or `;`, UTF-8, columns in any order. The first six columns must be there, the others may be. Paths are relative to
the manifest's folder. `scale` is written `min:max` (`-1:1`, `1:9`) and may be empty only where `ratings` and
`gold_standard` are; `ratings` and `partition` may be empty: such a recording is predicted, never scored. Without
`audio` the video's own track is used.

`ratings` may be CSV with any delimiter, ARFF or Parquet, wide or long. Several files, such as one for each rater, are
separated by `|`; `{dimension}` in a path stands for each dimension that is ingested. What a file is shows in its
content; `layout` (wide, long), `delimiter` (comma, semicolon, tab, pipe), `time_unit` (s, ms) and `rate` (labels/s to
bring it onto) overrule that.
`gold_standard` names a fused series that the corpus ships: kept as such, never as a rater.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from schemas.errors import Problem
from tasks.ingest.corpus import (
    CorpusListing,
    CorpusRecording,
    RatingsFile,
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
OPTIONAL = ("audio", "gold_standard", "layout", "delimiter", "time_unit", "rate")

_UNRATED_SCALE: Scale = (-1.0, 1.0)
_PLACEHOLDER = "{dimension}"


def list_manifest(manifest: Path, *, dimensions: tuple[str, ...]) -> CorpusListing:
    """List the corpus that `manifest` describes, with the ratings of these dimensions.

    Returns: its recordings in the manifest's order. Problems, each with its line: a column missing, no subject, no
        recording, an unknown partition, a scale that is not `min:max` with min < max, one recording twice, one subject
        in two partitions, no rows (all fatal); a video, ratings or audio file that is not there (that recording
        failed); no ratings, no partition (warning).
    """
    rows, problems = read_rows(manifest, required=COLUMNS, optional=OPTIONAL)
    recordings: list[CorpusRecording] = []
    for row in rows:
        recording, found = _recording(manifest, row, dimensions)
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


def _recording(manifest: Path, row: Row, dimensions: tuple[str, ...]) -> tuple[CorpusRecording | None, list[Problem]]:
    cells = row.cells
    problems = [
        problem("fatal", None, manifest, f"a {name} in every row", "an empty cell", line=row.line)
        for name in ("recording", "subject", "video")
        if not cells[name]
    ]
    partition, bad_partition = parse_partition(cells["partition"], origin=manifest, line=row.line)
    scale, bad_scale = _scale(manifest, row)
    options, bad_options = _options(manifest, row)
    recording_id = None
    bad_name = None
    if cells["recording"]:
        recording_id, bad_name = recording_id_of(cells["recording"], origin=manifest, line=row.line)
    problems += [found for found in (bad_partition, bad_scale, bad_name, *bad_options) if found is not None]
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
        ratings=_files(folder, cells["ratings"], options, cells["recording"], dimensions),
        gold_standards=_files(folder, cells.get("gold_standard", ""), options, cells["recording"], dimensions),
        scale=scale,
        origin=manifest,
        line=row.line,
    )
    return recording, []


_OPTION_VALUES: dict[str, dict[str, str]] = {
    "layout": {"wide": "wide", "long": "long"},
    "delimiter": {"comma": ",", ",": ",", "semicolon": ";", ";": ";", "tab": "\t", "pipe": "|"},
    "time_unit": {"s": "s", "ms": "ms"},
}


def _options(manifest: Path, row: Row) -> tuple[dict[str, Any], list[Problem]]:
    """What the row says of how its ratings are to be read; a column that is absent or empty says nothing."""
    options: dict[str, Any] = {}
    problems = []
    for name, values in _OPTION_VALUES.items():
        text = row.cells.get(name, "").lower()
        if text and text not in values:
            expected = f"{name}: one of {', '.join(values)}, or nothing"
            problems.append(problem("fatal", None, manifest, expected, repr(text), line=row.line))
        elif text:
            options[name] = values[text]
    rate = row.cells.get("rate", "")
    if rate:
        try:
            options["rate_hz"] = float(rate)
        except ValueError:
            options["rate_hz"] = math.nan
        if not 0 < options["rate_hz"] <= 1000:
            expected = "rate: labels/s, over 0 and at most 1000, or nothing"
            problems.append(problem("fatal", None, manifest, expected, repr(rate), line=row.line))
    return options, problems


def _files(
    folder: Path, cell: str, options: dict[str, Any], instance: str, dimensions: tuple[str, ...]
) -> tuple[RatingsFile, ...]:
    files = []
    for text in filter(None, (part.strip() for part in cell.split("|"))):
        if _PLACEHOLDER in text:
            files += [
                RatingsFile(
                    path=folder / text.replace(_PLACEHOLDER, name), dimensions=(name,), instance=instance, **options
                )
                for name in dimensions
            ]
        else:
            files.append(RatingsFile(path=folder / text, dimensions=dimensions, instance=instance, **options))
    return tuple(files)


def _scale(manifest: Path, row: Row) -> tuple[Scale, Problem | None]:
    text = row.cells["scale"]
    if not text and not row.cells["ratings"] and not row.cells.get("gold_standard"):
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
    files: list[tuple[str, Path | None]] = [("video", recording.video), ("audio", recording.audio)]
    files[1:1] = [("ratings", file.path) for file in recording.ratings]
    files += [("gold standard", file.path) for file in recording.gold_standards]
    problems = [
        problem("failed", name, manifest, f"the {what} {printable(path)}", "no such file", line=line)
        for what, path in files
        if path is not None and not path.is_file()
    ]
    is_rated = bool(recording.ratings or recording.gold_standards)
    if is_rated != (recording.partition is not None):  # with neither it is plainly there to be predicted
        what = "partition" if is_rated else "ratings"
        found = "none: predicted, never scored"
        problems.append(problem("warning", name, manifest, f"{what} of this recording", found, line=line))
    return problems
