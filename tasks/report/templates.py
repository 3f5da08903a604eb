"""Templates of all pages: strict about names, everything escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.report import words

if TYPE_CHECKING:
    import jinja2


def environment(*folders: Path) -> jinja2.Environment:
    """Templates of `folders`, then those that all pages share; numbers in the report's words.

    Filters: `number`, `count`, `clock` and `percent` of `tasks.report.words`.
    """
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=words.number, count=words.count, clock=words.clock, percent=words.percent)
    return made
