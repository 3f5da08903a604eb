"""What the columns of a file of ratings are, by their names and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

TIME_NAMES = frozenset(
    {"time", "times", "timestamp", "time_seconds", "time_s", "time (s)", "time [s]", "t", "sec", "seconds", "frametime"}
)
"""Lower-case names of the column of times. Its unit is seconds unless the manifest says milliseconds."""

MILLISECOND_NAMES = frozenset(
    {"time_ms", "time_milliseconds", "timestamp_ms", "time (ms)", "time [ms]", "ms", "milliseconds"}
)

RATER_NAMES = frozenset({"rater", "rater_id", "annotator", "annotator_id", "coder", "coder_id", "evaluator"})
VALUE_NAMES = frozenset({"value", "rating", "score", "annotation"})
DIMENSION_NAMES = frozenset({"dimension"})
INSTANCE_NAMES = frozenset({"instance_name", "recording", "recording_id"})
GOLD_NAMES = frozenset({"goldstandard", "gold_standard", "gold standard", "gold"})

Kind = Literal["time", "value", "rater", "dimension", "instance"]


@dataclass(frozen=True)
class Column:
    """A column: its name in the file, and what it holds."""

    name: str
    kind: Kind

    @property
    def is_text(self) -> bool:
        return self.kind in ("rater", "dimension", "instance")


@dataclass(frozen=True)
class Columns:
    """The columns of a file, in its order. Its times divided by `per_second` are seconds."""

    columns: tuple[Column, ...]
    is_long: bool
    per_second: float

    def places(self, kind: Kind) -> list[int]:
        """Where the columns of a kind stand, 0-based."""
        return [place for place, column in enumerate(self.columns) if column.kind == kind]


@dataclass(frozen=True)
class Cells:
    """The cells of a file whose every cell is right.

    `seconds` [row]; `values` [row, value column], NaN where empty; `texts`, by kind, [row] of stripped text.
    """

    columns: Columns
    seconds: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    texts: dict[Kind, npt.NDArray[np.object_]]


def columns_of(
    names: Sequence[str], *, layout: Literal["wide", "long"] | None = None, time_unit: Literal["s", "ms"] | None = None
) -> tuple[Columns | None, list[tuple[str, str]]]:
    """Tell times, raters, values, dimensions and instances apart.

    A table is long where one column names the rater and another holds the value, unless `layout` says otherwise; in a
    wide one times come first, or behind the instances, and every other column is a rater.

    Args:
        names: stripped, in the file's order.
        layout: in place of what the names suggest.
        time_unit: in place of what the time's name says.

    Returns: the columns, or None and what is wrong as pairs (expected, found).
    """
    lower = [name.lower() for name in names]
    suggested = any(name in RATER_NAMES for name in lower) and any(name in VALUE_NAMES for name in lower)
    is_long = layout == "long" or (layout is None and suggested)
    time_place = 1 if lower[:1] and lower[0] in INSTANCE_NAMES else 0
    kinds = [_kind(name, is_long, may_be_time=place == time_place) for place, name in enumerate(lower)]
    wrong = _wrong_names(names, kinds, is_long)
    if wrong:
        return None, wrong
    time_name = lower[kinds.index("time")]
    in_milliseconds = time_unit == "ms" or (time_unit is None and time_name in MILLISECOND_NAMES)
    columns = [Column(name, kind) for name, kind in zip(names, kinds, strict=True) if kind is not None]
    if len(columns) < len(names):
        ignored = [name for name, kind in zip(names, kinds, strict=True) if kind is None]
        return None, [("columns time, rater, value and, where there are any, dimension, recording", f"also {ignored}")]
    return Columns(tuple(columns), is_long, 1000.0 if in_milliseconds else 1.0), []


def _kind(name: str, is_long: bool, *, may_be_time: bool) -> Kind | None:
    if name in INSTANCE_NAMES:
        return "instance"
    if not is_long:  # a rater may be called T, or anything else
        return "time" if may_be_time and name in TIME_NAMES | MILLISECOND_NAMES else "value"
    if name in TIME_NAMES | MILLISECOND_NAMES:
        return "time"
    found: list[tuple[frozenset[str], Kind]] = [
        (RATER_NAMES, "rater"),
        (VALUE_NAMES, "value"),
        (DIMENSION_NAMES, "dimension"),
    ]
    return next((kind for known, kind in found if name in known), None)


def _wrong_names(names: Sequence[str], kinds: Sequence[Kind | None], is_long: bool) -> list[tuple[str, str]]:
    first = next((name for name, kind in zip(names, kinds, strict=True) if kind != "instance"), "")
    wrong: list[tuple[str, str]] = []
    if is_long:
        for kind, known in (("time", TIME_NAMES), ("rater", RATER_NAMES), ("value", VALUE_NAMES)):
            if kinds.count(kind) != 1:
                wrong.append((f"a long table with one {kind} column ({', '.join(sorted(known))})", repr(list(names))))
        return wrong
    if "time" not in kinds:
        expected = f"a header whose first column is the time in seconds ({', '.join(sorted(TIME_NAMES))})"
        wrong.append((expected, repr(first)))
    if len(names) == 1:
        wrong.append(("at least one rater's column, separated by , ; | or a tab", f"only {names[0]!r}"))
    for column, name in enumerate(names[1:], start=2):
        if not name:
            wrong.append(("a rater's name above every column", f"none above column {column}"))
        elif name in names[1 : column - 1]:
            wrong.append(("every rater once", f"{name!r} again in column {column}"))
    return wrong
