"""Commands from recordings to the report: the demo, and the whole pipeline on a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.shared import (
    AllFacesOption,
    CorpusArgument,
    JsonOption,
    ManifestOption,
    PartitionsOption,
    PresetOption,
    StartOption,
    StoreOption,
    WorkersOption,
    command,
    console,
)
from schemas.presets import DEFAULT_PRESET


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")] = Path("affectflow-demo"),
    as_json: JsonOption = False,
) -> None:
    """Make a small SYNTHETIC RECOLA-style corpus, run every stage on it, and show the scores."""

    def work() -> dict[str, Any]:
        from flows import demo as demonstration

        return demonstration.run_demo(out, console(as_json))

    command(work, as_json)


def run(
    corpus: CorpusArgument,
    store: StoreOption,
    manifest: ManifestOption = None,
    partitions: PartitionsOption = None,
    config: PresetOption = DEFAULT_PRESET,
    workers: WorkersOption = None,
    all_faces: AllFacesOption = None,
    start_from: StartOption = None,
    control: Annotated[
        bool | None, typer.Option("--control/--no-control", help="Also train on swapped ratings: expected near 0.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Everything, from recordings to the report. Resumes where an earlier run stopped; does nothing twice."""

    def work() -> dict[str, Any]:
        from flows import results
        from schemas.runs import PipelineRun

        wanted = PipelineRun(
            corpus=corpus,
            store=store,
            manifest=manifest,
            partitions=partitions,
            preset=config,
            workers=workers,
            all_faces=all_faces,
            start_from=start_from,
            control=control,
        )
        return results.run_and_show(wanted, console(as_json))

    command(work, as_json)
