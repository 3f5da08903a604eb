"""The parts of a recording that hold what people rated, and what the corpus made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from schemas.errors import Problem, RatingsError
from tasks.ingest.corpus import Scale, problem
from tasks.ingest.plan import RatingsSource, RecordingPlan, ratings_stage_key
from tasks.ingest.ratings import RatingTraces, describe, on_one_grid, read_ratings
from tasks.ingest.recordings import DIMENSION_KEYS, dimension_key
from tasks.store.layout import Store
from tasks.store.parts import Provenance, remove, write_part


@dataclass(frozen=True)
class Rated:
    """What the files of a recording hold: traces by dimension, those of several files side by side.

    `lacking`: of each file without ratings of its main dimension its path, that dimension and those it has.
    """

    traces: dict[str, RatingTraces]
    lacking: list[tuple[str, str, list[str]]]


def read_files(source: RatingsSource, *, scale: Scale, recording_id: str, is_gold: bool) -> Rated:
    """Every file of a recording's ratings, or gold standards.

    Raises:
        RatingsError: a file is wrong, or two hold the same rater in the same dimension.
    """
    every: dict[str, list[RatingTraces]] = {}
    lacking: list[tuple[str, str, list[str]]] = []
    problems: list[Problem] = []
    for file in source.files:
        found, wrong = read_ratings(file, scale=scale, recording_id=recording_id, is_gold=is_gold)
        problems += wrong
        if found and file.dimensions[0] not in found:
            lacking.append((str(file.path), file.dimensions[0], list(found)))
        for dimension, traces in found.items():
            known = {rater for other in every.setdefault(dimension, []) for rater in other.raters}
            expected = f"raters of {dimension} that no other file of this recording has"
            problems += [
                problem("failed", recording_id, file.path, expected, f"{rater!r} again")
                for rater in traces.raters
                if rater in known
            ]
            every[dimension].append(traces)
    together: dict[str, RatingTraces] = {}
    for dimension, several in every.items() if not problems else ():
        whole, wrong = on_one_grid(several, source.files[0], recording_id=recording_id)
        problems += wrong
        if whole is not None:
            together[dimension] = whole
    if problems:
        raise RatingsError(describe(problems, source.files[0].path), problems)
    return Rated(together, lacking)


def write_ratings(plan: RecordingPlan, store: Store) -> None:
    """Bring a recording's ratings up to date: one part, dimension by dimension, each rater by rater.

    Raises:
        RatingsError: as `read_files`.
        StoreError: the store cannot be written.
    """
    _write(plan, store.ratings(plan.listed.recording_id), plan.ratings_source, plan.ratings, is_gold=False)


def write_gold_standards(plan: RecordingPlan, store: Store) -> None:
    """Bring the gold standards that the corpus ships up to date. Raises like `write_ratings`."""
    _write(plan, store.gold_standards(plan.listed.recording_id), plan.gold_source, plan.gold, is_gold=True)


def _write(
    plan: RecordingPlan,
    part: Path,
    source: RatingsSource,
    work: Literal["keep", "stamp", "redo", "remove"],
    *,
    is_gold: bool,
) -> None:
    if work == "remove":
        remove(part)
    if not source.files or work == "keep":
        return
    name, scale = plan.listed.recording_id, plan.listed.scale
    rated = read_files(source, scale=scale, recording_id=name, is_gold=is_gold)
    every = rated.traces
    tables = [
        traces.gold_table(name, dimension) if is_gold else traces.table(name, dimension)
        for dimension, traces in every.items()
    ]
    extra = {
        "raters": json.dumps(list(dict.fromkeys(rater for traces in every.values() for rater in traces.raters))),
        "ratings_start": repr(min(float(traces.time_seconds[0]) for traces in every.values())),
        "ratings_end": repr(max(float(traces.time_seconds[-1]) for traces in every.values())),
        "resampled_hz": json.dumps(
            {dimension: traces.resampled_hz for dimension, traces in every.items() if traces.resampled_hz is not None}
        ),
    }
    keys = {dimension: dimension_key(table) for dimension, table in zip(every, tables, strict=True)}
    if rated.lacking:
        extra["lacking"] = json.dumps(rated.lacking)
    extra[DIMENSION_KEYS] = json.dumps(keys)
    provenance = Provenance(
        stage="gold_standards" if is_gold else "ratings",
        stage_key=ratings_stage_key(source, scale=scale),
        source_sha256=source.sha256,
        extra={**source.as_extra(), **extra},
    )
    write_part(part, pa.concat_tables(tables), provenance)
