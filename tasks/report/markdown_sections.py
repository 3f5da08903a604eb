"""What the markdown says of errors, raters, learning and the papers: tables alone, an artifact has no room for more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tasks.report.content import Content
from tasks.report.papers import CONTRADICTIONS, LETTERS, PaperLine, PaperTable
from tasks.report.told import error_charts
from tasks.report.words import DASH, count, number

RECORDINGS_SHOWN = 25


def escape(text: str) -> str:
    """Text that stays text: on one line, and neither markup nor a table's edge in it."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#!~])", r"\\\1", flat)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> str:
    """A GFM table; the first `text_columns` are flush left, the rest flush right. Cells must be escaped already."""
    rule = [":---" if column < text_columns else "---:" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def caption(content: Content, text: str) -> str:
    """A caption in italics, with what the corpus is."""
    return f"*{escape(f'{text} {content.tag}'.strip())}*"


def errors(content: Content) -> Iterator[str]:
    """Where the errors are."""
    signals, told = content.signals, error_charts(content.signals)
    yield "## Where the errors are"
    yield caption(
        content,
        f"{signals.model_label}, {signals.partition} partition, all raters together. Protocol: {content.protocol}.",
    )
    yield escape(told.time_words)
    yield table(
        ["face", "samples", "share", "RMSE"],
        [[row.label, f"{row.n:,}", f"{100 * row.share:.1f} %", number(row.rmse)] for row in told.faces],
    )
    yield escape(told.face_words)
    worst = signals.recordings[:RECORDINGS_SHOWN]
    yield table(
        ["recording, worst CCC first", "CCC", "RMSE", "with a face"],
        [
            [
                escape(one.recording_id),
                number(one.ccc),
                number(one.rmse),
                DASH if one.face_share is None else f"{100 * one.face_share:.1f} %",
            ]
            for one in worst
        ],
    )
    if len(signals.recordings) > len(worst):
        yield f"And {count(len(signals.recordings) - len(worst), 'more recording')} in the HTML report."


def agreement(content: Content) -> Iterator[str]:
    """How far raters agree, and what looks wrong with them."""
    yield "## Raters: agreement"
    found = content.agreement
    if found is None:
        yield f"Not measured in this store: `affectflow agreement --store S --dimension {content.dimension}`."
        return
    yield caption(
        content, f"CCC of each rater with each other, {count(found.num_recordings, 'recording')} concatenated."
    )
    rows = [
        [escape(rater), *(cell.text if cell else "" for cell in row)]
        for rater, row in zip(found.raters, found.heat, strict=True)
    ]
    yield table(["rater", *(escape(rater) for rater in found.raters)], rows)
    yield table(["all raters", "concatenated", "per recording"], [[escape(row[0]), *row[1:]] for row in found.overall])
    if found.findings:
        yield "What looks wrong with ratings; nothing is dropped because of it:"
        yield "\n".join(f"- {escape(text)}" for text in found.findings)


def delays(content: Content) -> Iterator[str]:
    """How late each model takes each rater to be, and what was searched."""
    if content.trained_delays:
        yield "## Delay"
        yield caption(content, "Seconds that each model's labels were moved earlier by, by rater.")
        rows = [[escape(one.label), *one.seconds, escape(one.how)] for one in content.trained_delays]
        yield table(["model", *(escape(rater) for rater in content.trained_raters), "set or searched"], rows)
    for one in content.delays:
        yield caption(content, f"Searched on train with the features of {one.features_model_id}: no result.")
        yield table(["rater", "delay, s", "CCC out of fold"], [[escape(row[0]), *row[1:]] for row in one.best])


def learning(content: Content) -> Iterator[str]:
    """Which epoch was kept of each model."""
    if content.learning:
        yield "## Learning"
        yield "\n".join(f"- {escape(one.label)}: {escape(one.summary)}." for one in content.learning)


def papers(content: Content) -> Iterator[str]:
    """The papers' tables beside what was measured here."""
    yield "## Beside the papers"
    yield f"Figures under different protocols, or on different people, are not comparable. {escape(LETTERS)}"
    yield caption(content, "This report's rows, means.")
    yield _lines(content.papers.own, ("RMSE", "CC", "CCC"))
    for one in content.papers.tables:
        yield f"### {escape(one.title)}"
        yield from _paper(one, content)
    yield "\n".join(f"- {letter}: {escape(words)}" for letter, words in content.papers.protocols)
    yield "\n".join(f"- {escape(text)}" for text in CONTRADICTIONS)


def _paper(one: PaperTable, content: Content) -> Iterator[str]:
    if not one.command:
        yield caption(content, "Published and measured here.")
    yield _lines(one.lines, ("RMSE", "CC", "CCC"))
    if one.by_rater:
        yield _lines(one.by_rater, tuple(f"CCC {rater}" for rater in one.raters))
    if one.command:
        yield f"Not measured in this store: `{one.command}`."
    if one.contradictions:
        yield "Contradictions in print:"
        yield "\n".join(f"- {escape(text)}" for text in one.contradictions)


def _lines(lines: Sequence[PaperLine], columns: Sequence[str]) -> str:
    rows = [[escape(line.label), line.source, *(escape(cell) for cell in line.cells), line.protocol] for line in lines]
    return table(["row", "whose", *(escape(name) for name in columns), "protocol"], rows, text_columns=2)
