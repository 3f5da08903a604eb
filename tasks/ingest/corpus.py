"""What a corpus says about itself, before any file is opened: recordings, subjects, partitions, paths.

`recola`, `avec` and `manifest` each read one layout into a `CorpusListing`; the checks that hold for every layout
stand here.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from schemas.errors import Problem, SettingsError
from schemas.evaluation import Partition
from schemas.ids import slug_recording_id

PARTITIONS: tuple[Partition, ...] = get_args(Partition)

Scale = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class RatingsFile:
    """A file with ratings, and what is known of it before it is opened.

    `dimensions` are those to be read: a file without a column of dimensions holds the first of them. `instance` is the
    recording's name in a file that holds several. What is None is found out from the file: its layout, its delimiter,
    the unit of its times. With `rate_hz` the ratings are brought onto that rate, else onto their own where they are
    irregular.
    """

    path: Path
    dimensions: tuple[str, ...]
    instance: str | None = None
    layout: Literal["wide", "long"] | None = None
    delimiter: Literal[",", ";", "\t", "|"] | None = None
    time_unit: Literal["s", "ms"] | None = None
    rate_hz: float | None = None

    def keyed(self) -> dict[str, Any]:
        """What belongs to the stage key besides the file's content, JSON-serialisable."""
        return {name: value for name, value in asdict(self).items() if name != "path" and value is not None}


@dataclass(frozen=True, kw_only=True)
class CorpusRecording:
    """One recording as the corpus names it; nothing has been opened yet.

    `scale` is the (min, max) of the ratings as they stand in the files. `gold_standards` are fused by the corpus's own
    authors: they are kept apart and never count as a rater. `origin` and `line` say where the corpus names this
    recording: the manifest and its line, or the video itself.
    """

    recording_id: str
    recording_id_original: str
    subject_id: str
    partition: Partition | None
    video: Path
    audio: Path | None
    ratings: tuple[RatingsFile, ...]
    gold_standards: tuple[RatingsFile, ...] = ()
    scale: Scale
    origin: Path
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class CorpusListing:
    """Every recording of a corpus, and what is wrong with the listing itself.

    A recording with a `failed` problem stays in `recordings`; one that exists only as ratings stands in
    `problems` alone.
    """

    layout: Literal["recola", "avec", "manifest"]
    partitions_from: str
    note: str = ""
    """What every report on this corpus must say of it: the first line of its SYNTHETIC.txt, if it has one."""
    recordings: tuple[CorpusRecording, ...]
    problems: tuple[Problem, ...]


def recording_id_of(name: str, *, origin: Path, line: int | None = None) -> tuple[str | None, Problem | None]:
    """The id made from a name of the corpus, or the problem that there is none.

    In a manifest (`line` is given) that is fatal; a file of a folder is passed over with a warning.
    """
    try:
        return slug_recording_id(name), None
    except SettingsError:
        expected = "a recording name with at least one letter or digit"
        severity: Literal["fatal", "warning"] = "warning" if line is None else "fatal"
        return None, problem(severity, None, origin, expected, repr(name) if line else f"{name!r}; ignored", line=line)


def problem(
    severity: Literal["fatal", "failed", "warning"],
    recording_id: str | None,
    path: Path,
    expected: str,
    found: str,
    *,
    line: int | None = None,
) -> Problem:
    """A `Problem` about a file; bytes of its name that are not UTF-8 are written as escapes."""
    return Problem(
        severity=severity,
        recording_id=recording_id,
        path=printable(path),
        line=line,
        expected=expected,
        found=found,
    )


def printable(path: Path) -> str:
    """`path` as text that can be stored as UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def check_recordings(recordings: Sequence[CorpusRecording]) -> list[Problem]:
    """Contradictions within a listing: one id twice, one subject in two partitions.

    Two ids that differ only in case count as one: they would share a folder on some file systems.
    """
    problems: list[Problem] = []
    first_of: dict[str, CorpusRecording] = {}
    for recording in recordings:
        first = first_of.setdefault(recording.recording_id.casefold(), recording)
        if first is not recording:
            expected = "every recording once, and ids that differ in more than case and punctuation"
            found = (
                f"{recording.recording_id_original!r} (id {recording.recording_id}) again; first as "
                f"{first.recording_id_original!r} in {_where(first)}; rename one of them"
            )
            problems.append(
                problem("fatal", recording.recording_id, recording.origin, expected, found, line=recording.line)
            )
    by_subject: dict[str, dict[Partition | None, CorpusRecording]] = defaultdict(dict)
    for recording in recordings:
        by_subject[recording.subject_id].setdefault(recording.partition, recording)
    for subject, seen in by_subject.items():
        named = {partition: recording for partition, recording in seen.items() if partition is not None}
        if len(named) > 1:
            places = ", ".join(f"{partition} in {_where(recording)}" for partition, recording in named.items())
            last = list(named.values())[-1]
            expected = f"subject {subject!r} in one partition only"
            problems.append(problem("fatal", last.recording_id, last.origin, expected, places, line=last.line))
    return problems


def _where(recording: CorpusRecording) -> str:
    name = printable(recording.origin)
    return name if recording.line is None else f"{name}, line {recording.line}"


def parse_partition(text: str, *, origin: Path, line: int) -> tuple[Partition | None, Problem | None]:
    """The partition named by a cell (any case; empty: None), or the problem that there is no such partition."""
    if not text:
        return None, None
    for partition in PARTITIONS:
        if text.lower() == partition:
            return partition, None
    expected = f"a partition, one of {', '.join(PARTITIONS)}, or nothing"
    return None, problem("fatal", None, origin, expected, repr(text), line=line)


@dataclass(frozen=True)
class Row:
    """One line of a CSV: `line` is 1-based, `cells` by the header's lower-case names, each stripped."""

    line: int
    cells: dict[str, str]


def read_rows(path: Path, *, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[list[Row], list[Problem]]:
    """Read a small CSV with a header, `,` or `;`, UTF-8 with or without a byte order mark.

    Column names are compared without case and surrounding spaces; blank lines are passed over.

    Returns: the rows, and the problems: unreadable, a column missing or twice (fatal), cells missing or too many
        (fatal), an unknown column (warning).
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return [], [problem("fatal", None, path, "a readable CSV file", error.strerror or str(error))]
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return [], [problem("fatal", None, path, "text in UTF-8", f"byte 0x{error.object[error.start]:02x}", line=line)]
    first_line = text.partition("\n")[0]
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    lines = _csv_lines(text, delimiter)
    try:
        header_line, header_cells = next(lines, (1, []))
        header = [cell.strip().lower() for cell in header_cells]
        problems = _header_problems(path, header_line, header, required, optional)
        rows: list[Row] = []
        if any(found.severity == "fatal" for found in problems):
            return rows, problems
        for line, cells in lines:
            if len(cells) != len(header):
                found = f"{len(cells)} cells"
                problems.append(
                    problem("fatal", None, path, f"{len(header)} cells, as in the header", found, line=line)
                )
                continue
            rows.append(Row(line, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}))
    except csv.Error as error:
        return [], [problem("fatal", None, path, "a CSV file", str(error))]
    return rows, problems


def _csv_lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    end = 0
    for cells in reader:
        start, end = end + 1, reader.line_num
        if any(cell.strip() for cell in cells):
            yield start, cells


def _header_problems(
    path: Path, line: int, header: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> list[Problem]:
    problems = []
    missing = [name for name in required if name not in header]
    if missing:
        expected = f"columns {', '.join(required)}"
        found = f"{', '.join(header) or 'no header'}; missing: {', '.join(missing)}"
        problems.append(problem("fatal", None, path, expected, found, line=line))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        problems.append(problem("fatal", None, path, "every column once", f"twice: {', '.join(twice)}", line=line))
    known = {*required, *optional}
    unknown = [name for name in header if name not in known]
    if unknown and not problems:
        expected = f"columns {', '.join([*required, *optional])}"
        problems.append(problem("warning", None, path, expected, f"ignored: {', '.join(unknown)}", line=line))
    return problems
