"""A small store made by hand: what the report reads, with every awkward case in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.delay import DELAYS as DELAY_STEPS
from schemas.cards import EpochRecord, ModelCard
from schemas.errors import ProbeError
from schemas.score_tables import DELAYS, METRICS
from schemas.tables import INDEX, PREDICTIONS, RATINGS, RECORDINGS, frames_schema
from tasks.agreement.stage import measure_agreement
from tasks.evaluation.plan import metrics_path
from tasks.ingest.recordings import read_recordings
from tasks.report.stage import ReportRow
from tasks.report.summary import METRIC_NAMES
from tasks.store.failures import record_failure
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part

RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
HOSTILE = "moov atom <script>alert('x')</script> not found | in `P4`"
ROWS = (
    ReportRow("khorrami-rnn-1a2b3c4d", "CNN + RNN", "model"),
    ReportRow("khorrami-cnn-5e6f7a8b", "Single-frame CNN", "single-frame"),
    ReportRow("trivial-mean", "Training mean of the rater", "trivial"),
    ReportRow("trivial-curve", "Training mean curve over time", "trivial"),
    ReportRow("human-one", "human: one other rater", "human"),
    ReportRow("human-rest", "human: mean of the others", "human"),
    ReportRow("hidden-valence", "Hidden valence", "ceiling"),
    ReportRow("khorrami-rnn-swapped-9c0d1e2f", "Ratings swapped", "control"),
)
_QUALITY = {"model": 0.55, "single-frame": 0.4, "trivial": 0.08, "human": 0.47, "ceiling": 0.86, "control": 0.02}


@dataclass
class FakeStore:
    """The store, its rows, and every metric that was written: (model, partition, pooling, metric, recording, rater)."""

    store: Store
    rows: tuple[ReportRow, ...]
    recordings: list[str]
    raters: tuple[str, ...]
    metrics: dict[tuple[str, str, str, str, str | None, str], float | None] = field(default_factory=dict)


Build = Callable[..., FakeStore]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def built(**options: Any) -> FakeStore:
        return build_store(tmp_path / "store", **options)

    return built


def build_store(
    root: Path,
    *,
    num_recordings: int = 4,
    num_frames: int = 250,
    raters: tuple[str, ...] = RATERS,
    rate: float = 25.0,
    partitions: tuple[str, ...] = ("test", "dev"),
    pooled_means: bool = True,
    raters_measured: bool = True,
) -> FakeStore:
    """A store with `num_recordings` recordings; the last has no frames table, the first loses its face twice.

    `raters_measured`: write agreement and delays.
    `pooled_means`: write the mean over recordings beside the per-recording values, as an evaluation may.
    """
    rng = np.random.default_rng(7)
    names = [f"P{number + 13}" for number in range(num_recordings)]
    fake = FakeStore(Store(root), ROWS, names, raters)
    times = np.arange(num_frames) / rate
    recordings = []
    for turn, name in enumerate(names):
        partition = partitions[turn * len(partitions) // num_recordings]
        recordings.append(_recording(name, partition, num_frames, rate))
        valid = np.ones(num_frames, bool)
        if turn == 0:
            valid[num_frames // 4 : num_frames // 4 + num_frames // 10] = False
            valid[-num_frames // 25 :] = False
        _write_signals(fake, name, times, valid, rng, has_frames=turn < num_recordings - 1)
    _write(fake.store.recordings, recordings, RECORDINGS, "ingest")
    for row in ROWS:
        _write_metrics(fake, row, names, partitions, rng, pooled_means=pooled_means)
    for row in ROWS[:2]:
        _write_card(fake.store, row, fake)
    if raters_measured:
        measure_agreement(fake.store, read_recordings(fake.store), "valence")
        _write_delays(fake)
    record_failure(fake.store, "faces", names[-1], ProbeError(HOSTILE), f"videos/{names[-1]}.mp4")
    return fake


def _recording(name: str, partition: str, num_frames: int, rate: float) -> dict[str, Any]:
    return {
        "recording_id": name,
        "recording_id_original": name,
        "subject_id": name,
        "path": f"RECOLA-Video-recordings/{name}.mp4",
        "partition": partition,
        "sha256": f"{int(name[1:]):02x}" * 32,
        "bytes": 1_000_000,
        "modified": datetime(2026, 1, 1, tzinfo=UTC),
        "duration_seconds": num_frames / rate,
        "width": 640,
        "height": 360,
        "rotation": 0,
        "pixel_aspect": 1.0,
        "num_frames": num_frames,
        "frame_rate_nominal": rate,
        "video_start_seconds": 0.0,
        "time_source": "stream",
    }


def _write_signals(
    fake: FakeStore, name: str, times: Any, valid: Any, rng: np.random.Generator, *, has_frames: bool
) -> None:
    store, count = fake.store, len(times)
    base = {"recording_id": [name] * count, "frame_index": np.arange(count, dtype=np.int32), "time_seconds": times}
    index = {**base, "pts": np.arange(count), "is_keyframe": np.arange(count) % 50 == 0}
    _write_columns(store.index(name), index, INDEX, "ingest", source_sha256="ab" * 32)
    if has_frames:
        half = count // 2
        source = np.where(valid, "detected", "none")
        for part, chosen in enumerate((slice(0, half), slice(half, count))):
            frames = {**base, "face_valid": valid, "face_source": source}
            _write_columns(
                store.frames(name) / f"part-{part:05d}.parquet",
                {key: value[chosen] for key, value in frames.items()},
                frames_schema("rgb96"),
                "faces",
                decoder_version="ffmpeg 9.0",
            )
    hidden = 0.35 * np.sin(2 * np.pi * times / 17 + rng.uniform(0, 6)) + 0.15 * np.sin(2 * np.pi * times / 5.3)
    ratings, model, single = [], [], []
    for turn, rater in enumerate(fake.raters):
        bias, scale = 0.08 * np.sin(2.1 * turn), 0.7 + 0.1 * (turn % 5)
        shifted = np.interp(times - 0.2 * turn, times, hidden)
        noise = np.interp(times, times[:: max(count // 40, 1)], rng.normal(0, 0.05, len(times[:: max(count // 40, 1)])))
        ratings.append((rater, np.round(np.clip(scale * shifted + bias + noise, -1, 1), 2)))
        model.append((rater, 0.6 * scale * hidden + bias + rng.normal(0, 0.015, count)))
        single.append((rater, 0.5 * scale * hidden + bias + rng.normal(0, 0.09, count)))
    _write_columns(store.ratings(name), _long_ratings(name, times, ratings), RATINGS, "ingest")
    for row, values in ((fake.rows[0], model), (fake.rows[1], single)):
        _write_columns(
            store.predictions(row.model_id, name),
            {
                "recording_id": [name] * count * len(values),
                "model_id": [row.model_id] * count * len(values),
                "frame_index": np.tile(np.arange(count, dtype=np.int32), len(values)),
                "time_seconds": np.tile(times, len(values)),
                "dimension": ["valence"] * count * len(values),
                "rater": np.repeat([rater for rater, _ in values], count),
                "value": np.concatenate([value for _, value in values]),
                "face_valid": np.tile(valid, len(values)),
            },
            PREDICTIONS,
            "predict",
        )


def _long_ratings(name: str, times: Any, values: list[tuple[str, Any]]) -> dict[str, Any]:
    rows = len(times) * len(values)
    joined = np.concatenate([value for _, value in values])
    return {
        "recording_id": [name] * rows,
        "dimension": ["valence"] * rows,
        "rater": np.repeat([rater for rater, _ in values], len(times)),
        "time_seconds": np.tile(times, len(values)),
        "value": joined,
        "value_original": joined,
        "scale_min": np.full(rows, -1.0),
        "scale_max": np.full(rows, 1.0),
        "is_imputed": np.zeros(rows, bool),
    }


def _write_metrics(
    fake: FakeStore,
    row: ReportRow,
    names: list[str],
    partitions: tuple[str, ...],
    rng: np.random.Generator,
    *,
    pooled_means: bool,
) -> None:
    rows = []
    for turn, partition in enumerate(partitions):
        mine = [name for at, name in enumerate(names) if at * len(partitions) // len(names) == turn]
        for metric in METRIC_NAMES:
            for rater in fake.raters:
                for pooling, recording, value in _values(row, metric, mine, rng, pooled_means=pooled_means):
                    fake.metrics[row.model_id, partition, pooling, metric, recording, rater] = value
                    rows.append(_metric(row, partition, pooling, recording, rater, metric, value))
    _write(metrics_path(fake.store, row.model_id, "per-rater"), rows, METRICS, "evaluate")


def _values(
    row: ReportRow, metric: str, names: list[str], rng: np.random.Generator, *, pooled_means: bool
) -> Iterator[tuple[str, str | None, float | None]]:
    """(pooling, recording, value): a constant predictor's CC is degenerate, as is one recording's for the curve."""
    centre = _QUALITY[row.role] if metric not in ("rmse", "mae") else 0.3 - 0.25 * _QUALITY[row.role]
    single: list[float | None] = []
    for turn, name in enumerate(names):
        value: float | None = float(np.round(centre + rng.normal(0, 0.04), 6))
        if row.model_id == "trivial-mean" and metric in ("cc", "ccc"):
            value = None if metric == "cc" else 0.0
        if row.model_id == "trivial-curve" and metric == "cc" and turn == 0:
            value = None
        single.append(value)
        yield "per_recording", name, value
    defined = [value for value in single if value is not None]
    if pooled_means:
        yield "per_recording", None, float(np.mean(defined)) if defined else None
    flat = row.model_id == "trivial-mean" and metric in ("cc", "ccc")
    whole = (None if metric == "cc" else 0.0) if flat else float(np.round(centre + rng.normal(0, 0.04), 6))
    yield "concatenated", None, whole


def _metric(
    row: ReportRow, partition: str, pooling: str, recording: str | None, rater: str, metric: str, value: float | None
) -> dict[str, Any]:
    return {
        "model_id": row.model_id,
        "protocol": "per-rater",
        "partition": partition,
        "pooling": pooling,
        "recording_id": recording,
        "dimension": "valence",
        "rater": rater,
        "metric": metric,
        "value": value,
        "ci_low": None if value is None or recording is not None else value - 0.06,
        "ci_high": None if value is None or recording is not None else value + 0.05,
        "n": 250,
        "degenerate": value is None,
        "target": "rater",
    }


def _write_card(store: Store, row: ReportRow, fake: FakeStore) -> None:
    history = tuple(
        EpochRecord(epoch=epoch, train_loss=0.1 / (epoch + 1), dev_ccc=0.3 - 0.002 * (epoch - 9) ** 2, seconds=1.0)
        for epoch in range(12)
    )
    card = ModelCard(
        model_id=row.model_id,
        name=row.model_id.rpartition("-")[0],
        input="features" if row.role == "model" else "chips",
        stage_key="0123456789abcdef",
        weights_sha256=row.model_id.rpartition("-")[2] * 8,
        num_parameters=1000,
        dimension="valence",
        raters=fake.raters,
        features_model_id=fake.rows[1].model_id if row.role == "model" else None,
        is_control=False,
        train_recordings=("P1", "P2"),
        dev_recordings=("P3",),
        selected_on="dev",
        best_epoch=9,
        dev_ccc=0.3,
        history=history,
        settings={
            "seed": 0,
            "learning_rate": 1e-2,
            "label_delay_seconds": 0.0,
            "network": {"window": 100, "hidden_sizes": [100]},
        },
        code_version="0.1.0",
        torch_version="2.11.0",
        device="cpu",
        provenance={"code_version": "0.1.0", "torch": "2.11.0"},
    )
    store.model(row.model_id).mkdir(parents=True)
    (store.model(row.model_id) / "card.json").write_text(card.model_dump_json(), encoding="utf-8")


def _write_delays(fake: FakeStore) -> None:
    rows = [
        {
            "dimension": "valence",
            "features_model_id": fake.rows[1].model_id,
            "rater": rater,
            "delay_seconds": delay,
            "ccc": 0.4 - 0.02 * (delay - 0.4 * turn) ** 2,
            "n": 500,
            "is_best": delay == round(0.4 * (turn % 25), 1),
        }
        for turn, rater in enumerate(fake.raters)
        for delay in DELAY_STEPS
    ]
    _write(fake.store.delay(fake.rows[1].model_id, "valence"), rows, DELAYS, "delay")


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, stage: str) -> None:
    write_part(path, pa.Table.from_pylist(rows, schema=schema), Provenance(stage=stage, stage_key=f"{stage}-key"))


def _write_columns(path: Path, columns: dict[str, Any], schema: pa.Schema, stage: str, **said: Any) -> None:
    count = len(columns["time_seconds"])
    arrays = [
        pa.array(columns[name], type=kind) if name in columns else pa.nulls(count, kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    write_part(path, table, Provenance(stage=stage, stage_key=f"{stage}-key", **said))
