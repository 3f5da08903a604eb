"""What is released holds what its own documents send people to."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("README.md", {"benchmarks/", "conf/", "docs/", "CONTRIBUTING.md", "prefect.yaml"}),
        ("CONTRIBUTING.md", {"scripts/", "schemas/", "models/", "tasks/", "flows/", "conf/", "tests/"}),
    ],
)
def test_the_source_distribution_holds_what_the_documents_name(document: str, named: set[str]) -> None:
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    included = settings["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all((REPOSITORY / name.lstrip("/")).exists() for name in included)
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    assert all(name in text for name in named)
    assert {f"/{name.rstrip('/')}" for name in (*named, document)} <= set(included)
