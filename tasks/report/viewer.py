"""What the page's script draws from: curves as bytes in base64, unpacked when a recording is chosen."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.report.signals import Signals
from tasks.report.words import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.report.traces import Trace

EMPTY = 255
"""The byte of a bin without a value; 0 to 254 reach from the lowest to the highest value of the report."""


@dataclass(frozen=True)
class Viewer:
    """`meta` is small and read at once; `packed` has a text for each of its recordings."""

    meta: dict[str, Any]
    packed: tuple[str, ...]


def make_viewer(signals: Signals) -> Viewer:
    """Everything that can be chosen and drawn; recordings without ratings have nothing to draw."""
    low, high = signals.value_range
    shown = [trace for trace in signals.traces if trace.series]
    meta = {
        "range": [round(low, 4), round(high, 4)],
        "model": signals.model_label,
        "single": signals.single_label,
        "recordings": [_meta(trace) for trace in shown],
    }
    return Viewer(meta, tuple(base64.b64encode(packed(trace, low, high)).decode("ascii") for trace in shown))


def packed(trace: Trace, low: float, high: float) -> bytes:
    """All curves of a recording, in the order of `meta`'s names: `[series, 2, bin]` bytes, lowest values first."""
    import numpy as np

    stacked = np.stack([trace.series[name] for name in _names(trace)])
    return as_bytes(stacked, low, high).tobytes()


def as_bytes(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Values within `[low, high]` as 0 to 254, rounded to the nearest; NaN as `EMPTY`."""
    import numpy as np

    scaled = np.rint((values - low) / (high - low) * (EMPTY - 1))
    return np.where(np.isnan(scaled), EMPTY, np.clip(np.nan_to_num(scaled), 0, EMPTY - 1)).astype(np.uint8)


def _names(trace: Trace) -> list[str]:
    """Curves that have any value; the script asks for them by name."""
    import numpy as np

    return [name for name, values in trace.series.items() if np.isfinite(values).any()] or list(trace.series)[:1]


def _meta(trace: Trace) -> dict[str, Any]:
    return {
        "id": trace.recording_id,
        "partition": trace.partition,
        "duration": round(trace.duration_seconds, 3),
        "raters": trace.raters,
        "shown": trace.shown,
        "ccc": {name: number(value, 2) for name, value in trace.ccc.items() if value is not None},
        "gaps": [[round(start, 2), round(end, 2)] for start, end in trace.gaps],
        "series": _names(trace),
        "missing": trace.missing,
    }
