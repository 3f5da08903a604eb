"""Training as a Prefect task, and the slot that GPU work takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency

from schemas.cards import ModelCard
from schemas.training import CnnTraining, RnnTraining
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store
from tasks.training.devices import resolve_device
from tasks.training.stage import train_model

GPU_LIMIT = "gpu"


@contextmanager
def gpu_slot(device: str) -> Iterator[None]:
    """Take one slot of Prefect's global concurrency limit `gpu` while the device is a GPU; free on a CPU.

    Args:
        device: as in the settings: `auto`, `cpu`, `cuda`, `cuda:N`.
    """
    if resolve_device(device).type == "cpu":
        yield
        return
    with concurrency(GPU_LIMIT, occupy=1):
        yield


@task(name="train-model", task_run_name="train {settings.name}", tags=["training"], cache_policy=NO_CACHE)
def train_model_task(
    store: Path, settings: CnnTraining | RnnTraining, features_model_id: str | None = None
) -> ModelCard:
    """See `tasks.training.stage.train_model`."""
    with gpu_slot(settings.device):
        recordings = read_recordings(Store(store))
        return train_model(Store(store), recordings, settings, features_model_id=features_model_id)
