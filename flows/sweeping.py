"""From what a sweep is given to its rows, and what is said of it on the terminal. Light: no Prefect, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.errors import SettingsError, TrainingError
from schemas.loading import load_pipeline
from schemas.pipeline import PipelineSettings
from schemas.runs import SweepRun
from schemas.sweeps import Sweep, base_settings, load_sweep, sweep_path, sweep_protocol
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store
from tasks.sweep.figures import Outcome
from tasks.sweep.plan import finished, jobs
from tasks.sweep.stage import SweepFiles, write_sweep


@dataclass(frozen=True, kw_only=True)
class Sweeping:
    """A sweep with the run's own choices laid over it, and the preset that its rows change."""

    name: str
    sweep: Sweep
    base: PipelineSettings


def sweeping_of(run: SweepRun) -> Sweeping:
    """Read the sweep and its preset.

    Raises:
        SettingsError: there is no such sweep or preset, or a setting is out of range.
    """
    sweep = load_sweep(run.sweep)
    chosen: dict[str, Any] = {"seeds": run.seeds} if run.seeds else {}
    if run.start_from is not None:
        rows = [
            {**row.model_dump(), "cnn": {**row.cnn, "start_from": run.start_from}}
            if "cnn.start_from" not in row.without and row.model is not None
            else row.model_dump()
            for row in sweep.row
        ]
        chosen["row"] = rows
    sweep = Sweep.model_validate({**sweep.model_dump(), **chosen})
    base = load_pipeline(base_settings(sweep, run.preset)).model_copy(update={"evaluate": sweep_protocol(sweep)})
    return Sweeping(name=sweep_path(run.sweep).stem, sweep=sweep, base=base)


def finished_sweep(run: SweepRun) -> SweepFiles | None:
    """Write the table of a sweep whose every row stands on disk; None if work is left.

    Raises:
        SettingsError: the sweep or its preset is out of range.
        StoreError: the store cannot be read.
    """
    sweeping, store = sweeping_of(run), Store(run.store)
    if run.corpus is not None or not store.recordings.exists():
        return None
    recordings = read_recordings(store)
    outcomes: dict[str, Outcome] = {}
    for job in jobs(sweeping.sweep, sweeping.base, origin=sweeping.name):
        try:
            card = finished(store, recordings, job)
        except (SettingsError, TrainingError):  # the run itself says what is wrong, in the row's place
            return None
        if card is None:
            return None
        outcomes.setdefault(job.row.label, Outcome()).cards[job.seed] = card
    return write_sweep(store, sweeping.name, sweeping.sweep, outcomes, sweeping.base.evaluate)


def sweep_of(files: SweepFiles, labels: int) -> dict[str, Any]:
    """What a sweep came to, for people and machines."""
    missing = "".join(f"\nnot measured: {label}: {reason}" for label, reason in files.missing.items())
    said = f"{files.page.read_text(encoding='utf-8')}\n{labels - len(files.missing)} of {labels} rows measured{missing}"
    return {
        "folder": str(files.folder),
        "table": str(files.table),
        "missing": files.missing,
        "said": f"{said}\ntable: {files.page}",
    }
