"""The report's core as GitHub-flavoured markdown with PNG data URIs: what a Prefect artifact can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.report import markdown_sections, pictures, words
from tasks.report.cards import FACT_NAMES, HASH_NAMES
from tasks.report.contact_sheet import FOLDER, ContactSheet
from tasks.report.content import Content
from tasks.report.markdown_sections import escape, table
from tasks.report.words import DASH, ShownTable, clock, count, number

TRACES_SHOWN = 4
"""Recordings drawn: an artifact stays below about 1 MB. The HTML draws all of them."""


def render_markdown(content: Content, sheets: Sequence[ContactSheet]) -> str:
    """Tables in GFM, pictures inline."""
    blocks = [
        f"# {escape(content.title)}",
        *([f"> **{escape(content.corpus_note)}**"] if content.corpus_note else []),
        f"**{escape(words.verdict(content.headline, corpus_note=content.corpus_note, groups=content.seeds))}**",
        escape(words.aside(content.headline)),
        f"Protocol: {escape(content.protocol)}",
        *_scores(content),
        *_traces(content),
        *markdown_sections.errors(content),
        *markdown_sections.agreement(content),
        *markdown_sections.delays(content),
        *markdown_sections.learning(content),
        *markdown_sections.papers(content),
        *_data(content),
        *_gaps(content, sheets),
        *_failures(content),
        *_provenance(content),
        "## Limits",
        "\n".join(f"- {escape(text)}" for text in (*words.LIMITS, *content.notes)),
        f"Written {content.written_at:%Y-%m-%d %H:%M} UTC by AffectFlow {content.code_version}, "
        f"store schema {content.schema_version}.",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _scores(content: Content) -> Iterator[str]:
    yield "## Scores"
    for turn, section in enumerate(content.sections):
        yield f"### {escape(section.title)}"
        for shown in (section.main, *section.others):
            yield from _score_table(shown)
        if turn == 0:
            alt = f"Bars of CCC by rater, the numbers of the first table. {content.tag}".strip()
            yield f"![{alt}]({pictures.bars_png(content.headline)})"
            yield f"*{escape(section.main.caption)} Solid bars compete; hollow ones frame them.*"
    yield " ".join(escape(note) for note in content.role_notes)


def _score_table(shown: ShownTable) -> Iterator[str]:
    yield f"*{escape(shown.caption)}*"
    header = [words.METRIC_SHORT[shown.metric], *(escape(rater) for rater in shown.raters), shown.mean_heading]
    rows = [
        [
            escape(row.label) + (f" ({row.role})" if row.role in words.ROLE_NOTES else ""),
            *(f"{cell.text}{escape(cell.mark)}" for cell in row.cells[:-1]),
            f"{row.cells[-1].text}{escape(row.cells[-1].mark)} {escape(row.cells[-1].interval)}".rstrip(),
        ]
        for row in shown.rows
    ]
    rows += [
        [escape(row.label), *(f"{cell.text} {escape(cell.interval)}".rstrip() for cell in row.cells)]
        for row in shown.seed_rows
    ]
    yield table(header, rows)
    # What is bold in HTML is not bold here: an artifact's table is read for its numbers.
    yield "  \n".join(escape(note) for note in shown.footnotes if not note.startswith("Bold"))


def _traces(content: Content) -> Iterator[str]:
    yield "## Traces"
    signals = content.signals
    rated = [trace for trace in signals.traces if trace.series]
    drawn = rated[:TRACES_SHOWN]
    yield "\n".join(f"- {escape(trace.recording_id)}: {trace.missing}." for trace in signals.traces if trace.missing)
    if not drawn:
        yield "No recording of this store is in a scored partition and rated."
        return
    picture = pictures.traces_png(drawn, signals.value_range, model=signals.model_label)
    alt = f"Prediction and rating over time, {count(len(drawn), 'recording')}. {content.tag}".strip()
    yield f"![{alt}]({picture})"
    left = len(rated) - len(drawn)
    more = f" {count(left, 'more recording')}, and each rater apart, in the HTML report." if left else ""
    yield (
        f"*{escape(signals.model_label)}: the mean over raters, or the gold standard, its prediction, and all raters "
        f"from lowest to highest, over time (minutes:seconds). Shaded: no face found.{more} {content.tag}*"
    ).replace(" *", "*")


def _data(content: Content) -> Iterator[str]:
    yield "## Data quality"
    yield f"*Frames and faces of {count(len(content.qualities), 'recording')}. {content.tag}*".replace(" *", "*")
    header = ["recording", "partition", "duration", "frames/s", "indexed", "decoded", "with a face", "longest gap, s"]
    yield table(
        header,
        [
            [
                escape(quality.recording_id),
                escape(quality.partition or DASH),
                clock(quality.duration_seconds),
                number(quality.frame_rate, 2),
                f"{quality.num_frames_indexed:,}",
                DASH if quality.num_frames_decoded is None else f"{quality.num_frames_decoded:,}",
                DASH if quality.face_share is None else f"{100 * quality.face_share:.1f} %",
                number(quality.longest_gap_seconds, 2),
            ]
            for quality in content.qualities
        ],
        text_columns=2,
    )


def _gaps(content: Content, sheets: Sequence[ContactSheet]) -> Iterator[str]:
    """The contact sheets' words; their pictures are of faces, and stay in the HTML report and beside it."""
    lacking = [sheet for sheet in sheets if sheet.num_gaps]
    if lacking:
        yield f"*Longest spans without a face, in minutes:seconds. {content.tag}*".replace(" *", "*")
        yield "\n".join(f"- {escape(sheet.recording_id)}: {escape(sheet.gap_words)}" for sheet in lacking)
    if sheets:
        yield f"Contact sheets of {count(len(sheets), 'recording')} lie beside the HTML report, in `{FOLDER}/`."


def _failures(content: Content) -> Iterator[str]:
    yield "## Failures"
    if not content.failures:
        yield "None."
        return
    yield table(
        ["recording", "stage", "error", "message", "when (UTC)"],
        [
            [
                *(escape(text) for text in (failure.recording_id, failure.stage, failure.error, failure.message)),
                f"{failure.at:%Y-%m-%d %H:%M}",
            ]
            for failure in content.failures
        ],
        text_columns=5,
    )


def _provenance(content: Content) -> Iterator[str]:
    yield "## Provenance"
    facts = [name for name in FACT_NAMES if any(name in card.facts for card in content.cards)]
    yield table(
        ["row", "model id", *(name.lower() for name in facts)],
        [
            [
                escape(card.row.label),
                escape(card.row.model_id),
                *(escape(card.facts.get(name, "")[: 16 if name in HASH_NAMES else None]) for name in facts),
            ]
            for card in content.cards
        ],
        text_columns=2 + len(facts),
    )
    yield table(
        ["recording", "source sha256", "stage key of faces", "decoder"],
        [
            [
                escape(source.recording_id),
                source.sha256[:12],
                escape(source.keys.get("frames", "") or DASH),
                escape(source.decoder_version or DASH),
            ]
            for source in content.sources
        ],
        text_columns=4,
    )
