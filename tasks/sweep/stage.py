"""Write what a sweep came to: a table for machines, a page and a picture for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from schemas.evaluation import EvaluateSettings
from schemas.score_tables import SWEEP_ROWS
from schemas.sweeps import SWEEPS, Sweep
from tasks.evaluation.protocol import describe
from tasks.ingest.recordings import read_corpus_note
from tasks.store.layout import Store
from tasks.store.parts import Provenance, replacing, stage_key, write_part, write_text
from tasks.sweep.figures import POOLING, Outcome, gather, missing_rows
from tasks.sweep.page import render
from tasks.sweep.picture import draw

STAGE = "sweep"
STAGE_VERSION = 1


@dataclass(frozen=True)
class SweepFiles:
    """What a sweep wrote below `S/sweeps/NAME/`, and the rows that it could not measure, with the reason."""

    folder: Path
    missing: dict[str, str]

    @property
    def table(self) -> Path:
        return self.folder / "table.parquet"

    @property
    def page(self) -> Path:
        return self.folder / "table.md"


def write_sweep(
    store: Store, name: str, sweep: Sweep, outcomes: Mapping[str, Outcome], settings: EvaluateSettings
) -> SweepFiles:
    """Write `table.parquet`, `table.csv`, `table.md`, `ccc.png` and `ccc.svg` of what has been run so far.

    Files that would come out the same keep their time: a report that shows the sweep stays current.

    Args:
        store: metrics are read from it.
        name: of the sweep.
        sweep: its rows.
        outcomes: by label, of the rows that have been run.
        settings: the protocol that they were scored under.
    """
    folder = store.root / SWEEPS / name
    figures = gather(store, sweep, outcomes, settings)
    cards = [card for outcome in outcomes.values() for card in outcome.models]
    note, protocol = read_corpus_note(store), describe(settings, cards)
    shared = {
        "sweep": name,
        "pooling": POOLING,
        "published_protocol": sweep.protocol,
        "measured_protocol": protocol,
        "corpus_note": note,
    }
    rows = [
        {**shared, **dataclasses.asdict(one), "selected_here": one.partition == settings.selected_on} for one in figures
    ]
    table = pa.Table.from_pylist(rows, schema=SWEEP_ROWS)
    read = [card.stage_key for card in cards]
    key = stage_key(STAGE, STAGE_VERSION, {"sweep": sweep.keyed(), "protocol": settings.keyed()}, read)
    files = SweepFiles(folder, missing_rows(sweep, outcomes))
    write_part(files.table, table, Provenance(stage=STAGE, stage_key=key))
    with replacing(folder / "table.csv") as temporary:
        pyarrow.csv.write_csv(table, temporary)
    for kind, data in draw(sweep, figures, note=note, selected_on=settings.selected_on).items():
        with replacing(folder / f"ccc.{kind}") as temporary:
            temporary.write_bytes(data)
    golds = [name for name in settings.gold if name != "none"]
    target = f"figures against gold standard {golds[0]}" if golds else "figures are means over raters"
    page = render(
        sweep,
        figures,
        files.missing,
        measured=f"{protocol}; {target}",
        note=note,
        selected_on=settings.selected_on,
        picture="ccc.png",
    )
    write_text(files.page, page)
    return files
