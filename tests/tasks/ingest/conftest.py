"""Tiny real recordings, made by ffmpeg, and RECOLA-like folders of them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

REPOSITORY = Path(__file__).parents[3]
SHARED = REPOSITORY.parent / "shared" / "data"

FfmpegRunner = Callable[..., Path]


def run_ffmpeg(*arguments: str | Path) -> Path:
    """Run ffmpeg; the last argument is the file it makes, which is returned."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
    return Path(arguments[-1])


@pytest.fixture(scope="session")
def ffmpeg() -> FfmpegRunner:
    return run_ffmpeg


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the shared test recordings are not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of video at 25 frames/s with B-frames, 64x48, and a tone."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=44100")
    return run_ffmpeg(*picture, *sound, "-c:v", "libx264", "-bf", "2", "-g", "10", "-c:a", "aac", path)


RecolaMaker = Callable[..., Path]

HEADER = "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3"


def ratings_text(seconds: float = 2.0) -> str:
    """RECOLA's quirks: `;`, a space behind every rater but the last, one row more than the video has frames."""
    rows = [";".join([f"{k * 0.04:.2f}", *(f"{(k % 7 - 3) / 10 + r / 100:.2f}" for r in range(6))]) for k in range(51)]
    return "\n".join([HEADER, *rows[: round(seconds * 25) + 1]]) + "\n"


@pytest.fixture
def recola(tmp_path: Path, clip: Path) -> RecolaMaker:
    """Make a RECOLA tree of the named subjects, each video with bytes of its own."""

    def make(*names: str) -> Path:
        root = tmp_path / "corpus"
        video, rated = root / "RECOLA-Video-recordings", root / "RECOLA-Annotation/emotional_behaviour/valence"
        video.mkdir(parents=True, exist_ok=True)
        rated.mkdir(parents=True, exist_ok=True)
        for name in names:
            target = video / f"{name}.mp4"
            shutil.copyfile(clip, target)
            mark = name.encode()
            with target.open("ab") as file:  # an empty box: same film, other bytes
                file.write((8 + len(mark)).to_bytes(4, "big") + b"free" + mark)
            (rated / f"{name}.csv").write_text(ratings_text(), encoding="utf-8")
        return root

    return make
