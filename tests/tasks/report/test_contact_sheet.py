"""Contact sheets against plain computations over the rows, and their place in the report."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from schemas.tables import frames_schema
from tasks.report import contact_sheet
from tasks.report.contact_sheet import ContactSheet, gap_words, write_contact_sheets
from tasks.report.ink import FACE_COLOURS
from tasks.report.quality import Quality, face_gaps
from tasks.report.sheet import NUM_GAPS, NUM_SAMPLED, read_sheet
from tasks.report.sheet_drawing import MARGIN, STRIP_TOP, WIDTH
from tasks.report.stage import write_report
from tasks.store.layout import Store, part_name
from tasks.store.parts import Provenance, write_part

from .conftest import Build, FakeStore

NUM_FRAMES = 400


@dataclass
class Rows:
    """A recording of random rows in three parts, as one polars table and on disk."""

    store: Store
    table: pl.DataFrame
    duration: float

    @property
    def parts(self) -> list[Path]:
        return sorted(self.store.frames("P1").glob("part-*.parquet"))

    @property
    def quality(self) -> Quality:
        times, valid = self.table["time_seconds"].to_numpy(), self.table["face_valid"].to_numpy()
        gaps = tuple(face_gaps(times, valid, duration_seconds=self.duration))
        return Quality("P1", "test", self.duration, "stream", 25.0, NUM_FRAMES, NUM_FRAMES, float(valid.mean()), gaps)

    def sheets(self, tag: str = "") -> tuple[ContactSheet, ...]:
        return write_contact_sheets(self.store, [self.quality], tag=tag)


def chip_of(frame: int, size: int = 3) -> bytes:
    """A chip of one colour that tells its frame."""
    colour = (frame % 250, 255 - frame % 250, 40)[:size]
    return np.full((96, 96, size), colour, np.uint8).tobytes()


MakeRows = Callable[..., Rows]


@pytest.fixture
def make_rows(tmp_path: Path) -> MakeRows:
    def make(*, chip_format: str = "rgb96", seed: int = 4, faceless: float = 0.25) -> Rows:
        rng = np.random.default_rng(seed)
        times = np.cumsum(rng.uniform(0.02, 0.09, NUM_FRAMES))
        sources: npt.NDArray[np.int64] = np.where(
            np.repeat(rng.random(NUM_FRAMES // 8), 8) < faceless, 2, rng.integers(0, 2, NUM_FRAMES)
        )
        rows: list[dict[str, Any]] = []
        for frame in range(NUM_FRAMES):
            name = ("detected", "tracked", "none")[sources[frame]]
            row: dict[str, Any] = {"recording_id": "P1", "frame_index": frame, "time_seconds": float(times[frame])}
            row |= {"face_valid": name != "none", "face_source": name}
            if name != "none":
                row |= {"chip": chip_of(frame, 3 if chip_format == "rgb96" else 1), "sharpness": rng.uniform(0, 900)}
            if name == "detected":
                row["detection_score"] = rng.uniform(0, 3)
            rows.append(row)
        store = Store(tmp_path / "store")
        schema = frames_schema(chip_format)
        for number, first in enumerate((0, 150, 300)):
            table = pa.Table.from_pylist(rows[first : first + 150], schema=schema)
            provenance = Provenance(stage="faces", stage_key=f"rows-{seed}")
            write_part(store.frames("P1") / part_name(number), table, provenance)
        return Rows(store, pl.DataFrame(pa.Table.from_pylist(rows, schema=schema)), float(times[-1]) + 0.04)

    return make


def naive_gaps(rows: Rows) -> list[tuple[float, float]]:
    """Runs of rows without a face, by polars; the longest first."""
    runs = (
        rows.table.with_columns(end=pl.col("time_seconds").shift(-1, fill_value=rows.duration))
        .with_columns(run=pl.col("face_valid").rle_id())
        .filter(~pl.col("face_valid"))
        .group_by("run", maintain_order=True)
        .agg(start=pl.col("time_seconds").first(), end=pl.col("end").last())
        .with_columns(length=pl.col("end") - pl.col("start"))
        .sort("length", "start", descending=[True, False])
    )
    return list(zip(runs["start"].to_list(), runs["end"].to_list(), strict=True))


def test_gaps_are_those_of_a_plain_computation(make_rows: MakeRows) -> None:
    rows = make_rows()
    expected = naive_gaps(rows)
    assert len(expected) > NUM_GAPS
    sheet, told = read_sheet(rows.parts, rows.quality), rows.sheets()[0]
    assert sheet.gaps == tuple(expected)
    assert told.gaps == tuple(expected[:NUM_GAPS])
    assert told.gap_words.endswith(f"and in {len(expected) - NUM_GAPS} shorter spans.")
    shares = {name: count / NUM_FRAMES for name, count in rows.table["face_source"].value_counts().iter_rows()}
    assert sheet.timeline.shares == pytest.approx(shares)


def test_sampled_frames_are_those_on_show_and_carry_their_chips(make_rows: MakeRows) -> None:
    rows = make_rows()
    sheet = read_sheet(rows.parts, rows.quality)
    middles = [(turn + 0.5) * rows.duration / NUM_SAMPLED for turn in range(NUM_SAMPLED)]
    expected = [
        int(rows.table.filter(pl.col("time_seconds") <= middle)["frame_index"].max() or 0)  # type: ignore[arg-type]
        for middle in middles
    ]
    assert [cell.frame_index for cell in sheet.sampled] == expected
    cells = [*sheet.sampled, *(cell for _, cells in sheet.worst for cell in cells)]
    assert any(cell.chip is None for cell in cells)
    for cell in cells:
        row = rows.table.row(cell.frame_index, named=True)
        assert (cell.time_seconds, cell.source) == (row["time_seconds"], row["face_source"])
        assert cell.chip == (chip_of(cell.frame_index) if row["face_valid"] else None)


def test_worst_frames_are_the_lowest_that_stand_apart(make_rows: MakeRows) -> None:
    rows = make_rows()
    worst = dict(read_sheet(rows.parts, rows.quality).worst)
    assert list(worst) == ["Lowest detection score", "Least sharp"]  # no row has a tracking score
    for heading, column in (("Lowest detection score", "detection_score"), ("Least sharp", "sharpness")):
        left = rows.table.filter(pl.col(column).is_not_null()).sort(column)
        expected: list[int] = []
        for frame, at in left.select("frame_index", "time_seconds").iter_rows():
            if all(abs(at - rows.table["time_seconds"][other]) >= 1 for other in expected) and len(expected) < 6:
                expected.append(frame)
        assert [cell.frame_index for cell in worst[heading]] == expected
    value = rows.table["detection_score"][worst["Lowest detection score"][0].frame_index]
    assert worst["Lowest detection score"][0].note == f"score {value:.2f}"


@pytest.mark.parametrize("chip_format", ["rgb96", "gray96"])
def test_the_picture_keeps_the_colours_that_mean_something(make_rows: MakeRows, chip_format: str) -> None:
    rows = make_rows(chip_format=chip_format)
    sheet = rows.sheets()[0]
    with Image.open(sheet.path) as picture:
        assert picture.size == (sheet.width, sheet.height) == (WIDTH, sheet.height)
        pixels = np.asarray(picture.convert("RGB"))
    strip = pixels[STRIP_TOP + 1, MARGIN : WIDTH - MARGIN]  # the upper edge: `none` where there is any
    found = {f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in strip.tolist()}
    assert found <= set(FACE_COLOURS.values())
    width = WIDTH - 2 * MARGIN
    none = np.array([tuple(pixel) == (0xD5, 0x5E, 0x00) for pixel in strip.tolist()])
    for start, end in naive_gaps(rows):
        assert none[int(start / rows.duration * width)]
        assert none[min(int(end / rows.duration * width), width) - 1]
    valid = rows.table["face_valid"].to_numpy()
    assert none.mean() == pytest.approx(1 - valid.mean(), abs=0.05)


def test_a_current_sheet_is_left_alone_and_a_stale_one_replaced(make_rows: MakeRows) -> None:
    rows = make_rows()
    path = rows.sheets()[0].path
    assert path == rows.store.reports / "contact-sheets" / "P1.png"
    before = path.stat().st_mtime_ns
    assert rows.sheets()[0].path.stat().st_mtime_ns == before
    rows.sheets(tag="Synthetic corpus.")
    told = path.stat().st_mtime_ns
    assert told != before
    other = make_rows(seed=5)
    stray = path.with_name("P9.png")
    stray.write_bytes(b"a face that the store no longer has")
    other.sheets(tag="Synthetic corpus.")
    assert path.stat().st_mtime_ns != told
    assert not stray.exists()
    path.write_bytes(b"half a picture")
    with Image.open(other.sheets()[0].path) as picture:
        picture.load()


def test_words_of_gaps() -> None:
    assert gap_words([], 0) == "A face in every frame."
    assert gap_words([(1.0, 2.5)], 1) == "No face from 0:01.000 to 0:02.500 (1.50 s)."
    assert gap_words([(1.0, 2.5)], 2) == "No face from 0:01.000 to 0:02.500 (1.50 s) and in 1 shorter span."


def report(fake: FakeStore) -> tuple[str, str]:
    files = write_report(
        fake.store, rows=fake.rows, title="t", protocol="per-rater", protocol_name="per-rater", corpus_note="Synthetic."
    )
    return files.html.read_text(encoding="utf-8"), files.markdown.read_text(encoding="utf-8")


def pictures(html: str) -> list[tuple[str, str]]:
    """(alt, base64) of every picture."""
    return re.findall(r'<img src="data:image/webp;base64,([^"]+)"[^>]* alt="([^"]+)"', html)


def test_the_report_shows_each_recording_with_frames(build: Build) -> None:
    html, markdown = report(build())
    found = pictures(html)
    assert [alt.split(".")[0] for _, alt in found] == [f"Contact sheet of {name}" for name in ("P13", "P14", "P15")]
    assert "A face in 86.0 % of 250 frames. No face from 0:02.480 to 0:03.480 (1.00 s), 0:09.600" in found[0][1]
    for data, _ in found:
        with Image.open(io.BytesIO(b64decode(data))) as picture:
            assert picture.width == WIDTH
    assert '<details class="sheet">' not in html
    assert "- P13: No face from 0:02.480 to 0:03.480 (1.00 s)" in markdown
    assert "lie beside the HTML report, in `contact-sheets/`" in markdown


def test_many_recordings_fold_and_the_worst_are_shown(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "MOST_EMBEDDED", 4)
    fake = build(num_recordings=7)
    html, _ = report(fake)
    found = pictures(html)
    assert len(found) == html.count('<details class="sheet">') == 4
    assert found[0][1].startswith("Contact sheet of P13.")  # the only one that loses its face
    assert "Shown: 4 of 6 recordings" in html
    assert len(list((fake.store.reports / "contact-sheets").glob("*.png"))) == 6
