"""The environment of a run. Read and set here and nowhere else, before Prefect is imported."""

from __future__ import annotations

import logging
import os

_DEFAULTS = {
    "OMP_WAIT_POLICY": "PASSIVE",  # torch's idle threads sleep: spinning, they cost up to six times on a busy machine
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # a line of a helper thread, or from before the flow
}
_QUIET = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
}


def prepare_environment(*, quiet: bool) -> None:
    """Switch telemetry off and send this project's log lines to Prefect. What the user has set stays as it is.

    Args:
        quiet: keep Prefect's own lines off the terminal, where progress bars are drawn.
    """
    for name, value in {**_DEFAULTS, **(_QUIET if quiet else {})}.items():
        os.environ.setdefault(name, value)
    for name in ("tasks", "flows"):
        logging.getLogger(name).setLevel(logging.INFO)
