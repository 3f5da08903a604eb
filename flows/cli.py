"""The command line: every command starts one flow, shows its progress, and says what came of it.

Exit codes: 0 all well; 1 some recordings failed and were reported; 2 unusable input or usage.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.environment import prepare_environment
from schemas.errors import AffectFlowError, CorpusError
from schemas.presets import DEFAULT_PRESET

app = typer.Typer(
    help="From recordings of faces to per-rater valence predictions, with an honest CCC report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreOption = Annotated[Path, typer.Option("--store", "-s", help="Folder of the store (plain Parquet).")]
PresetOption = Annotated[
    str, typer.Option("--config", "-c", help="Preset: a name in conf/, or the path of a TOML file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout, for machines.")]
CorpusArgument = Annotated[Path, typer.Argument(help="A RECOLA tree, or a folder with a manifest.csv.")]
ManifestOption = Annotated[
    Path | None, typer.Option(help="Manifest: recording, subject, video, ratings, partition, scale.")
]
PartitionsOption = Annotated[
    Path | None, typer.Option(help="CSV (subject, partition) in place of RECOLA's built-in table.")
]
WorkersOption = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0 is one for each core.")]
AllFacesOption = Annotated[
    bool | None, typer.Option("--all-faces/--main-face", help="Also a row in `people` for every other face.")
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")] = Path("affectflow-demo"),
    as_json: JsonOption = False,
) -> None:
    """Make a small SYNTHETIC RECOLA-style corpus, run every stage on it, and show the scores."""

    def work() -> dict[str, Any]:
        from flows import demo as demonstration

        return demonstration.run_demo(out, _console(as_json))

    _command(work, as_json)


@app.command()
def ingest(
    corpus: CorpusArgument,
    store: StoreOption,
    manifest: ManifestOption = None,
    partitions: PartitionsOption = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Find recordings, ratings and partitions; validate all of it; write `recordings` and `ratings`."""

    def work() -> dict[str, Any]:
        from flows.ingest_recordings import ingest_recordings
        from schemas.runs import IngestRun

        run = IngestRun(corpus=corpus, store=store, manifest=manifest, partitions=partitions, preset=config)
        summary = ingest_recordings(run)
        _show_problems(summary.problems, _console(as_json))
        said = f"{summary.recordings} recordings in {store}: {summary.ingested} new or changed, {summary.failed} failed"
        return {**dataclasses.asdict(summary), "said": f"{said}\nnext: affectflow faces --store {store}"}

    _command(work, as_json)


@app.command()
def faces(
    store: StoreOption,
    workers: WorkersOption = None,
    all_faces: AllFacesOption = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Decode, detect and align: one row in `frames` for every decoded frame."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import results
        from flows.extract_faces import extract_faces
        from schemas.runs import FacesRun

        failed = extract_faces(FacesRun(store=store, workers=workers, all_faces=all_faces, preset=config))
        return {**results.faces_in(store), "failed": failed}

    _command(work, as_json)


@app.command()
def train(
    store: StoreOption,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="TOML of one training, such as conf/khorrami-cnn.toml.")
    ],
    features_model: Annotated[
        str | None, typer.Option(help="The CNN whose features an RNN reads; needed if the store holds several.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit one model: a CNN on chips, or an RNN on features. Goes on from its last epoch if it was stopped."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import results
        from flows.train_model import train_model
        from schemas.runs import TrainRun

        card = train_model(TrainRun(store=store, config=config, features_model=features_model))
        return results.training_of(store, card)

    _command(work, as_json)


@app.command()
def train_expression(
    data: Annotated[
        Path,
        typer.Option("--data", "-d", help="fer2013.csv, icml_face_data.csv, a folder train/<class>/, AffectNet's."),
    ],
    store: StoreOption,
    config: Annotated[
        str, typer.Option("--config", "-c", help="Preset: a name in conf/, such as expression/deep, or a TOML file.")
    ],
    network: Annotated[
        str | None, typer.Option("--network", "-n", help="In place of the preset's; affectflow models lists them.")
    ] = None,
    votes: Annotated[Path | None, typer.Option(help="FER+'s fer2013new.csv, for presets that read votes.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="One run each; the preset's by default.")] = None,
    device: Annotated[str | None, typer.Option(help="auto | cpu | cuda | cuda:N; the preset's by default.")] = None,
    score_test: Annotated[
        bool, typer.Option("--score-test", help="Score the test splits too: once, when a recipe is finished.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a network to name expressions; scored on a part of Training. Goes on from its last checkpoint."""

    def work() -> dict[str, Any]:
        from flows import results
        from flows.train_expression import train_expression as flow
        from schemas.runs import ExpressionTrainRun

        run = ExpressionTrainRun(
            data=data,
            store=store,
            config=config,
            network=network,
            votes=votes,
            seeds=tuple(seed or ()),
            device=device,
            score_test=score_test,
        )
        return results.expressions_of(flow(run))

    _command(work, as_json)


@app.command()
def features(
    store: StoreOption,
    model: Annotated[str, typer.Option("--model", "-m", help="Id of a CNN in the store.")],
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Compute a CNN's features of every frame."""

    def work() -> dict[str, Any]:
        from tasks.store.cards import read_card
        from tasks.store.layout import existing_store

        read_card(existing_store(store), model)
        from flows.extract_features import extract_features
        from schemas.runs import ModelRun

        summary = extract_features(ModelRun(store=store, model=model, preset=config))
        said = f"{summary.model_id}: features of {summary.recordings} recordings, {summary.frames} frames"
        return {**dataclasses.asdict(summary), "said": said}

    _command(work, as_json)


@app.command()
def predict(
    store: StoreOption,
    model: Annotated[str, typer.Option("--model", "-m", help="Id of a model in the store.")],
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Predict every rater's value at every frame of every recording."""

    def work() -> dict[str, Any]:
        from tasks.store.cards import read_card
        from tasks.store.layout import existing_store

        read_card(existing_store(store), model)
        from flows.predict_valence import predict_valence
        from schemas.runs import ModelRun

        summary = predict_valence(ModelRun(store=store, model=model, preset=config))
        said = f"{summary.model_id}: predictions of {summary.recordings} recordings"
        return {**dataclasses.asdict(summary), "said": f"{said}\nnext: affectflow evaluate --store {store}"}

    _command(work, as_json)


@app.command()
def evaluate(
    store: StoreOption,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Id of a model; all by default.")] = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Score predictions beside the trivial predictors, and write the report."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import results
        from flows.evaluate_predictions import evaluate_predictions
        from schemas.runs import EvaluateRun

        run = EvaluateRun(store=store, models=tuple(model or ()), preset=config)
        files = evaluate_predictions(run)
        return results.show_evaluation(run, files.html, _console(as_json))

    _command(work, as_json)


@app.command()
def overlay(
    recording: Annotated[str, typer.Argument(help="Id of a recording in the store, or its name in the corpus.")],
    store: StoreOption,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Video to write (.mp4); RECORDING-overlay.mp4 here by default.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose predictions to draw; the report's first by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the stored rows into the recording's own pictures: box, landmarks, chip, quality, running trace."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        found = existing_store(store)
        from tasks.overlay.stage import write_overlay

        written = write_overlay(found, recording, target=out, model=model)
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in written.shares.items())
        said = f"{written.path}: {written.num_frames} frames ({shares}); predictions: {written.model_id or 'none'}"
        return {**dataclasses.asdict(written), "said": said}

    _command(work, as_json)


@app.command()
def run(
    corpus: CorpusArgument,
    store: StoreOption,
    manifest: ManifestOption = None,
    partitions: PartitionsOption = None,
    config: PresetOption = DEFAULT_PRESET,
    workers: WorkersOption = None,
    all_faces: AllFacesOption = None,
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
            control=control,
        )
        return results.run_and_show(wanted, _console(as_json))

    _command(work, as_json)


@app.command()
def models(
    store: Annotated[
        Path | None, typer.Option("--store", "-s", help="Also what the models of this store came to.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the networks: input, parameters, paper, what was published and what was measured here."""

    def work() -> dict[str, Any]:
        from flows.list_networks import list_networks

        return list_networks(store, _console(as_json))

    _command(work, as_json)


def main() -> None:
    """Entry point of the console script."""
    app()


def _command(work: Callable[[], dict[str, Any]], as_json: bool) -> None:
    """Do the work, print what came of it, and leave with the code that the errors call for."""
    prepare_environment(quiet=True)
    _report_to(Console(stderr=True))
    errors = Console(stderr=True, soft_wrap=True)
    try:
        result = work()
    except CorpusError as error:
        _show_problems(error.problems, errors)
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
    if result.get("failed"):
        errors.print(f"[bold yellow]failed:[/] {result['failed']} (why: the failures table of the store)")
        raise typer.Exit(1)


def _report_to(console: Console) -> None:
    from flows.terminal import RichReporter
    from tasks.progress import set_reporter

    set_reporter(RichReporter(console))


def _console(as_json: bool) -> Console:
    """Where a command prints: stdout, or stderr where stdout is for JSON."""
    return Console(stderr=as_json)


def _show_problems(problems: Any, console: Console) -> None:
    from flows.terminal import problems_table

    if problems:
        console.print(problems_table(problems))


def _json(value: Any) -> Any:
    if isinstance(value, Path | Enum):
        return str(value)
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


if __name__ == "__main__":
    main()
