"""Ratings against a naive parser that goes cell by cell, and every way a file can be wrong."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import Problem
from schemas.tables import RATINGS
from tasks.ingest.corpus import RatingsFile
from tasks.ingest.ratings import MAX_PROBLEMS, RatingTraces, read_ratings

Row = tuple[str, float, float | None, float | None, bool]


def naive_rows(path: Path, low: float, high: float) -> list[Row]:
    """Oracle: rows (rater, time, value, original, is_imputed), cell by cell in plain Python."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    delimiter = next(mark for mark in ";\t,|" if mark in lines[0])
    raters = [name.strip() for name in lines[0].split(delimiter)[1:]]
    rows: list[Row] = []
    for column, rater in enumerate(raters, start=1):
        cells = [line.split(delimiter) for line in lines[1:]]
        given = [row for row, cell in enumerate(cells) if cell[column].strip()]
        last = None
        for row, cell in enumerate(cells):
            seconds = float(cell[0])
            if cell[column].strip():
                original = float(cell[column])
                last = original if (low, high) == (-1, 1) else 2 * (original - low) / (high - low) - 1
                rows.append((rater, seconds, last, original, False))
            elif given and row < given[0]:
                rows.append((rater, seconds, 0.0, None, True))
            elif given and row > given[-1]:
                rows.append((rater, seconds, last, None, True))
            else:
                rows.append((rater, seconds, None, None, False))
    return rows


def read_traces(
    path: Path, *, scale: tuple[float, float], recording_id: str, **options: Any
) -> tuple[RatingTraces | None, list[Problem]]:
    file = RatingsFile(path=path, dimensions=("valence",), **options)
    found, problems = read_ratings(file, scale=scale, recording_id=recording_id)
    return found.get("valence"), problems


def read(path: Path, low: float = -1, high: float = 1, **options: Any) -> RatingTraces:
    traces, problems = read_traces(path, scale=(low, high), recording_id="P1", **options)
    assert problems == []
    assert traces is not None
    return traces


def assert_as_naive(path: Path, low: float, high: float) -> None:
    table = read(path, low, high).table("P1", "valence")
    assert table.schema == RATINGS
    columns = ["rater", "time_seconds", "value", "value_original", "is_imputed"]
    found = list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))
    assert found == naive_rows(path, low, high)
    assert set(table.column("recording_id").to_pylist()) == {"P1"}
    assert set(table.column("dimension").to_pylist()) == {"valence"}
    assert set(table.column("scale_min").to_pylist()) == {low}
    assert set(table.column("scale_max").to_pylist()) == {high}


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (1, 9), (0, 100)])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("raters", [1, 6, 32])
def test_like_the_naive_parser(tmp_path: Path, low: float, high: float, delimiter: str, raters: int) -> None:
    rng = np.random.default_rng(raters)
    values = rng.uniform(low, high, (200, raters))
    times = np.cumsum(rng.uniform(0.09, 0.11, 200))
    missing = rng.random((200, raters)) < 0.2
    missing[: rng.integers(0, 20), :] = True
    missing[180:, raters // 2] = True
    lines = [delimiter.join(["Time", *(f"R{rater} " for rater in range(raters))])]
    for row in range(200):
        cells = ["" if missing[row, rater] else f"{values[row, rater]:.6g}" for rater in range(raters)]
        lines.append(delimiter.join([f"{times[row]:.6f}", *cells]))
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert_as_naive(path, low, high)


def test_recola_header_quirk_and_imputation(tmp_path: Path) -> None:
    path = tmp_path / "P16.csv"
    path.write_bytes(b"time;FM1 ;FM2 ;FF1\r\n0;;0.5;\r\n0.04;0.1;;\r\n0.08;-0.2;0.7;\r\n0.12;;;\r\n")
    traces = read(path)
    assert traces.raters == ("FM1", "FM2", "FF1")
    values, is_imputed = traces.rescaled()
    nan = math.nan
    np.testing.assert_array_equal(values, [[0, 0.5, nan], [0.1, nan, nan], [-0.2, 0.7, nan], [-0.2, 0.7, nan]])
    np.testing.assert_array_equal(is_imputed, [[1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]])


def test_ends_of_the_scale_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("timestamp,a,b\n0,1,9\n2,5,5\n", encoding="utf-8-sig")
    assert read(path, 1, 9).rescaled()[0].tolist() == [[-1, 1], [0, 0]]


@pytest.mark.parametrize("cell", ["  ", " ", ""])
def test_blank_cells_are_missing(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"time;a;b\n0;0.5;1\n1;{cell};1\n2;0.5;1\n", encoding="utf-8")
    assert np.isnan(read(path).original[1, 0])


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_decimal_commas(tmp_path: Path, delimiter: str) -> None:
    """As a spreadsheet of half of Europe writes them: the same as with points."""
    rows = [f"{row * 0.04:.2f};{0.3 * row - 1:.2f};{'' if row == 2 else 1 - 0.2 * row:.4}" for row in range(6)]
    text = "time;a;b\n" + "\n".join(rows)
    for name, decimal in (("point", "."), ("comma", ",")):
        (tmp_path / name).write_text(text.replace(".", decimal).replace(";", delimiter), encoding="utf-8")
    point, comma = read(tmp_path / "point"), read(tmp_path / "comma")
    np.testing.assert_array_equal(comma.original, point.original)
    np.testing.assert_array_equal(comma.time_seconds, point.time_seconds)
    assert point.original[1, 0] == -0.7


def test_a_comma_in_a_name_is_no_decimal(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("time;rater;value\n0;Doe, J;1\n1;Doe, J;-1\n", encoding="utf-8")
    traces = read(path)
    assert traces.raters == ("Doe, J",)
    assert traces.original[:, 0].tolist() == [1, -1]


@pytest.mark.parametrize("first", ["T", "s", "Time", "ms"])
def test_a_rater_may_be_called_as_times_are(tmp_path: Path, first: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"time;{first};B\n0;0.25;1\n1;0.5;-1\n", encoding="utf-8")
    traces = read(path)
    assert traces.raters == (first, "B")
    assert traces.original.tolist() == [[0.25, 1], [0.5, -1]]


H = "time;a;b\n"


@pytest.mark.parametrize(
    ("text", "line", "expected", "found"),
    [
        ("", 1, "a header", "an empty file"),
        ("\n0;1\n", 1, "a header", "an empty line"),
        ("0;1;2\n0.04;1;1\n", 1, "first column is the time in seconds", "'0'"),
        (";time;a\n0;0;1\n1;0.04;1\n", 1, "first column is the time in seconds", "''"),
        ("index;time;a\n0;0;1\n1;0.04;1\n", 1, "first column is the time in seconds", "'index'"),
        ("time\n1\n", 1, "at least one rater", "only 'time'"),
        ("time;a;a \n0;1;1\n", 1, "every rater once", "'a' again in column 3"),
        ("time;a;\n0;1;\n", 1, "a rater's name", "column 3"),
        (H, None, "at least one row", "none"),
        (H + "0;;\n", None, "at least one rating", "empty cells only"),
        (H + "0;1;1\n1;1\n", 3, "3 cells", "2"),
        (H + "0;1;1\n\n1;1;1;1\n", 4, "3 cells", "4"),
        (H + "0;1;happy\n", 2, "a finite number in column 'b'", "'happy'"),
        (H + "0;1;nan\n", 2, "a finite number in column 'b' (leave the cell empty where nothing was rated)", "'nan'"),
        (H + "0;1;inf\n", 2, "a finite number in column 'b'", "'inf'"),
        (H + "0;0.5;0,5\n", 2, "decimals with a point, in the whole file", "'0,5'"),
        (H + "0;0,5;1\n0,04;0,5;1,5\n", 3, "a value in [-1, 1] in column 'b'", "1.5"),
        (H + "0;0,5;1,0,0\n", 2, "a finite number in column 'b'", "'1,0,0'"),
        (H + ";1;1\n", 2, "a finite number in column 'time'", "''"),
        (H + "0;1;1\n0;1;1\n", 3, "a time after 0.0 s", "0.0"),
        (H + "1;1;1\n0.5;1;1\n", 3, "a time after 1.0 s", "0.5"),
        (H + "0;1;1.01\n", 2, "a value in [-1, 1] in column 'b'", "1.01"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, line: int | None, expected: str, found: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8")
    traces, problems = read_traces(path, scale=(-1, 1), recording_id="P1")
    assert traces is None
    assert len(problems) == 1
    problem = problems[0]
    assert (problem.severity, problem.recording_id, problem.path, problem.line) == ("failed", "P1", str(path), line)
    assert expected in problem.expected
    assert found in problem.found


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes("time;a\n0;1\n1;é\n".encode("latin-1"))
    _, problems = read_traces(path, scale=(-1, 1), recording_id="P1")
    assert [(one.line, "UTF-8" in one.expected, one.found) for one in problems] == [(3, True, "byte 0xe9")]


def test_every_problem_is_collected_and_capped(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(H + "0;x;5\n" + "".join(f"{k};1;9\n" for k in range(1, 60)), encoding="utf-8")
    _, problems = read_traces(path, scale=(-1, 1), recording_id="P1")
    assert [one.line for one in problems[:3]] == [2, 2, 3]
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[-1].found.startswith(f"{61 - MAX_PROBLEMS} more")


def test_speed_beside_numpys_reader_which_checks_nothing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, (7501, 32))
    lines = ["time;" + ";".join(f"R{rater}" for rater in range(32))]
    lines += [f"{row * 0.04:.2f};" + ";".join(f"{value:.4f}" for value in values[row]) for row in range(7501)]
    path = tmp_path / "big.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    ours, numpys = [], []
    for _ in range(4):  # side by side: a busy machine slows both
        started = time.perf_counter()
        table = read(path).table("P1", "valence")
        between = time.perf_counter()
        plain = np.loadtxt(path, delimiter=";", skiprows=1)
        ours.append(between - started)
        numpys.append(time.perf_counter() - between)
    np.testing.assert_array_equal(np.asarray(table["value_original"]).reshape(32, 7501).T, plain[:, 1:])
    assert min(ours) < 6 * min(numpys)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["V1_valence", "V1_arousal", "V2_valence", "V2_arousal"])
def test_shared_traces(shared_data: Path, name: str) -> None:
    path = shared_data / "traces" / f"{name}_32raters.csv"
    assert_as_naive(path, 1, 9)
    assert len(read(path, 1, 9).raters) == 32


@pytest.mark.shared
def test_shared_traces_with_timestamps(shared_data: Path) -> None:
    path = shared_data / "traces" / "muse_11_arousal_raw.csv"
    assert_as_naive(path, -1, 1)
    assert read(path).time_seconds[0] == 0.5
