"""`affectflow compare`: two models on the same recordings, told with their protocol."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from flows.presets import settings_of
from schemas.errors import StoreError
from schemas.runs import CompareRun
from tasks.evaluation.compare import Difference, compare
from tasks.evaluation.leaks import MARK, unchecked
from tasks.evaluation.plan import HUMAN, TRIVIAL
from tasks.evaluation.stage import gold_standards
from tasks.ingest.recordings import read_corpus_note, read_recordings
from tasks.store.cards import read_card, read_cards
from tasks.store.layout import Store
from tasks.store.lock import writing


def compare_and_show(run: CompareRun, console: Console) -> dict[str, Any]:
    """Compare, and print the CCC of both, their difference and its interval for every rater and gold standard.

    Returns: every metric, for machines.

    Raises:
        StoreError: a model is not in the store, or the two are of different dimensions.
        LeakError: a score would be of what was fitted or selected on the same recordings or people.
    """
    store, settings = Store(run.store), settings_of(run).evaluate
    models = (run.model_a, run.model_b)
    dimension = _dimension(store, models, settings.ceiling)
    recordings = read_recordings(store)
    with writing(store.root):  # a chain that has not been fitted yet is written
        found = compare(store, recordings, models, dimension, settings)
    golds = gold_standards(store, recordings, dimension, settings)
    open_questions = unchecked(recordings, [card for card in read_cards(store) if card.model_id in models])
    note = " (synthetic corpus)" if read_corpus_note(store) else ""
    for partition, pooling in dict.fromkeys((one.partition, one.pooling) for one in found):
        shown = [one for one in found if (one.partition, one.pooling, one.metric) == (partition, pooling, "ccc")]
        console.print(_table(shown, models, note=note))
    console.print(f"protocol: {found[0].protocol_line}", soft_wrap=True)
    for gold in golds:
        console.print(f"{gold.partition}: {gold.words}", soft_wrap=True, highlight=False, markup=False)
    for told in open_questions:
        console.print(f"not checked: {told}", soft_wrap=True, highlight=False, markup=False)
    return {
        "models": list(models),
        "dimension": dimension,
        "protocol": found[0].protocol,
        "protocol_line": found[0].protocol_line,
        "gold_standards": [dataclasses.asdict(gold) | {"words": gold.words} for gold in golds],
        "unchecked": list(open_questions),
        "differences": [{**dataclasses.asdict(one), "is_clear": one.is_clear} for one in found],
    }


def _dimension(store: Store, models: Sequence[str], ceiling: str | None) -> str:
    cards = [read_card(store, name) for name in models if name not in (*TRIVIAL, *HUMAN, ceiling)]
    dimensions = sorted({card.dimension for card in cards})
    if len(dimensions) != 1:
        raise StoreError(
            f"{store.root}: expected a model to compare, and both of one dimension, found "
            f"{', '.join(dimensions) or 'none with a card'}; affectflow evaluate --json lists the models"
        )
    return dimensions[0]


def _table(shown: Sequence[Difference], models: tuple[str, str], *, note: str) -> Table:
    first = shown[0]
    count, pooling = first.num_recordings, first.pooling.replace("_", " ")
    recordings = f"{count} recording{'' if count == 1 else 's'} {pooling}"
    marked = f" ({MARK})" if first.is_selected_here else ""
    table = Table(
        title=f"CCC, {first.partition}, {recordings}{note}: {models[0]} against {models[1]}",
        title_justify="left",
        caption=f"protocol {first.protocol}{marked}",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for heading in ("first", "second", "difference", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for one in shown:
        name = f"gold {one.column}" if one.target == "gold" else one.column
        ends = "-" if one.low is None or one.high is None else f"[{one.low:+.3f}, {one.high:+.3f}]"
        style = "bold" if one.target == "mean" else ""
        values = (_number(one.a), _number(one.b), _number(one.difference, sign=True))
        table.add_row(name, *values, ends, _verdict(one, marked), style=style)
    return table


def _verdict(one: Difference, marked: str) -> str:
    if one.reason:
        return one.reason
    if marked:
        return "no claim"
    return {True: "0 left out", False: "0 inside", None: ""}[one.is_clear]


def _number(value: float | None, *, sign: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if sign else ''}.3f}"
