"""What holds for every test: the same examples each time, and servers last."""

from __future__ import annotations

import hypothesis
import pytest

hypothesis.settings.register_profile("seeded", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("seeded")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Flows come last: Prefect's threads outlive a test and draw from `random`, which hypothesis takes for its own."""
    items.sort(key=lambda item: "flows" in item.path.parts)
