"""The CCC of a sweep as a picture: a line for each row, published and measured in marks of their own."""

from __future__ import annotations

import io
from collections.abc import Sequence

from schemas.sweeps import Sweep
from tasks.sweep.figures import Figure

_MARKS = {"dev": ("o", "#0072B2"), "test": ("s", "#D55E00"), "train": ("^", "#009E73")}  # Okabe and Ito's colours
_FORMATS = ("png", "svg")


def draw(sweep: Sweep, figures: Sequence[Figure], *, note: str, selected_on: str) -> dict[str, bytes]:
    """The picture as PNG and as SVG.

    Args:
        sweep: title and order of the rows.
        figures: of `tasks.sweep.figures.gather`.
        note: what must be said of the corpus; "" if there is nothing.
        selected_on: the partition that chose the epochs.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    ccc = [one for one in figures if one.metric == "ccc" and one.rater is None]
    labels = list(dict.fromkeys([*(row.label for row in sweep.row), *(one.row for one in ccc)]))
    places = {label: len(labels) - 1 - number for number, label in enumerate(labels)}
    with mpl.rc_context({"svg.hashsalt": "affectflow", "svg.fonttype": "none", "font.size": 9}):
        canvas = Canvas(figsize=(7.5, 1.4 + 0.42 * len(labels)), layout="constrained")
        axes = canvas.add_subplot()
        published = [one for one in ccc if one.published is not None]
        if published:
            axes.plot(
                [one.published or 0.0 for one in published],
                [places[one.row] + 0.2 for one in published],
                "D",
                markerfacecolor="none",
                color="#555555",
                label=f"published, {sweep.partition}",
            )
        for place, partition in enumerate(dict.fromkeys(one.partition for one in ccc)):
            own = [one for one in ccc if one.partition == partition and one.measured is not None]
            if not own:
                continue
            mark, colour = _MARKS[partition]
            axes.errorbar(
                [one.measured or 0.0 for one in own],
                [places[one.row] - 0.2 * place for one in own],
                xerr=[one.spread or 0.0 for one in own],
                fmt=mark,
                color=colour,
                capsize=2,
                label=f"measured, {partition}{' (selected there)' if partition == selected_on else ''}",
            )
        axes.set_yticks(list(places.values()), list(places))
        axes.set_ylim(-0.6, len(labels) - 0.4)
        axes.axvline(0, color="#999999", linewidth=0.8)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("CCC, concatenated; bars: standard deviation over seeds")
        axes.set_title(f"{sweep.title}\n{note}" if note else sweep.title, loc="left", wrap=True, fontsize=9)
        if axes.get_legend_handles_labels()[0]:
            canvas.legend(loc="outside lower center", ncols=3, frameon=False)
        return {kind: _saved(canvas, kind) for kind in _FORMATS}


def _saved(canvas: object, kind: str) -> bytes:
    from matplotlib.figure import Figure as Canvas

    assert isinstance(canvas, Canvas)
    file = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    canvas.savefig(file, format=kind, dpi=130, metadata=metadata)
    return file.getvalue()
