"""The video that is written, decoded again by PyAV: its times, its size, and what stands in its pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest

from schemas.errors import AffectFlowError, DecodeError, StoreError, UnusableInputError
from tasks.overlay.layout import lay_out
from tasks.overlay.stage import write_overlay
from tasks.report.ink import FACE_COLOURS

from .conftest import (
    CHIP,
    DRAWN,
    GRAY,
    LANDMARKS,
    SIZE,
    SOURCES,
    Film,
    MakeFilm,
    pictures_by_pyav,
    times_by_pyav,
    write_predictions,
    write_rows,
)

UNEVEN = np.cumsum([0, *np.random.default_rng(3).integers(11, 90, 64)]).tolist()


def overlay(film: Film, target: Path, **options: str) -> Path:
    return write_overlay(film.store, "film", target=target, **options).path


def colour_of(name: str) -> npt.NDArray[np.int64]:
    text = FACE_COLOURS[name]
    return np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)])


def off(pixels: npt.NDArray[np.uint8], colour: npt.NDArray[np.int64] | tuple[int, ...]) -> float:
    """Mean distance of some pixels from a colour, over pixels and channels."""
    return float(np.abs(pixels.astype(np.int64) - np.asarray(colour)).mean())


@pytest.mark.parametrize(
    ("ticks", "name"),
    [
        (list(range(0, 60 * 24, 24)), "even.mp4"),
        (UNEVEN, "uneven.mp4"),
        ([tick + 700 for tick in UNEVEN], "late.mkv"),
    ],
    ids=["even", "variable", "first frame late, in milliseconds"],
)
def test_times_are_the_streams_own(make_film: MakeFilm, tmp_path: Path, ticks: list[int], name: str) -> None:
    film = make_film(ticks, name=name)
    written = overlay(film, tmp_path / "out.mp4")
    with av.open(str(written)) as container:
        shown = [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
        stream = container.streams.video[0]
        found = (stream.codec_context.name, stream.codec_context.pix_fmt)
    assert found == ("h264", "yuv420p")
    assert shown == pytest.approx(times_by_pyav(film.video), abs=6e-6)


def test_boxes_landmarks_and_chips_stand_where_the_rows_say(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    pictures = pictures_by_pyav(overlay(film, tmp_path / "out.mp4"))
    left, top, right, bottom = DRAWN
    for index in (5, 15, 25, 35, 45, 55):
        picture, source = pictures[index], SOURCES[index // 10 % 3]
        inside = picture[100:105, 70:76]
        assert off(inside, (GRAY,) * 3) < 4  # the picture itself is left alone
        sides = [
            picture[top + 8 : bottom - 8, left : left + 2],
            picture[top + 8 : bottom - 8, right - 2 : right],
            picture[top : top + 2, left + 8 : right - 8],
            picture[bottom - 2 : bottom, left + 8 : right - 8],
        ]
        for side in sides:
            distance = {name: off(side, colour_of(name)) for name in SOURCES} | {"wall": off(side, (GRAY,) * 3)}
            nearest = min(distance, key=lambda name: distance[name])
            assert nearest == (source if source != "none" else "wall")
            assert distance[nearest] < 20
        points = np.reshape(LANDMARKS, (5, 2)).astype(int)
        yellow = [bool(picture[y, x, 0] > 190 and picture[y, x, 2] < 130) for x, y in points]
        assert yellow == [source != "none"] * 5
        chip = picture[30:120, SIZE[0] + 30 : SIZE[0] + 110]
        assert (off(chip, CHIP) < 8) == (source != "none")
        border = picture[80:200, :2]
        assert (off(border, colour_of("none")) < 12) == (source == "none")


def test_gray_chips_and_square_pixels(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film(chip_format="gray96", aspect=Fraction(4, 3))
    picture = pictures_by_pyav(overlay(film, tmp_path / "out.mp4"))[5]
    wide = round(SIZE[0] * 4 / 3)
    layout = lay_out((wide, SIZE[1]), None)
    assert picture.shape == (layout.height, layout.width, 3)
    assert off(picture[180:230, wide // 2 : wide - 10], (GRAY,) * 3) < 4
    assert off(picture[30:120, layout.left_width + 30 : layout.left_width + 110], (200,) * 3) < 4


def test_a_turned_recording_is_drawn_upright(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    turned = film.video.with_name("turned.mp4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", "90", "-i", str(film.video)]
    subprocess.run([*command, "-c", "copy", str(turned)], check=True)
    turned.replace(film.video)
    (tmp_path / "again").mkdir()
    from schemas.settings import IngestSettings
    from tasks.ingest.recordings import read_recordings
    from tasks.ingest.stage import ingest_corpus

    ingest_corpus(film.video.parent, film.store, IngestSettings())
    film.recording = read_recordings(film.store)[0]
    write_rows(film)
    picture = pictures_by_pyav(overlay(film, tmp_path / "out.mp4"))[25]
    assert picture.shape[1] == SIZE[1] + lay_out((SIZE[1], SIZE[0]), None).panel_width
    assert off(picture[60 : SIZE[0] - 10, 20 : SIZE[1] - 20], (GRAY,) * 3) < 4


def test_the_cursor_runs_and_stands_at_the_time_of_the_frame(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    rng = np.random.default_rng(5)
    write_predictions(film, {rater: rng.uniform(-0.5, 0.5, 60) for rater in ("A", "B")})
    pictures = pictures_by_pyav(overlay(film, tmp_path / "out.mp4", model="model-1"))
    columns = []
    for index in range(4, 60, 11):
        plot = pictures[index][SIZE[1] + 45 : SIZE[1] + 120, 40 : SIZE[0]].min(axis=2)
        columns.append(40 + int(plot.mean(axis=0).argmax()))
    times = np.array(film.times)[4:60:11]
    width = SIZE[0] - 38 - 1
    assert columns == pytest.approx((38 + times / film.recording.duration_seconds * width).tolist(), abs=1)


@pytest.mark.parametrize("name", ["flim", "film.mp4", ""])
def test_an_unknown_recording_is_told_the_known_ones(make_film: MakeFilm, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableInputError, match=r"recordings in this store: film$") as caught:
        write_overlay(make_film().store, name, target=tmp_path / "out.mp4")
    assert ("did you mean film?" in str(caught.value)) == (name != "")


def test_a_changed_or_missing_video_is_an_error(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    film.video.touch()
    os.utime(film.video, (1, 1))  # another time, the same bytes: the same file
    overlay(film, tmp_path / "out.mp4")
    film.video.write_bytes(film.video.read_bytes() + b"\0")
    refused(film, tmp_path / "new.mp4", UnusableInputError, "has changed since it was ingested")
    film.video.unlink()
    refused(film, tmp_path / "new.mp4", UnusableInputError, "cannot be read")


def test_rows_that_are_not_of_the_video_are_an_error(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    write_rows(film, num_frames=55)
    refused(film, tmp_path / "out.mp4", DecodeError, "rows of film end before frame 55")
    film.times = [*film.times, film.times[-1] + 0.1]
    write_rows(film)
    refused(film, tmp_path / "out.mp4", DecodeError, "ends after frame 59")
    film.times = [seconds + (0.02 if index > 30 else 0.0) for index, seconds in enumerate(film.times[:60])]
    write_rows(film)
    refused(film, tmp_path / "out.mp4", DecodeError, "frame 31 is shown at")
    film.parts[0].unlink()
    refused(film, tmp_path / "out.mp4", StoreError, "expected the rows of frames from 0 on")
    for part in film.parts:
        part.unlink()
    refused(film, tmp_path / "out.mp4", StoreError, "run `affectflow faces")


def test_a_source_is_never_overwritten(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    before = film.video.read_bytes()
    link = tmp_path / "link.mp4"
    link.symlink_to(film.video)
    for target in (film.video, link):
        with pytest.raises(UnusableInputError, match="never overwritten"):
            overlay(film, target)
    assert film.video.read_bytes() == before
    for target in (tmp_path / "out.avi", tmp_path):
        with pytest.raises(UnusableInputError, match=r"ends in \.mp4"):
            overlay(film, target)


def test_a_model_without_predictions_is_told_those_that_have_some(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    write_predictions(film, {"A": np.zeros(60)})
    with pytest.raises(StoreError, match=r"models with predictions of it: model-1$"):
        overlay(film, tmp_path / "out.mp4", model="nobody")


def test_only_what_drawing_needs_is_loaded() -> None:
    code = "import sys, tasks.overlay.stage; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "prefect", "polars", "matplotlib", "dlib"} & set(done.stdout.split())


def test_the_command_writes_beside_its_user_and_tells_machines(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    film.video.rename(film.video.with_name("moved away.mp4"))
    command = [sys.executable, "-m", "flows.cli", "overlay", "--store", str(film.store.root), "--json"]
    missing = subprocess.run([*command, "film"], cwd=tmp_path, capture_output=True, text=True)
    assert missing.returncode == 2
    assert "film.mp4: the video of film cannot be read" in missing.stderr.replace("\n", "")
    film.video.with_name("moved away.mp4").rename(film.video)
    done = subprocess.run([*command, "film"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["num_frames"], told["model_id"]) == (60, None)
    assert Path(told["path"]) == tmp_path / "film-overlay.mp4"
    assert len(pictures_by_pyav(tmp_path / "film-overlay.mp4")) == 60


def test_raters_of_any_number_and_name_are_drawn(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    names = ("a rater\nwith a long name", "", "\N{SNOWMAN}", *(f"R{number}" for number in range(30)))
    for count in (3, len(names)):
        write_predictions(film, {name: np.full(60, 0.1) for name in names[:count]})
        layout = lay_out(SIZE, None)
        picture = pictures_by_pyav(overlay(film, tmp_path / "out.mp4", model="model-1"))[0]
        assert picture.shape[1] == layout.width
        assert picture.shape[0] > layout.height


def refused(film: Film, target: Path, error: type[AffectFlowError], told: str) -> None:
    """Writing fails with this error, and leaves nothing behind."""
    with pytest.raises(error, match=told):
        overlay(film, target)
    assert not list(target.parent.glob(f"*{target.name}"))
