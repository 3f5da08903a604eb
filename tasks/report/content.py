"""Everything the report shows, gathered from the store once and rendered twice: as HTML and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.tables import SCHEMA_VERSION
from tasks.ingest.recordings import read_recordings
from tasks.progress import track
from tasks.report.cards import Card, read_card
from tasks.report.quality import Quality, Source, read_quality, read_source
from tasks.report.summary import (
    METRIC_NAMES,
    POOLINGS,
    Metric,
    Pooling,
    ReportRow,
    Scores,
    ScoreTable,
    partition_rank,
    read_scores,
    recording_scores,
    tabulate,
)
from tasks.report.traces import Trace, read_trace, value_range
from tasks.report.words import ROLE_NOTES, ShownTable, corpus_tag, protocol_line, show
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.parts import code_version


@dataclass(frozen=True)
class ScoreSection:
    """The tables of one partition and pooling: CCC first, the other metrics after it."""

    partition: str
    pooling: Pooling
    main: ShownTable
    others: tuple[ShownTable, ...]

    @property
    def title(self) -> str:
        return f"{self.partition.capitalize()} partition, {self.pooling.replace('_', ' ')}"


@dataclass(frozen=True)
class Failure:
    """One failure that still stands."""

    recording_id: str
    stage: str
    error: str
    message: str
    path: str
    at: datetime


@dataclass(frozen=True)
class Content:
    """What both renderings show. Arrays stay inside `traces`, thinned."""

    title: str
    protocol: str
    dimension: str
    corpus_note: str
    tag: str
    notes: tuple[str, ...]
    written_at: datetime
    code_version: str
    schema_version: str
    headline: ScoreTable
    """CCC on the first partition and pooling that has any: what the verdict and the bars are about."""
    sections: tuple[ScoreSection, ...]
    role_notes: tuple[str, ...]
    model_label: str
    single_frame_label: str
    traces: tuple[Trace, ...]
    value_range: tuple[float, float]
    qualities: tuple[Quality, ...]
    failures: tuple[Failure, ...]
    cards: tuple[Card, ...]
    sources: tuple[Source, ...]


def gather(
    store: Store,
    rows: Sequence[ReportRow],
    *,
    title: str,
    protocol: str,
    corpus_note: str,
    dimension: str,
    notes: Sequence[str],
) -> Content:
    """Read what the report shows. Raises StoreError if metrics or the table of recordings are missing."""
    scores = read_scores(store, rows, dimension=dimension)
    recordings = read_recordings(store)
    tables = [
        tabulate(scores, partition=partition, pooling=pooling, metric="ccc")
        for partition in scores.partitions
        for pooling in POOLINGS
    ]
    tables = [table for table in tables if any(score.is_scored for row in table.rows for score in row.scores)]
    line = protocol_line(tables[0].protocol, protocol)
    qualities = [read_quality(store, recording) for recording in recordings]
    qualities.sort(key=lambda quality: (partition_rank(quality.partition or "~"), quality.recording_id))
    traces, model, single = _traces(store, scores, rows, qualities)
    return Content(
        title=title,
        protocol=line,
        dimension=dimension,
        corpus_note=corpus_note,
        tag=corpus_tag(corpus_note),
        notes=tuple(notes),
        written_at=datetime.now(UTC),
        code_version=code_version(),
        schema_version=SCHEMA_VERSION,
        headline=tables[0],
        sections=tuple(_section(scores, table, protocol=line, corpus_note=corpus_note) for table in tables),
        role_notes=tuple(note for role, note in ROLE_NOTES.items() if any(row.role == role for row in rows)),
        model_label=model.label,
        single_frame_label=single.label if single else "",
        traces=traces,
        value_range=value_range(traces),
        qualities=tuple(qualities),
        failures=tuple(_failures(store)),
        cards=tuple(read_card(store, row) for row in rows),
        sources=tuple(read_source(store, recording) for recording in recordings),
    )


def _section(scores: Scores, table: ScoreTable, *, protocol: str, corpus_note: str) -> ScoreSection:
    rest: list[Metric] = [metric for metric in METRIC_NAMES if metric != "ccc"]
    others = [tabulate(scores, partition=table.partition, pooling=table.pooling, metric=metric) for metric in rest]
    shown = [show(each, protocol=protocol, corpus_note=corpus_note) for each in (table, *others)]
    return ScoreSection(table.partition, table.pooling, shown[0], tuple(shown[1:]))


def _traces(
    store: Store, scores: Scores, rows: Sequence[ReportRow], qualities: Sequence[Quality]
) -> tuple[tuple[Trace, ...], ReportRow, ReportRow | None]:
    """Curves of every recording in a scored partition, and which rows they are of."""
    model = next((row for row in rows if row.role == "model"), rows[0])
    single = next((row for row in rows if row.role == "single-frame"), None)
    ccc = recording_scores(scores, model.model_id, metric="ccc")
    drawn = [quality for quality in qualities if quality.partition in scores.partitions]
    traces = []
    with track("report", len(drawn), "recordings") as bar:
        for quality in drawn:
            trace = read_trace(
                store,
                quality,
                raters=scores.raters,
                model_id=model.model_id,
                single_frame_id=single.model_id if single else None,
                dimension=scores.dimension,
                ccc=ccc,
            )
            traces.append(trace)
            bar.advance()
    return tuple(traces), model, single


def _failures(store: Store) -> list[Failure]:
    """Failures by recording, then stage."""
    rows = read_failures(store).to_pylist()
    found = [Failure(**{**row, "path": row["path"] or ""}) for row in rows]
    return sorted(found, key=lambda failure: (failure.recording_id, failure.stage))
