"""Small films made by ffmpeg, and a film of a public-domain portrait that a camera pans over."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from schemas.settings import FacesSettings, IngestSettings
from schemas.tables import frames_schema
from tasks.faces.identity import Identities, write_identities
from tasks.faces.plan import frames_key, is_complete
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import Recording, read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store
from tasks.store.parts import read_table

ByteArray = npt.NDArray[np.uint8]

REPOSITORY = Path(__file__).parents[3]
SHARED = REPOSITORY.parent / "shared" / "data"

NUM_FRAMES = 130
FACELESS = range(60, 76)


def run_ffmpeg(*arguments: str | Path, data: bytes | None = None) -> Path:
    """Run ffmpeg; the last argument is the file it makes, which is returned."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, input=data or b"")
    return Path(arguments[-1])


@dataclass(frozen=True)
class Frame:
    """What PyAV says of one frame: seconds after the container's start, pts, and the planes of a yuv420p frame."""

    time_seconds: float
    pts: int | None
    planes: tuple[ByteArray, ByteArray, ByteArray]


def by_pyav(path: Path) -> list[Frame]:
    """Every frame of a yuv420p video by PyAV alone, in display order."""
    found = []
    with av.open(str(path)) as container:
        start = (container.start_time or 0) / 1_000_000
        for frame in container.decode(video=0):
            planes = []
            for number, plane in enumerate(frame.planes[:3]):
                height = frame.height if number == 0 else (frame.height + 1) // 2
                width = frame.width if number == 0 else (frame.width + 1) // 2
                raw = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
                planes.append(raw[:height, :width].copy())
            seconds = -1.0
            if frame.pts is not None and frame.time_base is not None:
                seconds = float(frame.pts * frame.time_base) - start
            found.append(Frame(seconds, frame.pts, (planes[0], planes[1], planes[2])))
    return found


@dataclass
class Films:
    """Makes films, each once a session."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def portrait(self) -> Path:
        """130 frames of 320x240 at 25 frames/s with B-frames; no face in frames [60, 76)."""
        target = self.path("portrait.mp4")
        if not target.exists():
            write_portrait(target, [None if i in FACELESS else i for i in range(NUM_FRAMES)])
        return target


def portrait() -> Image.Image:
    """Grace Hopper, a public-domain photograph that matplotlib ships; her face is 187 pixels wide."""
    return Image.open(str(get_sample_data("grace_hopper.jpg", asfileobj=False)))


def write_portrait(target: Path, steps: list[int | None], *options: str) -> Path:
    """A film that pans over the portrait; a step of None is a gray wall instead."""
    pixels = np.asarray(portrait().convert("RGB").resize((360, 422)))
    rng = np.random.default_rng(1)
    wall = rng.normal(110, 6, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    frames = []
    for step in steps:
        if step is None:
            frames.append(wall)
            continue
        left, top = round(20 + 18 * np.sin(step / 9)), round(20 + 12 * np.cos(step / 14))
        frames.append(pixels[top : top + 240, left : left + 320])
    data = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "320x240", "-r", "25", "-i", "-")
    chosen = options or ("-c:v", "libx264", "-preset", "veryfast", "-g", "20", "-bf", "2", "-pix_fmt", "yuv420p")
    return run_ffmpeg(*source, *chosen, target, data=data)


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the shared test recordings are not part of the project")
    return SHARED


@dataclass(frozen=True)
class Ingested:
    store: Store
    recordings: dict[str, Recording]


Ingester = Callable[..., Ingested]


def ingest(folder: Path, store: Store, settings: IngestSettings, **videos: Path) -> Ingested:
    """Bring videos into a store through a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{name},{name},{path},,,\n" for name, path in videos.items()]
    text = "recording,subject,video,ratings,partition,scale\n" + "".join(rows)
    (folder / "manifest.csv").write_text(text, encoding="utf-8")
    ingest_corpus(folder, store, settings)
    return Ingested(store, {one.recording_id: one for one in read_recordings(store)})


@pytest.fixture
def ingested(tmp_path: Path) -> Ingester:
    def make(*, declared_frame_rate: float | None = None, **videos: Path) -> Ingested:
        settings = IngestSettings(declared_frame_rate=declared_frame_rate)
        return ingest(tmp_path / "corpus", Store(tmp_path / "store"), settings, **videos)

    return make


def settle_nobody(made: Ingested) -> None:
    """Write empty identities for every recording: for tests that run a segment by hand."""
    for name in made.recordings:
        write_identities(
            made.store.identities(name), Identities(()), recording_id=name, key="", source_sha256="", decoder_version=""
        )


SETTINGS = FacesSettings(segment_frames=50)


def extract(made: Ingested, name: str = "A", *, workers: int = 2, settings: FacesSettings = SETTINGS) -> int:
    return extract_faces(made.store, made.recordings[name], settings, workers=workers).num_frames


def frames(made: Ingested, name: str = "A", settings: FacesSettings = SETTINGS) -> pa.Table:
    return read_table(made.store.frames(name), frames_schema(settings.chip_format))


def complete(made: Ingested, name: str = "A", settings: FacesSettings = SETTINGS) -> bool:
    return is_complete(made.store, name, frames_key(made.recordings[name], settings))


def parts(made: Ingested, name: str = "A") -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(made.store.frames(name).iterdir())}


@pytest.fixture(scope="module")
def reference(films: Films, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    """The portrait's frames by one worker. Read only."""
    from schemas.settings import IngestSettings
    from tasks.store.layout import Store

    folder = tmp_path_factory.mktemp("reference")
    made = ingest(folder / "corpus", Store(folder / "store"), IngestSettings(), A=films.portrait())
    extract(made, workers=1)
    return made
