"""Flow: fit one model on what the store holds."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import training_of
from schemas.cards import ModelCard
from schemas.errors import SettingsError
from schemas.runs import TrainRun
from schemas.training import CnnTraining
from tasks.store.cards import read_cards
from tasks.store.layout import Store


@flow(name="train-model", flow_run_name="train {run.config} in {run.store.name}")
def train_model(run: TrainRun) -> ModelCard:
    """Train a CNN on chips or an RNN on a CNN's features; what was trained on exactly this is returned as it is.

    Raises:
        SettingsError: there are no such settings, they are out of range, or an RNN's CNN is not named and there is not
            exactly one.
        TrainingError: the store holds nothing to train on.
    """
    settings = training_of(run)
    with stages.on_store(run.store) as store:
        if isinstance(settings, CnnTraining):
            return stages.train(store, settings)
        return stages.train(store, settings, run.features_model or only_features_model(store))


def only_features_model(store: Store) -> str:
    """The one CNN whose features the store holds.

    Raises:
        SettingsError: there is none, or more than one.
    """
    folder = store.root / "features"
    found = [
        card.model_id
        for card in read_cards(store)
        if card.input == "chips" and any((folder / card.model_id).glob("*/part-*.parquet"))
    ]
    if len(found) != 1:
        raise SettingsError(
            f"{store.root}: an RNN reads one CNN's features, found features of {', '.join(found) or 'none'}; "
            "name one with --features-model, or run `affectflow features` first"
        )
    return found[0]
