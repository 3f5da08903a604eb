"""The report at 100 recordings: size of the page, time to build it, time until a browser has loaded it.

    uv run benchmarks/report.py [--recordings 100] [--frames 7500] [--keep FOLDER]

The store is SYNTHETIC: sums of sines rated by formulas, scores by the evaluation itself; no face, no trained model. The
browser is a headless Chromium, where there is one; what it is asked are the page's own marks (Navigation Timing).
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.evaluation import EvaluateSettings
from schemas.tables import PREDICTIONS, RATINGS, RECORDINGS, frames_schema
from tasks.agreement.stage import measure_agreement
from tasks.evaluation.plan import HUMAN, TRIVIAL
from tasks.evaluation.stage import evaluate
from tasks.ingest.recordings import read_recordings
from tasks.report.stage import ReportFiles, ReportRow, write_report
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
MODELS = ("synthetic-model", "synthetic-single")
STEP = 0.04
ROWS = (
    ReportRow(MODELS[0], "synthetic model", "model"),
    ReportRow(MODELS[1], "synthetic single frame", "single-frame"),
    ReportRow(TRIVIAL[0], "training mean", "trivial"),
    ReportRow(TRIVIAL[1], "mean over time", "trivial"),
    ReportRow(HUMAN[0], "human: one other rater", "human"),
    ReportRow(HUMAN[1], "human: mean of the others", "human"),
)


def main() -> None:
    """Build the store, write the report, load it, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=100, help="scored ones; a tenth as many are added to train")
    parser.add_argument("--frames", type=int, default=7500)
    parser.add_argument("--keep", type=Path, help="folder to leave the store in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(options.keep or Path(scratch) / "store")
        make_store(store, options.recordings, options.frames)
        files, seconds = timed_report(store)
        print(f"SYNTHETIC: {options.recordings} scored recordings x {options.frames} frames x {len(RATERS)} raters")
        print(f"page      {files.html.stat().st_size / 1e6:.2f} MB")
        print(f"markdown  {files.markdown.stat().st_size / 1e6:.2f} MB")
        print(f"built in  {seconds:.1f} s")
        print_loading(files.html, Path(scratch) / "profile")


def timed_report(store: Store) -> tuple[ReportFiles, float]:
    """Write the report; seconds."""
    started = time.perf_counter()
    files = write_report(
        store,
        rows=ROWS,
        title="SYNTHETIC benchmark",
        protocol="benchmark: every rater apart; rater delay 0 s; no post-processing",
        protocol_name="benchmark",
        corpus_note="SYNTHETIC: sums of sines, rated by formulas.",
    )
    return files, time.perf_counter() - started


def make_store(store: Store, num_scored: int, num_frames: int) -> None:
    """Ratings, predictions, frames without chips, metrics and agreement."""
    rng = np.random.default_rng(0)
    num_train = max(3, num_scored // 10)
    names = [(f"S{number:04d}", "train" if number < num_train else "test") for number in range(num_train + num_scored)]
    rows = [_recording(name, partition, num_frames) for name, partition in names]
    _write(store.recordings, pa.Table.from_pylist(rows, schema=RECORDINGS), corpus_note="SYNTHETIC: sums of sines.")
    for name, _ in names:
        _write_signals(store, name, num_frames, rng)
    settings = EvaluateSettings(protocol="benchmark", delay=0.0, chain=(), scored_on=("test",))
    recordings = read_recordings(store)
    evaluate(store, recordings, [row.model_id for row in ROWS], "valence", settings)
    measure_agreement(store, recordings, "valence")


def _recording(name: str, partition: str, num_frames: int) -> dict[str, Any]:
    return {
        "recording_id": name,
        "recording_id_original": name,
        "subject_id": name,
        "path": f"{name}.mp4",
        "partition": partition,
        "sha256": name.encode().hex().ljust(64, "0"),
        "bytes": 0,
        "modified": datetime(2026, 1, 1, tzinfo=UTC),
        "duration_seconds": num_frames * STEP,
        "width": 0,
        "height": 0,
        "rotation": 0,
        "pixel_aspect": 1.0,
        "num_frames": num_frames,
        "frame_rate_nominal": 1 / STEP,
        "video_start_seconds": 0.0,
        "time_source": "stream",
    }


def _write_signals(store: Store, name: str, num_frames: int, rng: np.random.Generator) -> None:
    times = np.round(np.arange(num_frames) * STEP, 2)
    hidden = sum(0.3 * np.sin(times / slow + rng.uniform(0, 6)) for slow in (3.0, 11.0, 37.0))
    given = np.array(
        [
            np.round(np.clip((0.6 + 0.1 * turn) * np.roll(hidden, 10 * turn) + 0.05 * (turn - 2), -1, 1), 2)
            for turn in range(len(RATERS))
        ]
    )
    long = {
        "recording_id": [name] * given.size,
        "dimension": ["valence"] * given.size,
        "rater": np.repeat(RATERS, num_frames),
        "time_seconds": np.tile(times, len(RATERS)),
    }
    rated = {**long, "value": given.ravel(), "value_original": given.ravel(), "scale_min": np.full(given.size, -1.0)}
    rated |= {"scale_max": np.full(given.size, 1.0), "is_imputed": np.zeros(given.size, bool)}
    _write(store.ratings(name), pa.table(rated).select(RATINGS.names).cast(RATINGS))
    valid = rng.random(num_frames // 50 + 1).repeat(50)[:num_frames] > 0.05
    for model, noise in zip(MODELS, (0.05, 0.2), strict=True):
        values = 0.5 * given + noise * rng.normal(size=given.shape)
        predicted: dict[str, Any] = {**long, "model_id": [model] * given.size, "value": values.ravel()}
        predicted |= {"frame_index": np.tile(np.arange(num_frames), len(RATERS)), "face_valid": np.tile(valid, 6)}
        _write(store.predictions(model, name), pa.table(predicted).select(PREDICTIONS.names).cast(PREDICTIONS))
    _write(store.frames(name) / "part-00000.parquet", _frames(name, times, valid))


def _frames(name: str, times: npt.NDArray[np.float64], valid: npt.NDArray[np.bool_]) -> pa.Table:
    schema, count = frames_schema("rgb96"), len(times)
    known: dict[str, Any] = {
        "recording_id": [name] * count,
        "frame_index": np.arange(count),
        "time_seconds": times,
        "face_valid": valid,
        "face_source": np.where(valid, "detected", "none"),
    }
    columns = [pa.array(known[f.name], f.type) if f.name in known else pa.nulls(count, f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _write(path: Path, table: pa.Table, **extra: str) -> None:
    write_part(path, table, Provenance(stage="synthetic", stage_key="synthetic", extra=extra))


def print_loading(page: Path, profile: Path) -> None:
    """Milliseconds until the page is drawn, and of one choice of a recording."""
    path = Path(__file__).parents[1] / "tests" / "tasks" / "report" / "browser.py"
    spec = importlib.util.spec_from_file_location("browser", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["browser"] = module
    spec.loader.exec_module(module)
    if module.EXECUTABLE is None:
        print("loaded    not measured: no chromium on this machine")
        return
    browser = module.Browser(profile)
    try:
        browser.open(page.resolve().as_uri())
        browser.open(page.resolve().as_uri())  # the first one also waits for the browser's own start
        marks = browser.value(
            "(() => { const n = performance.getEntriesByType('navigation')[0];"
            "const p = performance.getEntriesByType('paint');"
            "return [n.domContentLoadedEventEnd, n.loadEventEnd, p.length ? p[p.length - 1].startTime : null]; })()"
        )
        chosen = browser.value(
            "(() => { const s = document.getElementById('pick-recording'), t = performance.now(); s.value = '7';"
            "s.dispatchEvent(new Event('change')); return performance.now() - t; })()"
        )
        print(f"parsed    {marks[0]:.0f} ms, loaded {marks[1]:.0f} ms, first paint {marks[2] or 0:.0f} ms")
        print(f"choosing  {chosen:.0f} ms for a recording; complaints: {browser.complaints or 'none'}")
    finally:
        browser.close()


if __name__ == "__main__":
    main()
