"""What a contact sheet shows of one recording: faces sampled evenly, the worst ones, and the gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.report.quality import Quality, Span
from tasks.report.timeline import SOURCES, Timeline, read_timeline
from tasks.report.words import number

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NUM_SAMPLED = 12
NUM_WORST = 12
"""Cells of all criteria together."""
NUM_GAPS = 6
"""Gaps told with their times, the longest ones."""

_CRITERIA = (
    # column, heading, name of the value, decimals
    ("detection_score", "Lowest detection score", "score", 2),
    ("tracking_score", "Lowest tracking score", "tracking", 3),
    ("sharpness", "Least sharp", "sharpness", 0),
)
_CLOSEST_SECONDS = 1.0


@dataclass(frozen=True)
class Cell:
    """One frame. `chip` is None where it has no face, or no chip."""

    frame_index: int
    time_seconds: float
    source: str
    note: str
    """The value that it was chosen for; "" where it was chosen by its time."""
    chip: bytes | None


@dataclass(frozen=True)
class Sheet:
    """Everything on one contact sheet."""

    recording_id: str
    duration_seconds: float
    timeline: Timeline
    sampled: tuple[Cell, ...]
    worst: tuple[tuple[str, tuple[Cell, ...]], ...]
    """(heading, cells) for each measure that the rows carry, the worst cell first."""
    gaps: tuple[Span, ...]
    """Spans without a face, the longest first."""


def read_sheet(parts: Sequence[Path], quality: Quality) -> Sheet:
    """Choose the frames of one recording's sheet, and read their chips alone.

    Args:
        parts: its `frames`, in order.
        quality: its data quality, for duration and gaps.

    Raises:
        StoreError: the rows are not those of frames 0, 1, 2, ... in order.
    """
    timeline = read_timeline(parts)
    duration = max(quality.duration_seconds, float(timeline.times[-1]), 1e-3)
    sampled = evenly(timeline.times, duration, NUM_SAMPLED)
    measures = [(rule, values) for rule in _CRITERIA if (values := _measure(parts, rule[0])) is not None]
    each = NUM_WORST // max(len(measures), 1)
    worst = [
        (rule, values, worst_apart(timeline.times, values, most=each, apart=min(_CLOSEST_SECONDS, duration / each / 3)))
        for rule, values in measures
    ]
    chips = _chips(parts, {*sampled, *(frame for _, _, frames in worst for frame in frames)})

    def cell(frame: int, note: str = "") -> Cell:
        source = SOURCES[timeline.sources[frame]]
        return Cell(frame, float(timeline.times[frame]), source, note, chips[frame])

    return Sheet(
        recording_id=quality.recording_id,
        duration_seconds=duration,
        timeline=timeline,
        sampled=tuple(cell(frame) for frame in sampled),
        worst=tuple(
            (heading, tuple(cell(frame, f"{name} {number(float(values[frame]), digits)}") for frame in frames))
            for (_, heading, name, digits), values, frames in worst
        ),
        gaps=tuple(sorted(quality.gaps, key=lambda gap: (gap[0] - gap[1], gap[0]))),
    )


def evenly(times: npt.NDArray[np.float64], duration: float, count: int) -> list[int]:
    """The frames on show at the middles of `count` equal spans of `[0, duration)`, each frame once."""
    import numpy as np

    middles = (np.arange(count) + 0.5) * duration / count
    shown = np.maximum(np.searchsorted(times, middles, side="right") - 1, 0)
    return [int(frame) for frame in np.unique(shown)]


def worst_apart(
    times: npt.NDArray[np.float64], values: npt.NDArray[np.float64], *, most: int, apart: float
) -> list[int]:
    """Frames of the lowest values, lowest first, at least `apart` seconds from each other; NaN is no value.

    One bad second would fill the sheet otherwise.
    """
    import numpy as np

    left = np.where(np.isnan(values), np.inf, values)
    chosen: list[int] = []
    while len(chosen) < most and len(left) and np.isfinite(left.min()):
        frame = int(left.argmin())
        chosen.append(frame)
        left[(np.abs(times - times[frame]) < apart)] = np.inf
        left[frame] = np.inf
    return chosen


def _measure(parts: Sequence[Path], column: str) -> npt.NDArray[np.float64] | None:
    """One column of all rows as `[frame]`, NaN for null; None where no row has a value."""
    import numpy as np
    import pyarrow.parquet as pq

    pieces = []
    for part in parts:
        with pq.ParquetFile(part) as file:
            if column not in file.schema_arrow.names:
                return None
            pieces.append(file.read([column])[column].to_numpy().astype(np.float64))
    values: npt.NDArray[np.float64] = np.concatenate(pieces)
    return values if np.isfinite(values).any() else None


def _chips(parts: Sequence[Path], frames: set[int]) -> dict[int, bytes | None]:
    """The chips of these frames, reading only the row groups that they stand in."""
    import pyarrow.parquet as pq

    found: dict[int, bytes | None] = {}
    first = 0
    for part in parts:
        with pq.ParquetFile(part) as file:
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                wanted = [frame for frame in frames if first <= frame < end]
                if wanted:
                    chips = file.read_row_group(group, ["chip"])["chip"]
                    found.update({frame: chips[frame - first].as_py() for frame in wanted})
                first = end
    return found
