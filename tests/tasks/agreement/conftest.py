"""The shared traces, where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4] / "shared" / "data" / "traces"


@pytest.fixture
def shared_traces() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the shared test recordings are not part of the project")
    return SHARED
