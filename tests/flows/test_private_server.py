"""The temporary server of a run without a Prefect server: it outlives Ctrl-C and never the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import is_healthy

pytestmark = pytest.mark.server

RUN = """
import time
from flows.private_server import tie_to_this_process
tie_to_this_process()
from prefect.server.api.server import SubprocessASGIServer
server = SubprocessASGIServer()
server.start(timeout=120)
try:
    print(server.server_process.pid, server.api_url, flush=True)
    time.sleep(300)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    time.sleep(300)
"""


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_stops_the_run_alone_and_kill_9_takes_the_server_along(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    quiet = {"PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=environment | quiet,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as run:
        assert run.stdout is not None
        server, api_url = run.stdout.readline().split()
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        assert run.stdout.readline() == "interrupted\n"
        time.sleep(1)
        assert is_healthy(api_url)
        run.kill()
    assert within(20, lambda: is_gone(int(server)))


def test_flows_tie_the_temporary_server_to_themselves() -> None:
    from prefect.server.api.server import SubprocessASGIServer

    import flows.stages  # noqa: F401

    assert SubprocessASGIServer._run_uvicorn_command.__module__ == "flows.private_server"
