"""Everything the report shows, gathered from the store once and rendered twice: as HTML and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.tables import SCHEMA_VERSION
from tasks.evaluation.fusions import GoldTold, read_fusions
from tasks.evaluation.leaks import MARK
from tasks.ingest.recordings import read_recordings
from tasks.report.cards import Card, read_shown_card
from tasks.report.drawing import Chart
from tasks.report.learning import Learning, learning_of
from tasks.report.papers import Papers, read_papers
from tasks.report.quality import Quality, Source, read_quality, read_source
from tasks.report.raters import (
    Agreement,
    Delays,
    TrainedDelay,
    read_delays,
    read_lags,
    read_raters_agreement,
    trained_delays_of,
)
from tasks.report.seeds import SeedGroup, seed_groups
from tasks.report.signals import Signals, read_signals
from tasks.report.summary import (
    METRIC_NAMES,
    Metric,
    Pooling,
    ReportRow,
    Scores,
    ScoreTable,
    partition_rank,
    read_scores,
    tabulate,
)
from tasks.report.words import ROLE_NOTES, ShownTable, corpus_tag, protocol_line, show
from tasks.store.cards import read_cards
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
    """What both renderings show. Arrays stay inside `signals`, thinned.

    `agreement` is None, and `lags`, `delays` and `learning` are (), where the stage that makes them has not run.
    """

    title: str
    protocol: str
    protocol_short: str
    """Its name, and what it declares: for pictures, below tables that have it in full."""
    dimension: str
    corpus_note: str
    tag: str
    notes: tuple[str, ...]
    written_at: datetime
    code_version: str
    schema_version: str
    headline: ScoreTable
    """CCC on the first partition and pooling that has any: what the verdict and the bars are about."""
    seeds: tuple[SeedGroup, ...]
    """Models of this store that differ by their seed alone."""
    golds: tuple[GoldTold, ...]
    """How the gold standards were fused, by partition."""
    sections: tuple[ScoreSection, ...]
    role_notes: tuple[str, ...]
    signals: Signals
    agreement: Agreement | None
    lags: tuple[Chart, ...]
    delays: tuple[Delays, ...]
    trained_raters: tuple[str, ...]
    trained_delays: tuple[TrainedDelay, ...]
    """Seconds by each of `trained_raters`, as the models of the report were trained."""
    learning: tuple[Learning, ...]
    papers: Papers
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
    protocol_name: str,
    corpus_note: str,
    dimension: str,
    notes: Sequence[str],
) -> Content:
    """Read what the report shows. Raises StoreError if metrics or the table of recordings are missing."""
    scores = read_scores(store, rows, dimension=dimension, protocol=protocol_name)
    recordings = read_recordings(store)
    tables = [
        tabulate(scores, partition=partition, pooling=pooling, metric="ccc")
        for partition in scores.partitions
        for pooling in scores.poolings
    ]
    tables = [table for table in tables if any(score.is_scored for row in table.rows for score in row.scores)]
    line = protocol_line(tables[0].protocol, protocol)
    qualities = [read_quality(store, recording) for recording in recordings]
    qualities.sort(key=lambda quality: (partition_rank(quality.partition or "~"), quality.recording_id))
    cards = read_cards(store)
    groups, golds = seed_groups(cards), read_fusions(store, dimension, protocol_name)
    shown = {row.model_id for row in rows}
    raters = tuple(dict.fromkeys(rater for card in cards if card.model_id in shown for rater in card.raters))
    searched = [card.features_model_id for card in cards if card.features_model_id is not None]
    return Content(
        title=title,
        protocol=line,
        protocol_short=f"{protocol_name}{f', {MARK}' if tables[0].is_selected_here else ''} (in full at the top)",
        dimension=dimension,
        corpus_note=corpus_note,
        tag=corpus_tag(corpus_note),
        notes=tuple(notes),
        written_at=datetime.now(UTC),
        code_version=code_version(),
        schema_version=SCHEMA_VERSION,
        headline=tables[0],
        seeds=groups,
        golds=golds,
        sections=tuple(
            _section(scores, table, protocol=line, corpus_note=corpus_note, groups=groups, golds=golds)
            for table in tables
        ),
        role_notes=tuple(note for role, note in ROLE_NOTES.items() if any(row.role == role for row in rows)),
        signals=read_signals(store, scores, rows, qualities, cards, partition=tables[0].partition),
        agreement=read_raters_agreement(store, dimension, order=scores.raters),
        lags=read_lags(store, dimension),
        delays=read_delays(store, searched, dimension),
        trained_raters=raters,
        trained_delays=trained_delays_of(rows, cards, raters),
        learning=learning_of(rows, cards),
        papers=read_papers(store, scores, tables[0], protocol=line, corpus_note=corpus_note),
        qualities=tuple(qualities),
        failures=tuple(_failures(store)),
        cards=tuple(read_shown_card(store, row, protocol_name, dimension) for row in rows),
        sources=tuple(read_source(store, recording) for recording in recordings),
    )


def _section(
    scores: Scores,
    table: ScoreTable,
    *,
    protocol: str,
    corpus_note: str,
    groups: Sequence[SeedGroup],
    golds: Sequence[GoldTold],
) -> ScoreSection:
    rest: list[Metric] = [metric for metric in METRIC_NAMES if metric != "ccc"]
    others = [tabulate(scores, partition=table.partition, pooling=table.pooling, metric=metric) for metric in rest]
    shown = [
        show(each, protocol=protocol, corpus_note=corpus_note, groups=groups, golds=golds) for each in (table, *others)
    ]
    return ScoreSection(table.partition, table.pooling, shown[0], tuple(shown[1:]))


def _failures(store: Store) -> list[Failure]:
    """Failures by recording, then stage."""
    rows = read_failures(store).to_pylist()
    found = [Failure(**{**row, "path": row["path"] or ""}) for row in rows]
    return sorted(found, key=lambda failure: (failure.recording_id, failure.stage))
