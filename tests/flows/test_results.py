"""What commands tell beside their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows import results
from flows.plan import PipelinePlan
from schemas.errors import Problem
from schemas.runs import PipelineRun


def test_run_tells_each_time_what_does_not_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Problem(severity="warning", recording_id="P16", path="P16.mkv", expected="60 s", found="31 s: cut off")
    done: Any = object()
    monkeypatch.setattr(results, "plan_pipeline", lambda run: PipelinePlan(first_stale=None, problems=(), scoring=done))
    monkeypatch.setattr(results, "read_recordings", lambda store: [])
    monkeypatch.setattr(results, "cross_checks", lambda store, recordings: [told])
    monkeypatch.setattr(results, "show", lambda store, scoring, console: {"scoring": scoring})
    console = Console(record=True, width=120)
    run = PipelineRun(corpus=tmp_path / "corpus", store=tmp_path / "store")
    assert results.run_and_show(run, console) == {"scoring": done}
    assert "31 s: cut off" in console.export_text()
