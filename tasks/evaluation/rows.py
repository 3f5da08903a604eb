"""The table of metrics, and its reasons in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.metrics import (
    BOTH_CONSTANT,
    BOTH_THE_SAME,
    FINE,
    METRICS,
    NO_SAMPLE,
    PREDICTION_CONSTANT,
    RATING_CONSTANT,
    Metric,
    Moments,
    degeneracy,
    merged,
    scores,
)
from schemas.evaluation import EvaluateSettings
from schemas.score_tables import METRICS as SCHEMA
from tasks.evaluation.gathering import Column, Gathered, by_column
from tasks.evaluation.pooled import MEAN_OVER_RATERS, NO_INTERVAL, ONE_RECORDING, draws_of, pooled

FloatArray = npt.NDArray[np.float64]

_WORDS = {
    NO_SAMPLE: "no sample: {name} has no rating where there is a prediction in {where}; check the file and its times",
    BOTH_THE_SAME: "prediction and {name} are the same constant in {where}: CC is undefined and CCC 0/0; leave it out",
    PREDICTION_CONSTANT: "the prediction for {name} is constant in {where}: CC is undefined, CCC 0; look at the model",
    RATING_CONSTANT: "{name} is constant in {where}: CC is undefined and CCC 0; look at the trace, or leave it out",
    BOTH_CONSTANT: "the prediction and {name} are constant in {where}: CC is undefined and CCC 0; look at both",
}


def metrics_table(
    shared: Mapping[str, str],
    gathered: Gathered,
    settings: EvaluateSettings,
    fallbacks: Mapping[tuple[str, str], str],
) -> pa.Table:
    """Every score of one predictor on one partition: each recording's, and pooled as the protocol says.

    Args:
        shared: model_id, protocol, partition, dimension, protocol_line.
        gathered: the partition's moments.
        settings: poolings and bootstrap.
        fallbacks: by recording and gold standard, why the plain mean stands there instead; `reason` repeats it.
    """
    draws = draws_of(len(gathered.recording_ids), settings)
    poolings = [_pooled(shared, gathered, pooling, draws) for pooling in settings.pooling]
    table = pa.concat_tables([_single(shared, gathered), *poolings])
    return _with_fallbacks(table, gathered.recording_ids, fallbacks) if fallbacks else table


def _with_fallbacks(
    table: pa.Table, recording_ids: Sequence[str], fallbacks: Mapping[tuple[str, str], str]
) -> pa.Table:
    """The table with a word in `reason` wherever a score is held against a mean that stands in for a gold standard."""
    reasons = []
    for row in table.select(["recording_id", "rater", "target", "reason"]).to_pylist():
        name, gold = row["recording_id"], row["rater"]
        said = [row["reason"]] if row["reason"] else []
        if row["target"] == "gold" and name is None:
            count = sum((one, gold) in fallbacks for one in recording_ids)
            said += [f"gold standard {gold} is the plain mean in {count} of {len(recording_ids)} recordings"] * bool(
                count
            )
        elif row["target"] == "gold" and (name, gold) in fallbacks:
            said.append(f"gold standard {gold}: {fallbacks[name, gold]}")
        reasons.append("; ".join(said) or None)
    return table.set_column(SCHEMA.get_field_index("reason"), SCHEMA.field("reason"), pa.array(reasons, pa.string()))


def _single(shared: Mapping[str, str], gathered: Gathered) -> pa.Table:
    columns, of = gathered.columns, gathered.moments
    each = scores(of)
    values = np.stack([by_column(each[metric], columns) for metric in METRICS], axis=-1)
    nothing = np.full(values.shape, np.nan)
    states = degeneracy(of)
    reasons = {}
    for row, name in enumerate(gathered.recording_ids):
        for at, column in enumerate(columns):
            said = _why(column, states[row, list(column.at)], name)
            reasons[row, at] = (said, f"{said}; {ONE_RECORDING}" if said else ONE_RECORDING)
    names = [(column.name, column.target) for column in columns]
    counts, nowhere = _counts(of, columns), (nothing, nothing)
    found = _table(shared, "per_recording", gathered.recording_ids, names, values, nowhere, counts, reasons)
    present = np.stack([gathered.present[:, list(column.at)].any(axis=1) for column in columns], axis=-1)
    return found.filter(pa.array(present.ravel().repeat(len(METRICS))))


def _pooled(shared: Mapping[str, str], gathered: Gathered, pooling: str, draws: FloatArray | None) -> pa.Table:
    columns, of = gathered.columns, gathered.moments
    found = pooled(gathered, pooling, draws)
    names = [(column.name, column.target) for column in columns]
    whole = merged(of)
    counts = _counts(whole, columns)
    states = degeneracy(of) if pooling == "per_recording" else degeneracy(whole)[None]
    said = [_why(column, _common(states, column), "every recording") for column in columns]
    if any(target == "rater" for _, target in names):
        names.append((MEAN_OVER_RATERS, "mean"))
        apart = [at for at, column in enumerate(columns) if column.target == "rater"]
        counts = np.append(counts, counts[apart].sum())
        said.append("no rater has a value" if all(said[at] for at in apart) else "")
    values = np.stack([found.value[metric] for metric in METRICS], axis=-1)[None]
    ends = [found.interval(metric) for metric in METRICS]
    low, high = (np.stack([end[which] for end in ends], axis=-1)[None] for which in (0, 1))
    lacking = [ONE_RECORDING if single else NO_INTERVAL for single in found.is_single]
    reasons = {
        (0, at): (why, f"{why}; {no}" if why else no) for at, (why, no) in enumerate(zip(said, lacking, strict=True))
    }
    return _table(shared, pooling, [None], names, values, (low, high), counts[None], reasons)


def _common(states: npt.NDArray[np.int_], column: Column) -> npt.NDArray[np.int_]:
    """Of each member the state that all recordings share, `FINE` where they differ or one is fine."""
    own = states[:, list(column.at)]
    fine = (own == FINE).any(axis=0)
    spoken = np.where(own == NO_SAMPLE, -1, own).max(axis=0)
    return np.where(fine, FINE, np.where(spoken < 0, NO_SAMPLE, spoken))


def _why(column: Column, states: npt.NDArray[np.int_], where: str) -> str:
    """Why a column's scores are degenerate, "" where not; `states` are of its members, all of whom must be."""
    if (states == FINE).any():
        return ""
    name = f"rater {column.name}" if column.target == "rater" else f"gold standard {column.name}"
    return _WORDS[int(states[0])].format(name=name, where=where)


def _counts(of: Moments, columns: Sequence[Column]) -> npt.NDArray[np.int64]:
    """Samples of each column: of several members, of the one with most."""
    return np.stack([of.n[..., list(column.at)].max(axis=-1) for column in columns], axis=-1).astype(np.int64)


def _table(
    shared: Mapping[str, str],
    pooling: str,
    recording_ids: Sequence[str | None],
    names: Sequence[tuple[str, str]],
    values: FloatArray,
    ends: tuple[FloatArray, FloatArray],
    counts: npt.NDArray[np.int64],
    reasons: Mapping[tuple[int, int], tuple[str, str]],
) -> pa.Table:
    """Rows in the order recording, column, metric.

    Args:
        values: `[recording, column, metric]`, NaN where there is none; `ends` are low and high alike.
        counts: `[recording, column]`.
        reasons: by recording and column: why it is degenerate, or "", and what to say where an interval is missing.
    """
    recordings, columns, metrics = values.shape
    size = values.size
    row, column, metric = (at.ravel() for at in np.indices(values.shape))
    flat, low, high = values.ravel(), ends[0].ravel(), ends[1].ravel()
    cells = [reasons[r, c] for r in range(recordings) for c in range(columns)]
    degenerate = np.array([bool(why) for why, _ in cells]).repeat(metrics)
    said = [cells[at // metrics][1] if np.isnan(low[at]) else None for at in range(size)]
    found = {
        **{name: _repeated([text], np.zeros(size, int)) for name, text in shared.items()},
        "pooling": _repeated([pooling], np.zeros(size, int)),
        "recording_id": _repeated(recording_ids, row),
        "rater": _repeated([name for name, _ in names], column),
        "target": _repeated([target for _, target in names], column),
        "metric": _repeated(METRICS, metric),
        "value": pa.array(flat, mask=np.isnan(flat)),
        "ci_low": pa.array(low, mask=np.isnan(low)),
        "ci_high": pa.array(high, mask=np.isnan(high)),
        "n": pa.array(counts.ravel().repeat(metrics)),
        "degenerate": pa.array(degenerate),
        "reason": pa.array(said, pa.string()),
    }
    return pa.table({name: found[name] for name in SCHEMA.names}, schema=SCHEMA)


def _repeated(values: Sequence[str | None] | tuple[Metric, ...], at: npt.NDArray[np.int_]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(at, pa.int32()), pa.array(list(values), pa.string())).cast(
        pa.string()
    )
