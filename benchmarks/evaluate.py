"""Speed and memory of `affectflow evaluate` beside the per-recording pandas loop that people write.

    uv run --with pandas benchmarks/evaluate.py [--recordings 1000] [--seconds 300] [--raters 6]

Both read the same SYNTHETIC store (random walks, 25 frames/s, two-decimal labels every .04 s) and come to the same
numbers: RMSE, MAE, CC, CCC and sign agreement, per recording and concatenated, which is checked. Each runs in a process
of its own, whose peak memory is printed. The loop has pandas read the two tables, takes each rater's rows, joins them
by nearest time and keeps the joined series for the concatenated scores. Ours writes the metrics, with 2,000 bootstrap
replicates on top. The store is warm in the page cache for both.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3", "A1", "A2", "A3", "A4")
MODEL = "walk-00000000"


def make_store(root: Path, *, recordings: int, seconds: int, raters: int) -> None:
    """Predictions and ratings of a model that nobody trained."""
    from schemas.tables import RATINGS
    from tasks.ingest.recordings import Recording, recordings_table
    from tasks.prediction.table import predictions_table
    from tasks.store.layout import Store
    from tasks.store.parts import Provenance, write_part

    store, names, rows = Store(root), RATERS[:raters], []
    frames, rng = seconds * 25, np.random.default_rng(0)
    times: npt.NDArray[np.float64] = np.arange(frames, dtype=np.float64) * 0.04
    label_times = np.round(np.arange(frames + 1) * 0.04, 2)
    for number in range(recordings):
        name = f"P{number:04d}"
        hidden = rng.normal(0, 0.02, frames + 1).cumsum()
        given = np.round(hidden + rng.normal(0, 0.1, (raters, frames + 1)), 2)
        predicted = hidden[:frames, None] + rng.normal(0, 0.1, (frames, raters))
        table = predictions_table(
            name,
            MODEL,
            "valence",
            names,
            frame_index=np.arange(frames, dtype=np.int32),
            times=times,
            values=predicted,
            valid=np.ones(frames, dtype=np.bool_),
        )
        write_part(store.predictions(MODEL, name), table, Provenance(stage="predict", stage_key=f"p{number}"))
        size = given.size
        long: dict[str, Any] = {
            "recording_id": [name] * size,
            "dimension": ["valence"] * size,
            "rater": np.repeat(np.array(names, dtype=object), frames + 1),
            "time_seconds": np.tile(label_times, raters),
            "value": given.ravel(),
            "value_original": given.ravel(),
            "scale_min": np.full(size, -1.0),
            "scale_max": np.full(size, 1.0),
            "is_imputed": np.zeros(size, dtype=np.bool_),
        }
        write_part(
            store.ratings(name), pa.table(long, schema=RATINGS), Provenance(stage="ratings", stage_key=f"r{number}")
        )
        known: dict[str, Any] = dict.fromkeys(Recording.__annotations__)
        known |= {"recording_id": name, "recording_id_original": name, "subject_id": name, "partition": "test"}
        known |= {"path": f"/{name}.mp4", "sha256": "0" * 64, "bytes": 1, "modified_ns": 1, "pixel_aspect": 1.0}
        known |= {"duration_seconds": float(seconds), "width": 64, "height": 48, "rotation": 0, "num_frames": frames}
        known |= {"video_start_seconds": 0.0, "time_source": "stream"}
        rows.append(Recording(**known))
    write_part(store.recordings, recordings_table(rows), Provenance(stage="ingest", stage_key="ingest"))


def ours(root: Path) -> dict[str, float]:
    """The stage as `affectflow evaluate` runs it; the store holds no card, so nothing is fitted."""
    from schemas.evaluation import EvaluateSettings
    from tasks.evaluation.plan import metrics_path
    from tasks.evaluation.stage import evaluate
    from tasks.ingest.recordings import read_recordings
    from tasks.store.layout import Store

    store, settings = Store(root), EvaluateSettings(protocol="bench", gold=("none",), chain=())
    started, busy = time.perf_counter(), time.process_time()
    evaluate(store, read_recordings(store), [MODEL], "valence", settings)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - busy}
    import polars as pl

    table = pl.read_parquet(metrics_path(store, MODEL, "bench")).filter(pl.col("target") == "rater")
    return {**took, **_summary(table.filter(pl.col("value").is_not_null()).to_dicts())}


def _summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean over raters of every metric: concatenated, and over the recordings' own values."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["recording_id"] is not None:
            found.setdefault(f"single {row['metric']}", []).append(row["value"])
        elif row["pooling"] == "concatenated":
            found.setdefault(f"concatenated {row['metric']}", []).append(row["value"])
    return {name: float(np.mean(values)) for name, values in sorted(found.items())}


def loop(root: Path) -> dict[str, float]:
    """As people write it: a data frame for each recording and rater, everything kept for the joined scores."""
    import pandas as pd

    started, busy, rows = time.perf_counter(), time.process_time(), []
    joined: dict[str, list[Any]] = {}
    for folder in sorted((root / "predictions" / MODEL).iterdir()):
        predictions = pd.read_parquet(folder / "part-00000.parquet")
        ratings = pd.read_parquet(root / "ratings" / folder.name / "part-00000.parquet")
        for rater, given in ratings[~ratings["is_imputed"]].groupby("rater", sort=False):
            own = predictions[predictions["rater"] == rater][["time_seconds", "value"]]
            both = pd.merge_asof(
                given[["time_seconds", "value"]].sort_values("time_seconds"),
                own.sort_values("time_seconds"),
                on="time_seconds",
                direction="nearest",
                tolerance=0.02,
                suffixes=("_given", "_predicted"),
            ).dropna()
            joined.setdefault(str(rater), []).append(both)
            rows += [
                {"recording_id": folder.name, "pooling": "per_recording", "metric": name, "value": value}
                for name, value in _naive(both).items()
            ]
    for parts in joined.values():
        rows += [
            {"recording_id": None, "pooling": "concatenated", "metric": name, "value": value}
            for name, value in _naive(pd.concat(parts)).items()
        ]
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - busy}
    return {**took, **_summary(rows)}


def _naive(both: Any) -> dict[str, float]:
    x, y = both["value_predicted"], both["value_given"]
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    return {
        "rmse": float(np.sqrt(((x - y) ** 2).mean())),
        "mae": float((x - y).abs().mean()),
        "cc": float(x.corr(y)),
        "ccc": float(2 * covariance / (x.var(ddof=0) + y.var(ddof=0) + (x.mean() - y.mean()) ** 2)),
        "sagr": float((np.sign(x) == np.sign(y)).mean()),
    }


def _apart(root: Path, which: str) -> dict[str, float]:
    """One side in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--only", which, "--store", str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{which}: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Make the store, run both, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--raters", type=int, default=6, choices=range(1, len(RATERS) + 1))
    parser.add_argument("--only", choices=("ours", "loop"), help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        found = {"ours": ours, "loop": loop}[options.only](options.store)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "peak_mib": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_store(root, recordings=options.recordings, seconds=options.seconds, raters=options.raters)
        told = {which: _apart(root, which) for which in ("ours", "loop")}
    for name, value in told["loop"].items():
        if not name.endswith(("seconds", "peak_mib")) and abs(value - told["ours"][name]) > 1e-9:
            raise SystemExit(f"{name}: ours {told['ours'][name]}, the loop {value}")
    print(f"{options.recordings} recordings of {options.seconds} s, {options.raters} raters; numbers equal to 1e-9")
    print(f"{'':42} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9}")
    for which, label in (("loop", "pandas loop"), ("ours", "affectflow evaluate, bootstrap included")):
        one = told[which]
        print(f"{label:42} {one['seconds']:8.2f} {one['cpu_seconds']:8.2f} {one['peak_mib']:9.0f}")
    wall, busy = (told["loop"][name] / told["ours"][name] for name in ("seconds", "cpu_seconds"))
    print(f"{'ratio':42} {wall:8.1f} {busy:8.1f}")


if __name__ == "__main__":
    main()
