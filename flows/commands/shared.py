"""What the commands share: their options, and how one starts, shows its progress and leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.environment import prepare_environment
from schemas.errors import AffectFlowError, CorpusError

StoreOption = Annotated[Path, typer.Option("--store", "-s", help="Folder of the store (plain Parquet).")]
PresetOption = Annotated[
    str, typer.Option("--config", "-c", help="Preset: a name in conf/, or the path of a TOML file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, for machines.")]
CorpusArgument = Annotated[Path, typer.Argument(help="RECOLA's or AVEC's tree, or a folder with a manifest.csv.")]
ManifestOption = Annotated[
    Path | None,
    typer.Option(help="CSV (recording, subject, video, ratings, partition, scale) in place of the corpus's own."),
]
PartitionsOption = Annotated[
    Path | None, typer.Option(help="CSV (subject, partition) in place of what RECOLA's table or AVEC's names say.")
]
StartOption = Annotated[
    str | None,
    typer.Option(help="An expression model to start from: a folder, an id or name in the store, or shipped."),
]
WorkersOption = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0 is one for each core.")]
AllFacesOption = Annotated[
    bool | None, typer.Option("--all-faces/--main-face", help="Also a row in `people` for every other face.")
]


def command(work: Callable[[], dict[str, Any]], as_json: bool) -> None:
    """Do the work, print what came of it, and leave with the code that the errors call for."""
    prepare_environment(quiet=True)
    _report_to(Console(stderr=True))
    errors = Console(stderr=True, soft_wrap=True)
    try:
        result = work()
    except CorpusError as error:
        show_problems(error.problems, errors)
        errors.print(f"[bold red]error:[/] {_escape(str(error))}")
        raise typer.Exit(error.exit_code) from error
    except AffectFlowError as error:
        errors.print(f"[bold red]error:[/] {_escape(str(error))}")
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        errors.print("stopped; run the same command again to go on from here")
        raise typer.Exit(130) from error
    said = result.pop("said", None)
    if as_json:
        typer.echo(json.dumps(result, default=_json))
    elif said:
        typer.echo(said)
    for model_id, why in result.get("left_out", {}).items():
        errors.print(f"[bold yellow]left out:[/] {_escape(model_id)}: {_escape(why)}")
    if result.get("failed"):
        errors.print(f"[bold yellow]failed:[/] {result['failed']} (why: the failures table of the store)")
    if result.get("failed") or result.get("left_out"):
        raise typer.Exit(1)


def _report_to(console: Console) -> None:
    from flows.terminal import RichReporter
    from tasks.progress import set_reporter

    set_reporter(RichReporter(console))


def console(as_json: bool) -> Console:
    """Where a command prints: stdout, or stderr where stdout is for JSON."""
    return Console(stderr=as_json)


def show_problems(problems: Any, console: Console) -> None:
    from flows.terminal import problems_table

    if problems:
        console.print(problems_table(problems))


def _json(value: Any) -> Any:
    if isinstance(value, Path | Enum):
        return str(value)
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
