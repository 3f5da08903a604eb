"""The sound of an overlay: clicks whose times are known, found again by PyAV beside the pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest

from schemas.settings import IngestSettings
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.overlay.stage import write_overlay

from .conftest import Film, MakeFilm, times_by_pyav, write_rows

CLICK = "aevalsrc={expression}:s={rate}:d=1.9"


def click(at: float) -> str:
    return f"if(between(t\\,{at}\\,{at}+0.002)\\,0.9\\,0)"


def give_sound(film: Film, tmp_path: Path, *, expression: str, rate: int, codec: str, delay: float = 0.0) -> None:
    """Put a sound beside the film's pictures, `delay` seconds late, and ingest it anew."""
    mixed = tmp_path / f"mixed{film.video.suffix}"
    sound = ["-itsoffset", str(delay), "-f", "lavfi", "-i", CLICK.format(expression=expression, rate=rate)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(film.video), *sound]
    subprocess.run([*command, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", codec, str(mixed)], check=True)
    mixed.replace(film.video)
    ingest_corpus(film.video.parent, film.store, IngestSettings())
    film.recording = read_recordings(film.store)[0]
    film.times = times_by_pyav(film.video)
    write_rows(film)


def heard(path: Path) -> tuple[npt.NDArray[np.float32], int, float]:
    """`[channel, sample]`, the rate, and when the first sample is heard, seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == "aac"
        frames = list(container.decode(stream))
    start = frames[0].time
    assert start is not None
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1), frames[0].sample_rate, start


def loudest_at(samples: npt.NDArray[np.float32], rate: int, start: float) -> float:
    return start + int(np.abs(samples).argmax()) / rate


@pytest.mark.parametrize(
    ("name", "codec", "rate", "delay"),
    [
        ("film.mp4", "aac", 48_000, 0.0),
        ("film.mkv", "pcm_s16le", 44_100, 0.0),
        ("film.mkv", "pcm_s16le", 16_000, 0.45),
        ("film.mkv", "pcm_s16le", 5_000, 0.45),
    ],
    ids=["as it is", "recoded", "late", "late, of an odd rate"],
)
def test_a_click_is_heard_when_the_source_has_it(
    make_film: MakeFilm, tmp_path: Path, name: str, codec: str, rate: int, delay: float
) -> None:
    film = make_film(name=name)
    give_sound(film, tmp_path, expression=f"{click(0.7)}|{click(0.7)}", rate=rate, codec=codec, delay=delay)
    written = write_overlay(film.store, "film", target=tmp_path / "out.mp4").path
    samples, found_rate, start = heard(written)
    assert len(samples) == 2
    assert found_rate == (rate if rate >= 8000 else 48_000)
    assert loudest_at(samples[0], found_rate, start) == pytest.approx(0.7 + delay, abs=0.005)
    assert loudest_at(samples[1], found_rate, start) == pytest.approx(0.7 + delay, abs=0.005)
    assert times_by_pyav(written) == pytest.approx(film.times, abs=1e-3)


def test_mono_stays_mono_and_ends_with_the_pictures(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film(range(0, 30 * 20, 20))
    give_sound(film, tmp_path, expression="0.5*sin(2*PI*440*t)", rate=16_000, codec="aac")
    samples, rate, start = heard(write_overlay(film.store, "film", target=tmp_path / "out.mp4").path)
    assert (len(samples), rate) == (1, 16_000)
    assert start + samples.shape[1] / rate == pytest.approx(1.0, abs=1024 / rate)
    middle = samples[0, rate // 4 : 3 * rate // 4]
    spectrum = np.abs(np.fft.rfft(middle))
    assert int(spectrum.argmax()) * rate / len(middle) == pytest.approx(440, abs=3)
    assert float(middle.std()) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_recording_without_sound_stays_silent(make_film: MakeFilm, tmp_path: Path) -> None:
    film = make_film()
    with av.open(str(write_overlay(film.store, "film", target=tmp_path / "out.mp4").path)) as container:
        assert not container.streams.audio
