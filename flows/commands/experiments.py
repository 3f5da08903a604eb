"""Commands that compare: a paper's table, row by row, on a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.shared import JsonOption, StartOption, StoreOption, command, console


def sweep(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="K-table1 to K-table5, P-table2, or a TOML file.")],
    store: StoreOption,
    corpus: Annotated[
        Path | None, typer.Option(help="Ingest this corpus and follow its faces first; else the store as it is.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="What the rows change, in place of the sweep's own preset.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A run of every row for each; the sweep's by default.")] = None,
    start_from: StartOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a paper's table: published beside measured figures, and a plot. Resumes where it was stopped."""

    def work() -> dict[str, Any]:
        from schemas.runs import SweepRun
        from tasks.store.layout import existing_store

        if corpus is None:
            existing_store(store)
        from flows.sweeping import finished_sweep, sweep_of, sweeping_of

        run = SweepRun(
            sweep=name, store=store, corpus=corpus, preset=config, seeds=tuple(seed or ()), start_from=start_from
        )
        files = finished_sweep(run)
        if files is None:
            from flows.run_sweep import run_sweep

            files = run_sweep(run)
        else:
            console(as_json).print("nothing to do: every row stands on disk")
        return sweep_of(files, len(sweeping_of(run).sweep.row))

    command(work, as_json)
