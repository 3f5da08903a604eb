"""GPU work takes a slot of the global concurrency limit `gpu`; CPU work takes none. The device is a stand-in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from schemas.settings import FeaturesSettings, PredictSettings
from schemas.training import CnnTraining

from .conftest import PrefectServer

pytestmark = pytest.mark.server

LIMIT = "v2/concurrency_limits"
STAGES = {"training": "train_model", "features": "extract_features", "prediction": "predict"}


@pytest.fixture(scope="module")
def limited_server(prefect_server: PrefectServer) -> Iterator[httpx.Client]:
    """The API of a server that has the limit `gpu` with one slot."""
    with httpx.Client(base_url=prefect_server.api_url + "/", timeout=60) as api:
        api.post(f"{LIMIT}/", json={"name": "gpu", "limit": 1}).raise_for_status()
        yield api


@pytest.fixture
def slots_taken(limited_server: httpx.Client, use_server: PrefectServer) -> Callable[[], int]:
    """Says how many slots of `gpu` are taken on the server that this process uses."""

    def taken() -> int:
        return int(limited_server.get(f"{LIMIT}/gpu").raise_for_status().json()["active_slots"])

    return taken


@pytest.fixture
def use_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes every device setting mean the one given."""

    def use(name: str) -> None:
        monkeypatch.setattr("tasks.training.task.resolve_device", lambda _: torch.device(name))

    return use


def run_task(stage: str, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the Prefect task of a stage with `work` in the place of what the stage does."""
    from tasks.features.task import extract_features_task
    from tasks.prediction.task import predict_task
    from tasks.training.task import train_model_task

    module = f"tasks.{stage}.task"

    def stand_in(*_: Any, **__: Any) -> None:
        work()

    monkeypatch.setattr(f"{module}.{STAGES[stage]}", stand_in)
    monkeypatch.setattr(f"{module}.read_recordings", lambda _: [])
    store = Path("store")
    if stage == "training":
        train_model_task(store, CnnTraining())
        return
    monkeypatch.setattr(f"{module}.read_card", lambda *_: None)
    if stage == "features":
        extract_features_task(store, "cnn-01234567", FeaturesSettings())
    else:
        predict_task(store, "cnn-01234567", PredictSettings())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("device", "expected"), [("cuda", 1), ("cuda:1", 1), ("cpu", 0)])
def test_a_stage_holds_a_slot_while_it_works_on_a_gpu(
    stage: str,
    device: str,
    expected: int,
    slots_taken: Callable[[], int],
    use_device: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_device(device)
    during: list[int] = []
    run_task(stage, lambda: during.append(slots_taken()), monkeypatch)
    assert during == [expected]
    assert slots_taken() == 0


def test_the_second_waits_until_the_first_lets_go(
    slots_taken: Callable[[], int], use_device: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.training.task import gpu_slot

    use_device("cuda")
    holding, let_go, second_works = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with gpu_slot("auto"):
            holding.set()
            let_go.wait(60)

    def second() -> None:
        run_task("features", second_works.set, monkeypatch)

    threads = [threading.Thread(target=copy_context().run, args=(target,)) for target in (first, second)]
    threads[0].start()
    assert holding.wait(30)
    threads[1].start()
    assert not second_works.wait(4)
    assert slots_taken() == 1
    let_go.set()
    assert second_works.wait(60)
    for thread in threads:
        thread.join(30)
    assert slots_taken() == 0


def test_a_slot_is_given_back_when_the_work_fails(
    slots_taken: Callable[[], int], use_device: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_device("cuda")

    def fail() -> None:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        run_task("training", fail, monkeypatch)
    assert slots_taken() == 0


def test_without_the_limit_gpu_work_goes_on(
    use_server: PrefectServer, use_device: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_device("cuda")
    monkeypatch.setattr("tasks.training.task.GPU_LIMIT", "a-limit-that-nobody-made")
    worked: list[bool] = []
    run_task("training", lambda: worked.append(True), monkeypatch)
    assert worked == [True]
