"""Is the report that stands there still of what the store holds? From disk alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.sweeps import SWEEPS
from tasks.evaluation.chain import chain_path
from tasks.evaluation.plan import metrics_path
from tasks.ingest.recordings import read_recordings
from tasks.report.papers import PAPERS
from tasks.report.summary import ReportRow, drawn_rows
from tasks.store.cards import CARD_FILE, read_cards
from tasks.store.layout import VALENCE, Store, of_dimension

_VERSION = 1
_MARK = "<!-- inputs "


def inputs_digest(store: Store, rows: Sequence[ReportRow], *, protocol: str, dimension: str) -> str:
    """Digest of everything that a report reads: names, sizes and times of its files; 16 hexadecimal digits.

    Args:
        store: what is on disk.
        rows: of the report.
        protocol: its name.
        dimension: which ratings.
    """
    read = hashlib.sha256(repr((_VERSION, protocol, dimension, tuple(rows))).encode())
    for path in sorted(set(_files(store, rows, protocol, dimension))):
        if path.exists():
            found = path.stat()
            read.update(f"{path.relative_to(store.root)} {found.st_size} {found.st_mtime_ns}\n".encode())
    return read.hexdigest()[:16]


def report_paths(store: Store, dimension: str = VALENCE) -> tuple[Path, Path]:
    """Where the two forms of a dimension's report stand: HTML and Markdown."""
    name = of_dimension("report", dimension)
    return store.reports / f"{name}.html", store.reports / f"{name}.md"


def report_is_current(store: Store, rows: Sequence[ReportRow], *, protocol: str, dimension: str) -> bool:
    """True if both forms of the report stand, and were made of exactly what the store holds now."""
    html, markdown = report_paths(store, dimension)
    if not html.exists() or not markdown.exists():
        return False
    expected = stamp(inputs_digest(store, rows, protocol=protocol, dimension=dimension))
    return html.read_text(encoding="utf-8").endswith(expected) and markdown.read_text(encoding="utf-8").endswith(
        expected
    )


def stamp(digest: str) -> str:
    """The last line of both forms of the report: what they were made of."""
    return f"{_MARK}{digest} -->\n"


def _files(store: Store, rows: Sequence[ReportRow], protocol: str, dimension: str) -> Iterator[Path]:
    """Whatever a report opens, and what would be opened if it were there."""
    yield store.recordings
    yield store.fusions(dimension, protocol)
    yield from store.failures.glob("part-*.parquet")
    yield from (store.agreement / dimension).glob("*.parquet")
    yield from (store.root / SWEEPS / name / "table.parquet" for name in PAPERS)
    for card in read_cards(store):  # all of them: those with another seed are told beside the rows
        yield store.model(card.model_id) / CARD_FILE
        yield store.delay(card.features_model_id or card.model_id, dimension)
    for row in rows:
        yield metrics_path(store, row.model_id, protocol, dimension)
        yield chain_path(store, row.model_id, protocol)
    for recording in read_recordings(store):
        name = recording.recording_id
        yield from (store.index(name), store.ratings(name), store.gold_standards(name))
        yield from store.frames(name).glob("part-*.parquet")
        yield from (store.predictions(row.model_id, name) for row in drawn_rows(rows) if row is not None)
