"""A real server, a worker, a schedule that fires: prefect.yaml's nightly run, from recordings to the artifact."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.runs import IngestRun
from tasks.demo.corpus import make_corpus

from .conftest import ROOT, PrefectServer

pytestmark = pytest.mark.server

RATINGS = Path("RECOLA-Annotation/emotional_behaviour/valence")
VIDEOS = Path("RECOLA-Video-recordings")
PRESET = """
[faces]
workers = 1
[cnn]
input = "chips"
name = "tiny-cnn"
network = { kind = "khorrami-cnn", input_size = 48, colour = "gray", widths = [4, 8, 16] }
frame_stride = 5
max_epochs = 1
device = "cpu"
num_threads = 1
[features]
device = "cpu"
num_threads = 1
[rnn]
input = "features"
name = "tiny-rnn"
network = { kind = "khorrami-rnn", hidden_sizes = [8], window = 10 }
max_epochs = 1
device = "cpu"
[predict]
device = "cpu"
"""


@pytest.fixture(scope="module")
def corpus(starting_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RECOLA's tree of two seconds each: P16 train, P19 dev, P48 test, all the same film, and P17, which is broken."""
    out = tmp_path_factory.mktemp("made")
    root = make_corpus(out, duration_seconds=2.0, workers=1, recordings=("P16",)).root
    for name in ("P19", "P48"):
        for folder, suffix in ((VIDEOS, "mp4"), (RATINGS, "csv")):
            shutil.copy(root / folder / f"P16.{suffix}", root / folder / f"{name}.{suffix}")
        with (root / VIDEOS / f"{name}.mp4").open("ab") as film:  # other bytes: one video in two partitions is a leak
            film.write(b"\0\0\0\x10free" + name.encode().ljust(8))
    (root / VIDEOS / "P17.mp4").write_text("not a video", encoding="utf-8")
    shutil.copy(root / RATINGS / "P16.csv", root / RATINGS / "P17.csv")
    return root


def edited(corpus: Path, folder: Path) -> Path:
    """prefect.yaml as a lab edits it, in its first block alone; the schedule fires every 15 seconds, not at night."""
    (folder / "tiny.toml").write_text(PRESET, encoding="utf-8")
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    for name, value in (
        ("corpus: &corpus", corpus),
        ("folder: &folder", folder / "store"),
        ("preset:", folder / "tiny.toml"),
    ):
        text, found = re.subn(rf"{name} \S+", f"{name} {value}", text, count=1)
        assert found == 1, name
    text, found = re.subn(r'cron: "[^"]+".*\n', "interval: 15\n", text, count=1)
    assert found == 1
    text, found = re.subn(r"\n +timezone: .*", "", text, count=1)
    assert found == 1
    path = folder / "prefect.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Night:
    """What the server knows after the schedule has fired, and the command lines below the worker meanwhile."""

    run: dict[str, Any]
    deployments: dict[str, dict[str, Any]]
    task_names: set[str]
    logs: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
    commands: set[str]
    store: Path


@pytest.fixture(scope="module")
def night(corpus: Path, prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    prefect_server.prefect("work-pool", "create", "affectflow", "--type", "process")
    prefect_server.prefect("deploy", "--all", "--prefect-file", str(edited(corpus, folder)))
    with httpx.Client(base_url=prefect_server.api_url + "/", timeout=60) as api:

        def find(what: str, **filters: Any) -> list[dict[str, Any]]:
            response = api.post(f"{what}/filter", json=filters)
            response.raise_for_status()
            return list(response.json())

        nightly = next(found["id"] for found in find("deployments") if found["name"] == "nightly")
        commands: set[str] = set()
        runs: list[dict[str, Any]] = []
        with prefect_server.worker(pool="affectflow", log=folder / "worker.log") as worker:
            deadline = time.monotonic() + 180
            while not runs:
                assert time.monotonic() < deadline, (folder / "worker.log").read_text(encoding="utf-8")
                time.sleep(0.2)
                commands |= commands_below(worker)
                ended = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}
                runs = find("flow_runs", flow_runs={"state": ended, "deployment_id": {"any_": [nightly]}})
        this_run = {"id": {"any_": [runs[0]["id"]]}}
        time.sleep(2)  # log lines travel in batches
        yield Night(
            run=runs[0],
            deployments={found["name"]: found for found in find("deployments")},
            task_names={found["name"] for found in find("task_runs", flow_runs=this_run)},
            logs=find("logs", logs={"flow_run_id": {"any_": [runs[0]["id"]]}}),
            artifacts=find("artifacts", flow_runs=this_run),
            commands=commands,
            store=folder / "store",
        )


def commands_below(ancestor: int) -> set[str]:
    """Command lines of all processes below one."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    family = {ancestor}
    for _ in range(6):
        family |= {int(row[0]) for row in rows if int(row[1]) in family}
    return {row[2] for row in rows if len(row) == 3 and int(row[0]) in family - {ancestor}}


def test_the_schedule_fires_and_the_run_ends_naming_what_failed(night: Night) -> None:
    state = night.run["state"]
    assert (state["type"], state["name"]) == ("COMPLETED", "Completed with failures: P17"), state
    assert "why stands in" in state["message"]
    assert night.run["auto_scheduled"]
    assert night.run["deployment_id"] == night.deployments["nightly"]["id"]


def test_the_report_is_a_markdown_artifact_of_the_run(night: Night) -> None:
    (artifact,) = [found for found in night.artifacts if found["key"] == "affectflow-report"]
    assert artifact["type"] == "markdown"
    assert artifact["data"] == (night.store / "reports" / "report.md").read_text(encoding="utf-8")
    assert "CCC" in artifact["data"]
    assert "P17" in artifact["data"]


def test_names_and_tags_can_be_read(night: Night, corpus: Path) -> None:
    assert night.run["name"] == f"pipeline {corpus.name} into store"
    assert set(night.run["tags"]) == {"affectflow", "pipeline", "nightly", "auto-scheduled"}
    assert {f"ingest {corpus.name}", "faces P16", "faces P19", "faces P48", "train tiny-cnn"} <= night.task_names


def test_log_lines_of_the_plain_modules_are_on_the_dashboard(night: Night) -> None:
    loggers = {line["name"] for line in night.logs}
    assert {"tasks.progress", "tasks.ingest.stage", "flows.stages"} <= loggers
    assert any(line["message"].startswith("faces P16: 50/50 frames") for line in night.logs)
    assert [line["message"] for line in night.logs if line["level"] >= 40] == []


def test_the_worker_starts_no_server_of_its_own(night: Night) -> None:
    assert any("tasks.faces.worker" in command for command in night.commands), "nothing was seen below the worker"
    servers = ("uvicorn", "flows.private_server", "prefect server", "prefect.server")
    assert not [command for command in night.commands if any(server in command for server in servers)]


def test_the_other_stages_are_deployed_under_the_names_of_their_commands(night: Night) -> None:
    assert set(night.deployments) == {
        "nightly",
        "ingest",
        "faces",
        "train",
        "train-expression",
        "score-expression",
        "sweep",
        "analyze",
        "features",
        "predict",
        "agreement",
        "evaluate",
    }
    for name, deployment in night.deployments.items():
        assert deployment["description"]
        assert "affectflow" in deployment["tags"]
        if name != "analyze":  # clips in, results out: its store is a folder of its own
            assert deployment["parameters"]["run"]["store"] == str(night.store)
        assert deployment["job_variables"]["env"]["DO_NOT_TRACK"] == "1"
        (pull,) = deployment["pull_steps"]
        assert pull == {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
    nightly = night.deployments["nightly"]
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_a_plain_caller_gets_the_flow_s_value_where_recordings_failed(
    corpus: Path, use_server: PrefectServer, tmp_path: Path
) -> None:
    from flows.ingest_recordings import ingest_recordings

    summary = ingest_recordings(IngestRun(corpus=corpus, store=tmp_path / "plain"))
    assert (summary.recordings, summary.failed) == (3, 1)
    name = {"name": {"any_": [f"ingest {corpus.name} into plain"]}}
    (run,) = httpx.post(f"{use_server.api_url}/flow_runs/filter", json={"flow_runs": name}, timeout=60).json()
    assert run["state"]["name"] == "Completed with failures: P17"


def test_the_nightly_hour_exists_on_every_day_of_the_year() -> None:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    (hour,) = re.findall(r'cron: "\d+ (\d+) \* \* \*"', text)
    assert int(hour) not in (1, 2, 3)
    assert re.search(r"timezone: \S+", text)


def test_worker_processes_never_import_prefect() -> None:
    code = (
        "import sys, tasks.faces.worker, tasks.demo.worker\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'prefect'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
