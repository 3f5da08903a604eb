"""The report as one HTML page that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.report import drawing, words
from tasks.report.cards import FACT_NAMES, HASH_NAMES
from tasks.report.contact_sheet import FOLDER, ContactSheet
from tasks.report.content import Content

TRACES_SHOWN = 12
"""Recordings drawn at once; the others wait behind a fold."""
PANELS_SHOWN = 9
"""Raters whose panels stand open; with more of them, they wait behind a fold."""

SHEETS_OPEN = 3
"""Contact sheets that stand open; with more of them, each waits behind a fold of its own."""

_HERE = Path(__file__).parent


def render_html(content: Content, sheets: Sequence[ContactSheet]) -> str:
    """The whole page as text: CSS and SVG inside, no script, nothing from anywhere else."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=words.number, count=words.count, clock=words.clock)
    return environment.get_template("report.html.j2").render(
        content=content,
        verdict=words.verdict(content.headline, corpus_note=content.corpus_note),
        aside=words.aside(content.headline),
        headline_caption=content.sections[0].main.caption,
        bars=drawing.bar_chart(content.headline),
        traces_shown=TRACES_SHOWN,
        panels_shown=PANELS_SHOWN,
        mean_chart=drawing.mean_chart,
        rater_charts=drawing.rater_charts,
        gap_path=drawing.gap_path,
        box=(drawing.WIDTH, drawing.HEIGHT),
        metric_short=words.METRIC_SHORT,
        sheets=[sheet for sheet in sheets if sheet.data_uri],
        num_sheets=len(sheets),
        sheets_open=SHEETS_OPEN,
        sheet_folder=FOLDER,
        limits=words.LIMITS,
        fact_names=[name for name in FACT_NAMES if any(name in card.facts for card in content.cards)],
        source_tables=sorted({name for source in content.sources for name in source.keys}),
        hash_names=HASH_NAMES,
        dash=words.DASH,
    )
