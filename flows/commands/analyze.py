"""The command for newcomers: clips in, a table, a page and a video of each out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.shared import JsonOption, WorkersOption, command, console


def analyze(
    clips: Annotated[list[Path], typer.Argument(help="Videos; no corpus and no training needed.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for CLIP.parquet, CLIP.html and CLIP.mp4 of each.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Folder of an expression model of yours; shipped: the package's own.")
    ] = "shipped",
    workers: WorkersOption = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Name the expressions in clips and estimate valence, by the weights that ship. Resumes where it was stopped."""

    def work() -> dict[str, Any]:
        from flows.analyzing import analyze_and_show
        from schemas.runs import AnalyzeRun

        run = AnalyzeRun(clips=tuple(clips), out=out, model=model, workers=workers, device=device)
        return analyze_and_show(run, console(as_json))

    command(work, as_json)
