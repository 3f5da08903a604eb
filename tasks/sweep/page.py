"""A sweep as Markdown: published and measured figures in columns of their own, protocols and contradictions below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.sweeps import Sweep
from tasks.sweep.figures import METRIC_NAMES, Figure, Metric, is_mean_of_printed

_NAMES: dict[Metric, str] = {"rmse": "RMSE", "cc": "CC", "ccc": "CCC"}


def render(
    sweep: Sweep,
    figures: Sequence[Figure],
    missing: Mapping[str, str],
    *,
    measured: str,
    note: str,
    selected_on: str,
    picture: str,
) -> str:
    """The whole page.

    Args:
        sweep: title, rows, published protocol, contradictions.
        figures: of `tasks.sweep.figures.gather`.
        missing: rows without a measured figure, and why.
        measured: the protocol of the measured figures, in a line.
        note: what must be said of the corpus; "" if there is nothing.
        selected_on: the partition that chose the epochs.
        picture: file name of the plot.
    """
    partitions = list(dict.fromkeys(one.partition for one in figures if one.measured is not None))
    marks = {row.label: number for number, row in enumerate((r for r in sweep.row if r.note), start=1)}
    lines = [f"# {sweep.title}", ""]
    if note:
        lines += [f"**{note}** No figure measured on it can be compared with a published one.", ""]
    if sweep.is_published:
        lines.append(f"Published: {sweep.protocol}.  ")
    lines += [
        f"Measured: {measured}; {_seeds(figures)}.",
        "",
        *_overall(sweep, figures, partitions, marks, selected_on),
        "",
        f"![{sweep.title}]({picture})",
        "",
        *_by_rater(sweep, figures, selected_on),
        *_remarks(sweep, missing, marks),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _seeds(figures: Sequence[Figure]) -> str:
    most = max((one.num_seeds for one in figures), default=0)
    return f"mean and sample standard deviation over {most} seeds" if most > 1 else "one seed"


def _overall(
    sweep: Sweep, figures: Sequence[Figure], partitions: Sequence[str], marks: dict[str, int], selected_on: str
) -> list[str]:
    printed = METRIC_NAMES if sweep.is_published else ()
    heads = [f"published {_NAMES[metric]} ({sweep.partition})" for metric in printed]
    for partition in partitions:
        chosen = ", selected there" if partition == selected_on else ""
        heads += [f"measured {_NAMES[metric]} ({partition}{chosen})" for metric in METRIC_NAMES]
    lines = [_line(["", *heads]), _line(["---", *["---:"] * len(heads)])]
    by_label = {row.label: row for row in sweep.row}
    for label in dict.fromkeys([*by_label, *(one.row for one in figures)]):
        own = {(one.partition, one.metric): one for one in figures if one.row == label and one.rater is None}
        cells = []
        for metric in printed:
            found = own.get((sweep.partition, metric))
            derived = "*" if label in by_label and is_mean_of_printed(by_label[label], metric) else ""
            cells.append(_number(None if found is None else found.published) + derived)
        for partition in partitions:
            cells += [_measured(own.get((partition, metric))) for metric in METRIC_NAMES]
        mark = f" [{marks[label]}]" if label in marks else ""
        lines.append(_line([f"{label}{mark}", *cells]))
    return lines


def _by_rater(sweep: Sweep, figures: Sequence[Figure], selected_on: str) -> list[str]:
    """Rater by rater, where that was published."""
    if not any(row.published_by_rater for row in sweep.row):
        return []
    here = [one for one in figures if one.partition == sweep.partition and one.rater is not None]
    raters = list(dict.fromkeys(one.rater for one in here))
    chosen = ", selected there" if sweep.partition == selected_on else ""
    lines = [f"## By rater, {sweep.partition}", "", _line(["", "", *map(str, raters)])]
    lines.append(_line(["---", "---", *["---:"] * len(raters)]))
    for label in dict.fromkeys(one.row for one in here):
        for metric in METRIC_NAMES:
            own = {one.rater: one for one in here if one.row == label and one.metric == metric}
            if any(one.published is not None for one in own.values()):
                cells = [_number(own[rater].published if rater in own else None) for rater in raters]
                lines.append(_line([label, f"published {_NAMES[metric]}", *cells]))
            if any(one.measured is not None for one in own.values()):
                cells = [_measured(own.get(rater)) for rater in raters]
                lines.append(_line([label, f"measured {_NAMES[metric]}{chosen}", *cells]))
    return [*lines, ""]


def _remarks(sweep: Sweep, missing: Mapping[str, str], marks: dict[str, int]) -> list[str]:
    lines = [f"[{marks[row.label]}] {row.label}: {row.note}.  " for row in sweep.row if row.note]
    if any(is_mean_of_printed(row, metric) for row in sweep.row for metric in METRIC_NAMES):
        lines.append("\\* not printed: the mean of the raters' printed figures.  ")
    lines = [*lines, ""] if lines else []
    if missing:
        lines += ["## Not measured", "", *(f"- {label}: {reason}" for label, reason in missing.items()), ""]
    if sweep.contradictions:
        lines += ["## Contradictions in what was published", "", *(f"- {one}" for one in sweep.contradictions)]
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _measured(figure: Figure | None) -> str:
    if figure is None or figure.measured is None:
        return "-"
    spread = "" if figure.spread is None else f" \N{PLUS-MINUS SIGN} {figure.spread:.3f}"
    return f"{figure.measured:.3f}{spread}"
