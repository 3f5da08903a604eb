"""The command line: every command starts one flow, shows its progress, and says what came of it.

Exit codes: 0 all well; 1 some recordings failed and were reported; 2 unusable input or usage. The commands stand in
`flows/commands/`, by what they do; a new one goes into the module that it belongs to, or one of its own, and below.
"""

from __future__ import annotations

import typer

from flows.commands import agreement, analyze, evaluation, experiments, networks, pipeline, predictions, recordings

app = typer.Typer(
    help="From recordings of faces to per-rater valence predictions, with an honest CCC report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (  # in the order of --help
    pipeline.demo,
    analyze.analyze,
    recordings.ingest,
    agreement.agreement,
    recordings.faces,
    networks.train,
    networks.train_expression,
    networks.score_expression,
    predictions.features,
    predictions.predict,
    evaluation.evaluate,
    evaluation.compare,
    recordings.overlay,
    pipeline.run,
    experiments.sweep,
    networks.models,
):
    app.command()(_command)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
