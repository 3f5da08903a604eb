"""The report as one HTML page that fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from tasks.evaluation.fusions import WORDS as FUSION_WORDS
from tasks.report import drawing, templates, words
from tasks.report.cards import FACT_NAMES, HASH_NAMES
from tasks.report.contact_sheet import FOLDER, ContactSheet
from tasks.report.content import Content
from tasks.report.papers import CONTRADICTIONS, LETTERS
from tasks.report.told import error_charts
from tasks.report.viewer import make_viewer

GLANCES_SHOWN = 12
"""Recordings drawn small at once; the others wait behind a fold."""

RECORDINGS_SHOWN = 25
"""Recordings listed by their errors at once, the worst; the others wait behind a fold."""

LEARNING_SHOWN = 3
"""Models whose learning curves stand open; those of the others wait behind a fold."""

SHEETS_OPEN = 3
"""Contact sheets that stand open; with more of them, each waits behind a fold of its own."""

_HERE = Path(__file__).parent


def render_html(content: Content, sheets: Sequence[ContactSheet]) -> str:
    """The whole page as text: CSS, script and drawings inside, nothing from anywhere else."""
    script = (_HERE / "viewer.js").read_text(encoding="utf-8")
    return (
        templates.environment()
        .get_template("report.html.j2")
        .render(
            content=content,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
            viewer=make_viewer(content.signals),
            verdict=words.verdict(content.headline, corpus_note=content.corpus_note, groups=content.seeds),
            aside=words.aside(content.headline),
            reading=words.READING,
            bars=drawing.bar_chart(content.headline),
            errors=error_charts(content.signals),
            glances_shown=GLANCES_SHOWN,
            recordings_shown=RECORDINGS_SHOWN,
            learning_shown=LEARNING_SHOWN,
            glance_chart=drawing.glance_chart,
            density_paths=drawing.density_paths,
            gap_path=drawing.gap_path,
            box=(drawing.WIDTH, drawing.HEIGHT),
            metric_short=words.METRIC_SHORT,
            sheets=[sheet for sheet in sheets if sheet.data_uri],
            num_sheets=len(sheets),
            sheets_open=SHEETS_OPEN,
            sheet_folder=FOLDER,
            limits=words.LIMITS,
            fusion_words=FUSION_WORDS,
            fact_names=[name for name in FACT_NAMES if any(name in card.facts for card in content.cards)],
            source_tables=sorted({name for source in content.sources for name in source.keys}),
            hash_names=HASH_NAMES,
            dash=words.DASH,
            contradictions=CONTRADICTIONS,
            paper_letters=LETTERS,
        )
    )
