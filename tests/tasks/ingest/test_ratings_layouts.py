"""Every layout of one set of ratings reads as the same traces; irregular times against a loop and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.interpolate import PchipInterpolator

from schemas.errors import Problem
from schemas.tables import GOLD_STANDARDS
from tasks.ingest.corpus import RatingsFile
from tasks.ingest.ratings import RatingTraces, on_one_grid, read_ratings

RATERS = ("Anna", "rater 2", "3")
TIMES = [0.5, 1.0, 1.5, 2.0, 2.5]
ROWS: list[list[float | None]] = [[5, None, 1], [6.25, 2, 1.5], [7, None, 2], [3, 4, 9], [2, 5, None]]


def read(path: Path, *, scale: tuple[float, float] = (1, 9), is_gold: bool = False, **options: object) -> RatingTraces:
    found, problems = everything(path, scale=scale, is_gold=is_gold, **options)
    assert problems == []
    assert list(found) == ["valence"]
    return found["valence"]


def everything(
    path: Path, *, scale: tuple[float, float] = (1, 9), is_gold: bool = False, **options: object
) -> tuple[dict[str, RatingTraces], list[Problem]]:
    file = RatingsFile(**{"path": path, "dimensions": ("valence",), "instance": "take 1", **options})  # type: ignore[arg-type]
    found, problems = read_ratings(file, scale=scale, recording_id="take-1", is_gold=is_gold)
    gridded = {}
    for dimension, traces in found.items():
        whole, wrong = on_one_grid([traces], file, recording_id="take-1")
        problems += wrong
        if whole is not None:
            gridded[dimension] = whole
    return gridded, problems


def written(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def wide(folder: Path, delimiter: str, time: str = "time", per_second: int = 1) -> Path:
    lines = [delimiter.join([time, *RATERS])]
    lines += [
        delimiter.join([f"{seconds * per_second:g}", *map(written, row)])
        for seconds, row in zip(TIMES, ROWS, strict=True)
    ]
    path = folder / "ratings.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def long_rows(dimension: str = "valence", add: float = 0) -> list[dict[str, object]]:
    return [
        {"rater": rater, "Time": seconds, "dimension": dimension, "value": value + add}
        for seconds, row in zip(TIMES, ROWS, strict=True)
        for rater, value in zip(RATERS, row, strict=True)
        if value is not None
    ]


def long_csv(folder: Path, rows: list[dict[str, object]]) -> Path:
    path = folder / "long.csv"
    lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def arff(folder: Path, instances: tuple[str, ...] = ("take 1",)) -> Path:
    lines = ["% made for a test", "@RELATION r", "", "@attribute Instance_name string", "@attribute frameTime numeric"]
    lines += [f"@attribute '{rater}' numeric" for rater in RATERS]
    lines += ["", "@data"]
    for number, instance in enumerate(instances):
        for seconds, row in zip(TIMES, ROWS, strict=True):
            cells = ["?" if value is None else f"{value if number == 0 else 1}" for value in row]
            lines.append(", ".join([f"'{instance}'", f"{seconds:.2f}", *cells]))
    path = folder / "ratings.arff"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def wide_parquet(folder: Path, missing: float | None = None) -> Path:
    columns = {rater: [missing if row[k] is None else row[k] for row in ROWS] for k, rater in enumerate(RATERS)}
    path = folder / "ratings.parquet"
    pl.DataFrame({"time": TIMES, **columns}, strict=False).write_parquet(path)
    return path


def long_parquet(folder: Path) -> Path:
    path = folder / "long.parquet"
    pl.DataFrame(long_rows()[::-1]).write_parquet(path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: wide(folder, ","),
        lambda folder: wide(folder, ";"),
        lambda folder: wide(folder, "\t"),
        lambda folder: wide(folder, ",", "time_ms", 1000),
        lambda folder: long_csv(folder, long_rows()),
        lambda folder: long_csv(folder, [*long_rows("arousal", 0), *long_rows()][::-1]),
        arff,
        lambda folder: arff(folder, ("take 1", "another")),
        wide_parquet,
        lambda folder: wide_parquet(folder, math.nan),
        long_parquet,
    ],
)
def test_every_layout_reads_the_same(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    traces = read(make(tmp_path))
    expected = np.array(ROWS, dtype=np.float64)
    columns = [traces.raters.index(rater) for rater in RATERS]
    np.testing.assert_array_equal(traces.time_seconds, TIMES)
    np.testing.assert_array_equal(traces.original[:, columns], expected)
    assert traces.resampled_hz is None
    values, is_imputed = traces.rescaled()
    np.testing.assert_allclose(values[:, columns][~np.isnan(expected)], (expected / 4 - 1.25)[~np.isnan(expected)])
    np.testing.assert_array_equal(is_imputed[:, columns].sum(axis=0), [0, 1, 1])


def test_two_dimensions_of_one_long_table(tmp_path: Path) -> None:
    path = long_csv(tmp_path, [*long_rows("arousal", -1), *long_rows()])
    found, problems = everything(path, scale=(0, 9), dimensions=("valence", "arousal", "joy"))
    assert problems == []
    assert list(found) == ["valence", "arousal"]
    np.testing.assert_array_equal(found["valence"].original, found["arousal"].original + 1)


def test_the_manifest_overrules_what_names_say(tmp_path: Path) -> None:
    path = wide(tmp_path, ",", "time", 1000)
    np.testing.assert_array_equal(read(path, time_unit="ms").time_seconds, TIMES)
    path.write_text("time;a,b;value\n0;1;2\n1;3;4\n", encoding="utf-8")
    assert read(path, delimiter=";").raters == ("a,b", "value")
    path.write_text("time;rater;value\n0;1;2\n1;3;4\n", encoding="utf-8")
    assert read(path).raters == ("1", "3")
    assert read(path, layout="wide").raters == ("rater", "value")


def test_a_gold_standard_is_never_a_rater(tmp_path: Path) -> None:
    path = tmp_path / "gold.arff"
    path.write_text(
        "@relation g\n@attribute Instance_name string\n@attribute frameTime numeric\n@attribute GoldStandard numeric\n"
        "@data\n'train_1',0.00,-0.1\n'train_1',0.04,0.25\n",
        encoding="utf-8",
    )
    table = read(path, scale=(-1, 1), is_gold=True).gold_table("train_1", "valence")
    assert table.schema == GOLD_STANDARDS
    assert table.column("source").to_pylist() == ["GoldStandard"] * 2
    assert table.column("value").to_pylist() == [-0.1, 0.25]
    _, problems = everything(path, scale=(-1, 1))
    assert [("gold_standard" in one.expected, "'GoldStandard'" in one.found) for one in problems] == [(True, True)]
    _, problems = everything(wide(tmp_path, ","), is_gold=True)
    assert [(one.expected, one.found) for one in problems] == [
        ("one column with the gold standard", "3: Anna, rater 2, 3")
    ]


def irregular(folder: Path) -> tuple[Path, dict[str, tuple[list[float], list[float]]]]:
    """Two raters with times of their own, in no order."""
    rng = np.random.default_rng(1)
    series, rows = {}, []
    for rater, first in (("a", 2.0), ("b", 5.0)):
        times = np.round(first + np.cumsum(rng.exponential(0.25, 60)), 3)
        times = np.unique(times)
        values = np.round(rng.uniform(1, 9, times.size), 2)
        series[rater] = (times.tolist(), values.tolist())
        rows += [{"time": t, "annotator": rater, "rating": v} for t, v in zip(*series[rater], strict=True)]
    rng.shuffle(rows)
    return long_csv(folder, rows), series


def test_irregular_times_are_resampled(tmp_path: Path) -> None:
    path, series = irregular(tmp_path)
    traces = read(path, rate_hz=4)
    assert traces.resampled_hz == 4
    grid = traces.time_seconds
    np.testing.assert_allclose(grid * 4, np.round(grid * 4))
    values, is_imputed = traces.rescaled()
    for rater, (times, rated) in series.items():
        column = traces.raters.index(rater)
        means = [[v for t, v in zip(times, rated, strict=True) if g - 0.125 <= t < g + 0.125] for g in grid]
        filled = np.array([np.mean(some) if some else np.nan for some in means])
        known = ~np.isnan(filled)
        np.testing.assert_allclose(traces.original[:, column], filled, rtol=1e-12)
        inside = (grid >= grid[known][0]) & (grid <= grid[known][-1])
        curve = PchipInterpolator(grid[known], filled[known])(grid[inside])
        np.testing.assert_allclose(values[inside, column], curve / 4 - 1.25, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(is_imputed[:, column], ~inside)
        assert not np.isnan(values[:, column]).any()
        assert (values[grid < grid[known][0], column] == 0).all()
        assert len(set(values[grid > grid[known][-1], column])) <= 1
    assert read(path).resampled_hz == pytest.approx(1 / 0.25, rel=0.5)


def test_a_file_for_each_rater(tmp_path: Path) -> None:
    whole = read(wide(tmp_path, ","))
    parts, files = [], []
    for column, rater in enumerate(RATERS):
        path = tmp_path / f"{column}.csv"
        rows = [f"{t},{row[column]}" for t, row in zip(TIMES, ROWS, strict=True) if row[column] is not None]
        path.write_text("\n".join([f"time,{rater}", *rows]), encoding="utf-8")
        files.append(RatingsFile(path=path, dimensions=("valence",)))
        parts.append(read(path))
    together, problems = on_one_grid(parts, files[0], recording_id="take-1")
    assert problems == []
    assert together is not None
    assert together.raters == whole.raters
    np.testing.assert_array_equal(together.original, whole.original)


ARFF = "@relation r\n@attribute frameTime numeric\n@attribute a numeric\n@data\n"


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"),
    [
        ("time,rater,value\n0,a,1\n0,a,2\n", None, "one value of rater 'a' at 0.0 s", "2"),
        ("time,rater,value\n0,,1\n", 2, "a name in column 'rater'", "''"),
        ("time,rater,value\n0,a,99\n", 2, "a value in [1, 9] in column 'value'", "99.0"),
        ("time,rater,value\nx,a,1\n", 2, "a finite number in column 'time'", "'x'"),
        ("rater,value\na,1\n", 1, "one time column", "['rater', 'value']"),
        ("time,rater,value,mood\n0,a,1,2\n", 1, "columns time, rater, value", "['mood']"),
        ("time,rater,value,dimension\n0,a,1,arousal\n", None, "ratings of valence", "arousal"),
        ("time\ta\n0\t1\n0\t1\t2\n", 3, "2 cells separated by a tab", "3"),
        (ARFF + "0,1\n0.04,happy\n", 6, "a finite number in column 'a'", "'happy'"),
        (ARFF + "% only this\n", None, "at least one row", "none"),
        (ARFF + "0,?\n", None, "at least one rating", "empty cells only"),
        ("@relation r\n@attribute t numeric\n", None, "a line @data", "none"),
        ("@relation r\n@attribute\n@data\n", 2, "@attribute NAME TYPE", "'@attribute'"),
        (
            ARFF.replace("r\n", "r\n@attribute Instance_name string\n", 1) + "x,0,1\ny,0,1\n",
            None,
            "rows of 'take 1'",
            "rows of x, y",
        ),
        ("time_ms,a\n0,1\n1,2\n5,2\n6,1\n9,1\n10,1\n14,1\n15,1\n19,1\n1e14,3\n", None, "at most 10000000 labels", "Hz"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, line: int | None, expected: str, found: str) -> None:
    path = tmp_path / "r.txt"
    path.write_text(text, encoding="utf-8")
    traces, problems = everything(path)
    assert traces == {}
    assert [(one.severity, one.recording_id, one.path, one.line) for one in problems] == [
        ("failed", "take-1", str(path), line)
    ]
    assert expected in problems[0].expected
    assert found in problems[0].found


@pytest.mark.parametrize(
    ("columns", "line", "expected", "found"),
    [
        ({"time": [0.0, 0.0], "a": [1.0, 2.0]}, 2, "a time after that of the row above", "0.0"),
        ({"time": [0.0, None], "a": [1.0, 2.0]}, 2, "a finite number in column 'time'", "None"),
        ({"time": [0.0, 1.0], "a": [1.0, 10.0]}, 2, "a value in [1, 9] in column 'a'", "10.0"),
        ({"time": [0.0, 1.0], "a": ["x", "y"]}, None, "numbers in column 'a'", "string"),
        ({"time": [0.0], "a": [math.nan]}, None, "at least one rating", "nulls only"),
        ({"when": [0.0], "a": [1.0]}, None, "first column is the time", "'when'"),
    ],
)
def test_wrong_parquet(
    tmp_path: Path, columns: dict[str, list[object]], line: int | None, expected: str, found: str
) -> None:
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table(columns), path)
    _, problems = everything(path)
    assert [one.line for one in problems] == [line]
    assert expected in problems[0].expected
    assert found in problems[0].found
    path.write_bytes(path.read_bytes()[:40])
    assert "whole Parquet" in everything(path)[1][0].expected


@pytest.mark.shared
def test_the_shared_gold_standard_counts_milliseconds(shared_data: Path) -> None:
    traces = read(shared_data / "traces" / "muse_11_arousal_gold.csv", scale=(-1, 1), is_gold=True, time_unit="ms")
    np.testing.assert_array_equal(traces.time_seconds, np.arange(618) / 2)
