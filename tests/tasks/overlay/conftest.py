"""Films of a gray wall whose frames PyAV times, and a store with rows made by hand for every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from schemas.settings import IngestSettings
from schemas.tables import PREDICTIONS, RATINGS, frames_schema
from tasks.ingest.recordings import Recording, read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store, part_name
from tasks.store.parts import Provenance, write_part

GRAY = 120
SIZE = (320, 240)
CHIP = (200, 40, 160)
BOX = (61.3, 50.4, 160.8, 149.7)
DRAWN = (62, 50, 160, 150)
"""The even pixels nearest to `BOX`: colours have half the resolution."""
LANDMARKS = [80.0, 80.0, 95.0, 81.0, 140.0, 80.0, 125.0, 81.0, 110.0, 115.0]
SOURCES = ("detected", "tracked", "none")
"""By frame, in turns of ten frames."""
TIME_BASE = Fraction(1, 600)


def write_film(path: Path, ticks: Sequence[int], *, aspect: Fraction | None = None) -> Path:
    """A gray film with B-frames whose frames are shown at `ticks` of 1/600 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "12", "bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = stream.time_base = TIME_BASE
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(np.full((SIZE[1], SIZE[0], 3), GRAY, np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def times_by_pyav(path: Path) -> list[float]:
    """Seconds after the container's start, of every frame in the order of display."""
    with av.open(str(path)) as container:
        start = (container.start_time or 0) / 1_000_000
        return [float(frame.time) - start for frame in container.decode(video=0) if frame.time is not None]


def pictures_by_pyav(path: Path) -> list[npt.NDArray[np.uint8]]:
    """Every frame as `[height, width, 3]` RGB."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)]


@dataclass
class Film:
    """A store of one recording, and where its video lies."""

    store: Store
    recording: Recording
    video: Path
    times: list[float]

    @property
    def parts(self) -> list[Path]:
        return sorted(self.store.frames(self.recording.recording_id).glob("part-*.parquet"))


MakeFilm = Callable[..., Film]


@pytest.fixture
def make_film(tmp_path: Path) -> MakeFilm:
    """Make a film and its rows: `ticks` are the frames' times, `chip_format` is that of the rows."""

    def make(
        ticks: Sequence[int] = range(0, 60 * 20, 20),
        *,
        name: str = "film.mp4",
        chip_format: str = "rgb96",
        aspect: Fraction | None = None,
    ) -> Film:
        corpus = tmp_path / "corpus"
        corpus.mkdir()
        video = write_film(corpus / name, ticks, aspect=aspect)
        (corpus / "manifest.csv").write_text(
            f"recording,subject,video,ratings,partition,scale\nfilm,s1,{name},,,\n", encoding="utf-8"
        )
        store = Store(tmp_path / "store")
        ingest_corpus(corpus, store, IngestSettings())
        film = Film(store, read_recordings(store)[0], video, times_by_pyav(video))
        write_rows(film, chip_format=chip_format)
        return film

    return make


def write_rows(film: Film, *, chip_format: str = "rgb96", num_frames: int | None = None) -> None:
    """Rows in parts of 25: ten frames detected, ten tracked, ten without a face, and so on."""
    schema = frames_schema(chip_format)
    pixels = np.full((96, 96, 3), CHIP, np.uint8) if chip_format == "rgb96" else np.full((96, 96), 200, np.uint8)
    rows = []
    for index, seconds in enumerate(film.times[:num_frames]):
        source = SOURCES[index // 10 % 3]
        row: dict[str, Any] = {"recording_id": "film", "frame_index": index, "time_seconds": seconds}
        row |= {"face_valid": source != "none", "face_source": source}
        if source != "none":
            row |= dict(zip(("box_left", "box_top", "box_right", "box_bottom"), BOX, strict=True))
            row |= {"landmarks": LANDMARKS, "chip": pixels.tobytes(), "detection_score": 1.25, "sharpness": 300.0}
        rows.append(row)
    folder = film.store.frames("film")
    for path in folder.glob("*"):
        path.unlink()
    provenance = Provenance(stage="faces", stage_key="rows", source_sha256=film.recording.sha256)
    for number, first in enumerate(range(0, len(rows), 25)):
        write_part(
            folder / part_name(number), pa.Table.from_pylist(rows[first : first + 25], schema=schema), provenance
        )


def write_predictions(film: Film, values: dict[str, npt.NDArray[np.float64]], model_id: str = "model-1") -> None:
    """Predictions of each rater at each frame; NaN is written as null."""
    rows = [
        {
            "recording_id": "film",
            "model_id": model_id,
            "frame_index": index,
            "time_seconds": seconds,
            "dimension": "valence",
            "rater": rater,
            "value": None if np.isnan(value) else float(value),
            "face_valid": True,
        }
        for rater, column in values.items()
        for index, (seconds, value) in enumerate(zip(film.times, column, strict=True))
    ]
    table = pa.Table.from_pylist(rows, schema=PREDICTIONS)
    write_part(film.store.predictions(model_id, "film"), table, Provenance(stage="predict", stage_key="p"))


def write_ratings(film: Film, values: dict[str, npt.NDArray[np.float64]], *, step: float) -> None:
    """Ratings of each rater, `step` seconds apart."""
    rows = [
        {
            "recording_id": "film",
            "dimension": "valence",
            "rater": rater,
            "time_seconds": index * step,
            "value": float(value),
            "value_original": float(value),
            "scale_min": -1.0,
            "scale_max": 1.0,
            "is_imputed": False,
        }
        for rater, column in values.items()
        for index, value in enumerate(column)
    ]
    table = pa.Table.from_pylist(rows, schema=RATINGS)
    write_part(film.store.ratings("film"), table, Provenance(stage="ratings", stage_key="r"))
