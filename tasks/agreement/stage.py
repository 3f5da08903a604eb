"""Measure how far raters agree: recording by recording, one in memory at a time, and over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.agreement import cronbach_alpha, icc_2k
from models.metrics import Metric, or_none, scores
from schemas.errors import UnusableInputError
from schemas.score_tables import AGREEMENT, AGREEMENT_FINDINGS, AGREEMENT_LAGS
from tasks.agreement.findings import Finding, certain, likely
from tasks.agreement.plan import (
    STAGE,
    agreement_key,
    agreement_path,
    findings_path,
    is_pending,
    lags_path,
)
from tasks.agreement.pool import Measured, lag_seconds, measure, shared_by_all
from tasks.ingest.recordings import Recording, gold_standard_alone, ratings_key, read_ratings_wide
from tasks.progress import track
from tasks.store.layout import Store
from tasks.store.parts import Provenance, part_writer, write_part

FloatArray = npt.NDArray[np.float64]

_MeanKey = tuple[str, str, str | None, str | None]

_SERIES: tuple[tuple[str, Metric], ...] = (("pearson", "cc"), ("ccc", "ccc"))
"""What is told of every pair, and which metric it is."""


def measure_agreement(store: Store, recordings: Sequence[Recording], dimension: str) -> bool:
    """Write a dimension's agreement where it is missing or stale; True if it was written.

    Args:
        store: ratings are read from it, `S/agreement/<dimension>/*.parquet` written to it.
        recordings: all recordings.
        dimension: which ratings.

    Raises:
        UnusableInputError: no recording has ratings of this dimension.
    """
    if not is_pending(store, recordings, dimension):
        return False
    provenance = Provenance(stage=STAGE, stage_key=agreement_key(store, recordings, dimension))
    rated = [one for one in recordings if ratings_key(store, one.recording_id, dimension) is not None]
    pool = Measured.nothing()
    means: dict[_MeanKey, list[float]] = {}
    findings: list[Finding] = []
    number = 0
    with (
        part_writer(agreement_path(store, dimension), AGREEMENT, provenance) as writer,
        track("agreement", len(rated), "recordings") as bar,
    ):
        for recording in rated:
            name = recording.recording_id
            ratings = read_ratings_wide(store, name, dimension)
            bar.advance(note=name)
            if not ratings.raters:
                continue
            number += 1
            measured = measure(ratings.times, ratings.values, ratings.raters)
            findings += [*certain(measured, name, ratings.values), *likely(measured, name)]
            rows = list(_rows(measured))
            for row in rows:
                if row["value"] is not None:
                    means.setdefault(_mean_key(row), []).append(row["value"])
            writer.write_table(_table(rows, AGREEMENT, dimension=dimension, pooling="recording", recording_id=name))
            pool = pool + measured
        if number == 0:
            raise UnusableInputError(_nobody_rated(store, recordings, dimension))
        writer.write_table(_table(list(_rows(pool)), AGREEMENT, dimension=dimension, pooling="concatenated"))
        writer.write_table(_table(_mean_rows(means), AGREEMENT, dimension=dimension, pooling="per_recording"))
    lags = _table(list(_lag_rows(pool)), AGREEMENT_LAGS, dimension=dimension)
    write_part(lags_path(store, dimension), lags, provenance)
    findings += [*_other_raters(pool), *likely(pool, None)]
    table = _table([asdict(finding) for finding in findings], AGREEMENT_FINDINGS, dimension=dimension)
    write_part(findings_path(store, dimension), table, provenance)
    return True


def _nobody_rated(store: Store, recordings: Sequence[Recording], dimension: str) -> str:
    expected = f"{store.root}: expected a recording with ratings of {dimension!r}, found none"
    alone = gold_standard_alone(store, recordings, dimension)
    if alone:
        return (
            f"{expected}, and in {alone} the corpus's gold "
            "standard alone, which has nobody to agree with; add the raters' files to the corpus and ingest again"
        )
    return f"{expected}; name another --dimension, or add it to [ingest] more_dimensions and ingest again"


def _table(rows: list[dict[str, Any]], schema: pa.Schema, **same: Any) -> pa.Table:
    return pa.Table.from_pylist([{**same, **row} for row in rows], schema=schema)


def _rows(measured: Measured) -> Iterator[dict[str, Any]]:
    """Everything of one recording, or of all together."""
    order = sorted(range(len(measured.raters)), key=lambda place: measured.raters[place])
    matrices, lines = scores(measured.pairs), scores(measured.others)
    for statistic, metric in _SERIES:
        matrix, line = matrices[metric], lines[metric]
        pairs = []
        for position, first in enumerate(order):
            for second in order[position + 1 :]:
                value, n = or_none(matrix[first, second]), int(measured.pairs.n[first, second])
                pairs += [] if value is None else [value]
                names = {"rater": measured.raters[first], "other": measured.raters[second]}
                yield {"statistic": statistic, "of": "pair", **names, "value": value, "n": n}
        mean = float(np.mean(pairs)) if pairs else None
        yield {"statistic": statistic, "of": "pair", "value": mean, "n": len(pairs)}
        for place in order:
            value, n = or_none(line[place]), int(measured.others.n[place])
            yield {"statistic": statistic, "of": "others", "rater": measured.raters[place], "value": value, "n": n}
    yield from _positive(measured, order)
    names_, complete = shared_by_all(measured)
    n = 0 if complete is None else complete.n
    for statistic, formula in (("cronbach_alpha", cronbach_alpha), ("icc_2k", icc_2k)):
        found = None if complete is None or len(names_) < 2 else or_none(formula(complete))
        yield {"statistic": statistic, "of": "all", "value": found, "n": n}


def _positive(measured: Measured, order: Sequence[int]) -> Iterator[dict[str, Any]]:
    for place in order:
        n = int(measured.samples[place])
        value = float(measured.positive[place]) / n if n else None
        yield {"statistic": "share_positive", "of": "rater", "rater": measured.raters[place], "value": value, "n": n}
    total = int(measured.samples.sum())
    share = float(measured.positive.sum()) / total if total else None
    yield {"statistic": "share_positive", "of": "all", "value": share, "n": total}


def _mean_key(row: dict[str, Any]) -> _MeanKey:
    return row["statistic"], row["of"], row.get("rater"), row.get("other")


def _mean_rows(means: dict[_MeanKey, list[float]]) -> list[dict[str, Any]]:
    names = ("statistic", "of", "rater", "other")
    return [
        {**dict(zip(names, key, strict=True)), "value": float(np.mean(values)), "n": len(values)}
        for key, values in means.items()
    ]


def _lag_rows(pool: Measured) -> Iterator[dict[str, Any]]:
    curves = scores(pool.lags)["cc"]
    for place, rater in enumerate(pool.raters):
        for position, seconds in enumerate(lag_seconds()):
            n = int(pool.lags.n[position, place])
            value = or_none(curves[position, place])
            yield {"rater": rater, "lag_seconds": float(seconds), "pearson": value, "n": n}


def _other_raters(pool: Measured) -> Iterator[Finding]:
    """Alpha and ICC want the same raters throughout: says what they leave out."""
    names, _ = shared_by_all(pool)
    others = [found for found in pool.complete if found != names]
    if others and len(names) > 1:
        shown = "; ".join(", ".join(found) for found in others[:3])
        more = f"; and {len(others) - 3} more" if len(others) > 3 else ""
        message = (
            f"over all recordings, alpha and ICC are of the samples that {', '.join(names)} all rated; recordings with "
            f"{len(others)} other {'sets' if len(others) > 1 else 'set'} of raters ({shown}{more}) are left out of "
            "these two alone. Read these two by recording, or check that a rater has one name in all files"
        )
        yield Finding(None, None, "other_raters", float(len(others)), message)
