"""The temporary server of a run without a Prefect server of its own: it outlives Ctrl-C, but never the run.

Prefect starts one inside the terminal's process group. There Ctrl-C ends it together with the run, which then spends
minutes on retries to report that it was stopped; and after a `kill -9` of the run it stays behind for good. Here it
leads a session of its own and ends when its standard input closes, which the kernel sees to however the run ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

_SECONDS_TO_SAY_GOODBYE = 3


def tie_to_this_process() -> None:
    """Have Prefect start its temporary server through this module. Nothing changes where `PREFECT_API_URL` is set."""
    from prefect.server.api.server import SubprocessASGIServer

    # Prefect (pinned) has no setting for this; `tests/flows/test_private_server.py` fails if the method moves.
    SubprocessASGIServer._run_uvicorn_command = _start  # type: ignore[assignment,method-assign]


def _start(server: Any) -> subprocess.Popen[Any]:
    from prefect.settings import get_current_settings

    own = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    return subprocess.Popen(
        [sys.executable, "-m", "flows.private_server", str(server.port)],
        env={**os.environ, **own, **settings},
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def serve(port: int) -> None:
    """Serve Prefect's API on loopback until standard input closes. Exit code 3, as uvicorn's, if it cannot start."""
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=port,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=_SECONDS_TO_SAY_GOODBYE,
    )
    server = uvicorn.Server(config)

    def watch() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
