"""Films of two public-domain portraits, in which who is to be seen where is known by construction."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from PIL import Image
from skimage import data

from schemas.settings import FacesSettings, IdentitySettings, IngestSettings
from schemas.tables import PEOPLE
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import Recording
from tasks.people.stage import extract_people
from tasks.store.layout import Store
from tasks.store.parts import read_table

from ..faces.conftest import Ingested, ingest, portrait, run_ffmpeg

ByteArray = npt.NDArray[np.uint8]

NUM_FRAMES = 170
ABSENT = range(70, 120)
"""Frames in which Collins has left: a whole segment, and the ends of its neighbours."""
SHOT = 20
"""Frames between cuts."""
SETTINGS = FacesSettings(
    segment_frames=40, all_faces=True, identity=IdentitySettings(interval_seconds=1.0), detection_interval=5
)


def hopper(step: int) -> ByteArray:
    """Grace Hopper, 320x240; her face moves with `step`."""
    sway = round(8 * np.sin(step / 9))
    return np.asarray(portrait().convert("RGB").resize((360, 422)))[20:260, 20 + sway : 340 + sway]


def collins(step: int) -> ByteArray:
    """Eileen Collins, 320x240."""
    image = Image.fromarray(data.astronaut()).convert("RGB").resize((640, 640))  # type: ignore[no-untyped-call]
    sway = round(8 * np.sin(step / 9))
    return np.asarray(image)[20:260, 120 - sway : 440 - sway]


def wall() -> ByteArray:
    return np.random.default_rng(1).normal(110, 6, (240, 320, 3)).clip(0, 255).astype(np.uint8)


def write_film(target: Path, frames: list[ByteArray]) -> Path:
    """25 frames/s with B-frames."""
    height, width = frames[0].shape[:2]
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "-")
    raw = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    return run_ffmpeg(*source, "-c:v", "libx264", "-g", "20", "-bf", "2", "-pix_fmt", "yuv420p", target, data=raw)


@dataclass(frozen=True)
class People:
    """A recording with its frames, and everybody's rows where they have been extracted."""

    made: Ingested
    recording: Recording

    @property
    def store(self) -> Store:
        return self.made.store

    def extract(self, *, workers: int = 2) -> pa.Table:
        extract_people(self.store, self.recording, SETTINGS, workers=workers)
        return self.table()

    def table(self) -> pa.Table:
        return read_table(self.store.people(self.recording.recording_id), PEOPLE)


def with_frames(folder: Path, film: Path, *, declared_frame_rate: float | None = None) -> People:
    """A store with `frames` of one film, A."""
    settings = IngestSettings(declared_frame_rate=declared_frame_rate)
    made = ingest(folder / "corpus", Store(folder / "store"), settings, A=film)
    people = People(made, made.recordings["A"])
    extract_faces(made.store, people.recording, SETTINGS, workers=2)
    return people


@pytest.fixture(scope="session")
def pair_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hopper on the left in every frame, Collins on the right but for `ABSENT`."""
    frames = [
        np.concatenate([hopper(step), wall() if step in ABSENT else collins(step)], axis=1)
        for step in range(NUM_FRAMES)
    ]
    return write_film(tmp_path_factory.mktemp("pair") / "pair.mp4", frames)


@pytest.fixture(scope="session")
def pair(pair_film: Path, tmp_path_factory: pytest.TempPathFactory) -> People:
    """Everybody in it."""
    people = with_frames(tmp_path_factory.mktemp("pair-store"), pair_film)
    with worker_pool():
        people.extract()
    return people


@pytest.fixture(scope="session")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> People:
    """Hopper for `SHOT` frames, Collins for as many, and so on, ending with half a shot of Collins."""
    folder = tmp_path_factory.mktemp("cuts")
    frames = [hopper(step) if step // SHOT % 2 == 0 else collins(step) for step in range(NUM_FRAMES)]
    people = with_frames(folder, write_film(folder / "cuts.mp4", frames))
    people.extract()
    return people
