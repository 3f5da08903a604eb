"""Commands on networks: training them, and listing them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.shared import JsonOption, StartOption, StoreOption, command, console


class Views(Enum):
    """Of a face: itself; and its mirror image; and four shifts of both."""

    ONE = "1"
    TWO = "2"
    TEN = "10"


def train(
    store: StoreOption,
    config: Annotated[
        str, typer.Option("--config", "-c", help="Preset: a name in conf/, such as khorrami-cnn, or a TOML file.")
    ],
    features_model: Annotated[
        str | None, typer.Option(help="The CNN whose features an RNN reads; needed if the store holds several.")
    ] = None,
    start_from: StartOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit one model: a CNN on chips, or an RNN on features. Goes on from its last epoch if it was stopped."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import results
        from flows.train_model import train_model
        from schemas.runs import TrainRun

        card = train_model(TrainRun(store=store, config=config, features_model=features_model, start_from=start_from))
        return results.training_of(store, card)

    command(work, as_json)


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
    start_from: StartOption = None,
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
        from flows.train_expression import settings_of
        from flows.train_expression import train_expression as flow
        from schemas.runs import ExpressionTrainRun
        from tasks.expression.networks import input_shape

        run = ExpressionTrainRun(
            data=data,
            store=store,
            config=config,
            network=network,
            start_from=start_from,
            votes=votes,
            seeds=tuple(seed or ()),
            device=device,
            score_test=score_test,
        )
        input_shape(settings_of(run).network)  # a mistyped name is told now, not when Prefect has started
        return results.expressions_of(flow(run))

    command(work, as_json)


def score_expression(
    data: Annotated[
        Path,
        typer.Option("--data", "-d", help="fer2013.csv, icml_face_data.csv, a folder test/<class>/, AffectNet's."),
    ],
    store: StoreOption,
    model: Annotated[
        str, typer.Option("--model", "-m", help="An expression model: id, name, or folder; shipped: the package's own.")
    ] = "shipped",
    split: Annotated[
        list[str] | None, typer.Option(help="public_test | private_test | validation | test; by default all there are.")
    ] = None,
    votes: Annotated[Path | None, typer.Option(help="FER+'s fer2013new.csv: its majority is what counts.")] = None,
    views: Annotated[Views | None, typer.Option(help="Averaged for each face; as in the model's training.")] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | cuda:N")] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Score a finished expression network, or the one that ships, on labelled faces: yours, or a split kept apart."""

    def work() -> dict[str, Any]:
        from flows import results
        from flows.score_expression import score_expression as flow
        from schemas.runs import ExpressionScoreRun

        run = ExpressionScoreRun.model_validate(
            {
                "data": data,
                "store": store,
                "model": model,
                "splits": tuple(split or ()),
                "votes": votes,
                "views": None if views is None else int(views.value),
                "device": device,
            }
        )
        return results.expression_scores_of(flow(run))

    command(work, as_json)


def models(
    store: Annotated[
        Path | None, typer.Option("--store", "-s", help="Also what the models of this store came to.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the networks: input, parameters, paper, what was published and what was measured here."""

    def work() -> dict[str, Any]:
        from flows.list_networks import list_networks

        return list_networks(store, console(as_json))

    command(work, as_json)
