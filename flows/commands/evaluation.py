"""Commands on predictions: their scores, and what two models differ by."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.commands.shared import JsonOption, PresetOption, StoreOption, command, console
from schemas.presets import DEFAULT_PRESET

ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", "-p", help="A name in conf/protocols/, or a TOML file; by default the preset's."),
]


def evaluate(
    store: StoreOption,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="Id of a model; all by default.")] = None,
    protocol: ProtocolOption = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Score predictions beside trivial predictors and people, and write the report. What would leak is an error."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import results
        from flows.evaluate_predictions import evaluate_predictions
        from schemas.runs import EvaluateRun

        run = EvaluateRun(store=store, models=tuple(model or ()), protocol=protocol, preset=config)
        evaluate_predictions(run)
        return results.show_evaluation(run, console(as_json))

    command(work, as_json)


def compare(
    model_a: Annotated[str, typer.Argument(help="Id of a model, or of another predictor, such as training-mean.")],
    model_b: Annotated[str, typer.Argument(help="Id of the one that it is held against.")],
    store: StoreOption,
    protocol: ProtocolOption = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """What two models differ by, on the same recordings, with intervals from the same resamples of these."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import comparing
        from schemas.runs import CompareRun

        run = CompareRun(store=store, model_a=model_a, model_b=model_b, protocol=protocol, preset=config)
        return comparing.compare_and_show(run, console(as_json))

    command(work, as_json)
