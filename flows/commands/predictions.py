"""Commands on a trained model: its features and its predictions."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Annotated, Any

import typer

from flows.commands.shared import JsonOption, PresetOption, StoreOption, command
from schemas.presets import DEFAULT_PRESET


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

    command(work, as_json)


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
        return {
            **dataclasses.asdict(summary),
            "said": f"{said}\nnext: affectflow evaluate --store {shlex.quote(str(store))}",
        }

    command(work, as_json)
