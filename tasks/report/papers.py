"""The papers' tables beside what was measured here, each figure with the protocol it stands under."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.errors import StoreError
from schemas.score_tables import SWEEP_ROWS
from schemas.sweeps import SWEEPS, Sweep, load_sweep, sweep_protocol
from tasks.report.summary import Scores, ScoreTable, tabulate
from tasks.report.words import DASH, corpus_tag, number
from tasks.store.layout import Store
from tasks.store.parts import read_table
from tasks.sweep.figures import METRIC_NAMES, Figure, gather, is_mean_of_printed

PAPERS = ("K-table1", "K-table2", "K-table3", "K-table4", "K-table5", "P-table2")

LETTERS = (
    "K is Khorrami et al. 2016, P the poster on categorical to continuous emotion prediction; (C) marks what a paper "
    "leaves open and was chosen here."
)
"""What the letters in the tables stand for."""

CONTRADICTIONS = (
    "K and P are compared with each other in print, though their targets differ: K scores one gold standard, P each "
    "rater. Figures under different protocols are never comparable here.",
    "The paper on shallow and deep networks (V) does not say which test split of FER2013 it uses: its percentages by "
    "class fit neither official one. Its loss is printed as binary cross-entropy with softmax.",
    "AV+EC 2015, AVEC 2016 and AVEC 2018 differ in gold standard and in how CCC is pooled, so that published RECOLA "
    "figures can only be read with their protocol.",
)
"""Of the papers in general; those of a single table stand below it."""


@dataclass(frozen=True)
class PaperLine:
    """One line: whose figures, RMSE, CC and CCC as text, and the letter of their protocol."""

    label: str
    source: str
    cells: tuple[str, ...]
    protocol: str
    is_measured: bool


@dataclass(frozen=True)
class PaperTable:
    """One table of a paper."""

    name: str
    title: str
    lines: tuple[PaperLine, ...]
    raters: tuple[str, ...]
    by_rater: tuple[PaperLine, ...]
    """CCC rater by rater, where that was published."""
    notes: tuple[str, ...]
    contradictions: tuple[str, ...]
    command: str
    """What measures it here; "" where that has run."""


@dataclass(frozen=True)
class Papers:
    """Every table; `protocols` are (letter, words); `own` are this report's models beside them."""

    tables: tuple[PaperTable, ...]
    own: tuple[PaperLine, ...]
    protocols: tuple[tuple[str, str], ...]


class _Letters:
    """A letter for each protocol, in the order in which they turn up."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def of(self, words: str) -> str:
        if words not in self.words:
            self.words.append(words)
        return chr(ord("A") + self.words.index(words))


def read_papers(store: Store, scores: Scores, headline: ScoreTable, *, protocol: str, corpus_note: str) -> Papers:
    """All tables, with what `affectflow sweep` has measured in this store.

    Args:
        store: `S/sweeps/NAME/table.parquet` are read from it.
        scores: of the report's rows.
        headline: which partition and pooling the report is about.
        protocol: the report's, in words.
        corpus_note: of this store's corpus.
    """
    letters = _Letters()
    own = tuple(_own(scores, headline, letters.of(_here(protocol, headline, corpus_note))))
    tables = tuple(_table(store, name, letters, corpus_note) for name in PAPERS)
    return Papers(tables, own, tuple((letters.of(words), words) for words in letters.words))


def _here(protocol: str, table: ScoreTable, corpus_note: str) -> str:
    pooling = table.pooling.replace("_", " ")
    return f"this report: {protocol}; {table.partition} partition, {pooling}. {corpus_tag(corpus_note)}".strip()


def _own(scores: Scores, headline: ScoreTable, letter: str) -> Iterator[PaperLine]:
    tables = [
        tabulate(scores, partition=headline.partition, pooling=headline.pooling, metric=metric)
        for metric in METRIC_NAMES
    ]
    for rows in zip(*(table.rows for table in tables), strict=True):
        if rows[0].role in ("model", "single-frame", "trivial", "human"):
            yield PaperLine(rows[0].label, "this store", tuple(number(row.mean) for row in rows), letter, True)


def _table(store: Store, name: str, letters: _Letters, corpus_note: str) -> PaperTable:
    sweep = load_sweep(name)
    path = store.root / SWEEPS / name / "table.parquet"
    measured = path.exists()
    figures, words, selected = _measured(store, name) if measured else (_published_only(store, sweep), "", set[str]())
    published = letters.of(f"as published: {sweep.protocol}")
    tag = corpus_tag(corpus_note)
    own = letters.of(f"sweep {name}: {words}. {tag}".strip()) if measured else ""
    notes = [f"{row.label}: {row.note}" for row in sweep.row if row.note]
    if any(is_mean_of_printed(row, metric) for row in sweep.row for metric in METRIC_NAMES):
        notes.append("* not printed: the mean of the raters' printed figures")
    notes += [f"{row.label}: {row.absent}" for row in sweep.row if row.absent]
    raters = tuple(dict.fromkeys(rater for row in sweep.row for rater in row.published_by_rater))
    return PaperTable(
        name=name,
        title=sweep.title,
        lines=tuple(_lines(sweep, figures, published, own, selected)),
        raters=raters,
        by_rater=tuple(_by_rater(figures, raters, published, own, selected)),
        notes=tuple(notes),
        contradictions=sweep.contradictions,
        command="" if measured else f"affectflow sweep {name} --store S",
    )


def _published_only(store: Store, sweep: Sweep) -> list[Figure]:
    return gather(store, sweep, {}, sweep_protocol(sweep))


def _measured(store: Store, name: str) -> tuple[list[Figure], str, set[str]]:
    """Figures, protocol in words, and the partitions that the epochs were selected on."""
    path = store.root / SWEEPS / name / "table.parquet"
    rows = read_table(path, SWEEP_ROWS).to_pylist()
    if not rows:
        raise StoreError(f"{path}: expected figures, found none; run `affectflow sweep {name} --store {store.root}`")
    known = Figure.__dataclass_fields__
    figures = [Figure(**{key: value for key, value in row.items() if key in known}) for row in rows]
    return figures, str(rows[0]["measured_protocol"]), {row["partition"] for row in rows if row["selected_here"]}


def _lines(
    sweep: Sweep, figures: Sequence[Figure], published: str, own: str, selected: set[str]
) -> Iterator[PaperLine]:
    by_label = {row.label: row for row in sweep.row}
    for label in dict.fromkeys(one.row for one in figures):
        mine = [one for one in figures if one.row == label and one.rater is None]
        printed = {one.metric: one.published for one in mine if one.published is not None}
        if printed:
            stars = [label in by_label and is_mean_of_printed(by_label[label], metric) for metric in METRIC_NAMES]
            cells = [number(printed.get(metric)) + "*" * star for metric, star in zip(METRIC_NAMES, stars, strict=True)]
            yield PaperLine(label, f"published, {sweep.partition}", tuple(cells), published, False)
        for partition in dict.fromkeys(one.partition for one in mine if one.measured is not None):
            here = {one.metric: one for one in mine if one.partition == partition}
            cells = [_cell(here.get(metric)) for metric in METRIC_NAMES]
            yield PaperLine(label, _here_on(partition, selected), tuple(cells), own, True)


def _by_rater(
    figures: Sequence[Figure], raters: Sequence[str], published: str, own: str, selected: set[str]
) -> Iterator[PaperLine]:
    """CCC of every rater that the paper prints, then of the raters in turn here."""
    if not raters:
        return
    single = [one for one in figures if one.rater is not None and one.metric == "ccc"]
    for label in dict.fromkeys(one.row for one in single):
        mine = [one for one in single if one.row == label]
        printed = {one.rater: one.published for one in mine if one.published is not None}
        if printed:
            yield PaperLine(label, "published", tuple(number(printed.get(rater)) for rater in raters), published, False)
        for partition in dict.fromkeys(one.partition for one in mine if one.measured is not None):
            here = {one.rater: one for one in mine if one.partition == partition}
            if set(raters) & set(here):
                cells = tuple(_cell(here.get(rater)) for rater in raters)
                yield PaperLine(label, _here_on(partition, selected), cells, own, True)


def _here_on(partition: str, selected: set[str]) -> str:
    return f"here, {partition}" + (", selected there" if partition in selected else "")


def _cell(figure: Figure | None) -> str:
    if figure is None or figure.measured is None:
        return DASH
    return number(figure.measured) + (f" \N{PLUS-MINUS SIGN} {number(figure.spread)}" if figure.spread else "")
