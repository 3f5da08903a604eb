"""Write the report of a store: one HTML file, and the same core as markdown for Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.report.contact_sheet import write_contact_sheets
from tasks.report.content import gather
from tasks.report.markdown import render_markdown
from tasks.report.page import render_html
from tasks.report.plan import inputs_digest, report_paths, stamp
from tasks.report.summary import ReportRow
from tasks.store.layout import Store
from tasks.store.parts import write_text

__all__ = ["ReportFiles", "ReportRow", "write_report"]


@dataclass(frozen=True)
class ReportFiles:
    """Where the two forms of the report lie."""

    html: Path
    markdown: Path


def write_report(
    store: Store,
    *,
    rows: Sequence[ReportRow],
    title: str,
    protocol: str,
    protocol_name: str,
    corpus_note: str = "",
    dimension: str = "valence",
    notes: Sequence[str] = (),
) -> ReportFiles:
    """Write `S/reports/report.html`, `report.md` and `contact-sheets/ID.png` from what the store holds.

    Of another dimension than valence it is `report.arousal.html`, say, and `report.arousal.md`.

    Args:
        rows: lines of the tables, in order; the first with role `model` is drawn over time.
        title: heading of the report.
        protocol: one line: what is the target, what was selected where, what was shifted or post-processed. It stands
            in the caption of every table of scores.
        protocol_name: of the metrics that are shown.
        corpus_note: what a reader must know of the corpus; a banner. If it says "synthetic", so does every caption.
        dimension: the rated dimension.
        notes: more limits, in plain words, shown after the general ones.

    Raises:
        StoreError: a row has no metrics, rows differ in protocol, or the table of recordings is missing.
    """
    digest = inputs_digest(store, rows, protocol=protocol_name, dimension=dimension)  # first: changes meanwhile count
    content = gather(
        store,
        rows,
        title=title,
        protocol=protocol,
        protocol_name=protocol_name,
        corpus_note=corpus_note,
        dimension=dimension,
        notes=notes,
    )
    sheets = write_contact_sheets(store, content.qualities, tag=content.tag)
    files = ReportFiles(*report_paths(store, dimension))
    write_text(files.html, render_html(content, sheets).rstrip() + "\n" + stamp(digest))
    write_text(files.markdown, render_markdown(content, sheets) + "\n" + stamp(digest))
    return files
