"""A real Prefect server on loopback, with a home of its own, for the tests that ask for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFECT = (sys.executable, "-m", "prefect")


@dataclass(frozen=True)
class PrefectServer:
    """A running server: its API's address, and the environment that makes a command use it."""

    api_url: str
    environment: dict[str, str]

    def prefect(self, *arguments: str) -> str:
        """Run `prefect ...` against this server, in the project's folder, and return what it printed."""
        done = subprocess.run(
            [*PREFECT, "--no-prompt", *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def worker(self, *, pool: str, log: Path) -> Iterator[int]:
        """A worker in the background, away from the project's folder; yields its process id."""
        with running((*PREFECT, "worker", "start", "--pool", pool, "--name", "test"), self.environment, log) as process:
            yield process.pid


@contextmanager
def running(command: tuple[str, ...], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the background, ended with the block; its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=log.parent, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_healthy(api_url: str) -> bool:
    """True if a server answers there."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="session")
def starting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """`prefect server start` on a free loopback port, with a temporary PREFECT_HOME; it may not answer yet."""
    home = tmp_path_factory.mktemp("prefect")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "200",
    }
    with running((*PREFECT, "server", "start"), environment, home / "server.log"):
        yield PrefectServer(environment["PREFECT_API_URL"], environment)


@pytest.fixture(scope="session")
def prefect_server(starting_server: PrefectServer) -> PrefectServer:
    """A server that answers."""
    deadline = time.monotonic() + 120
    while not is_healthy(starting_server.api_url):
        log = Path(starting_server.environment["PREFECT_HOME"]) / "server.log"
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.2)
    return starting_server


@pytest.fixture
def use_server(prefect_server: PrefectServer) -> Iterator[PrefectServer]:
    """Flows and tasks called in this process use the server."""
    from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_server.api_url, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield prefect_server
