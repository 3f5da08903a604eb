"""Audio against plain numpy: the mel formula written out, and clicks whose times are known."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from schemas.errors import AudioError
from schemas.tables import AUDIO
from tasks.ingest.audio import FLOOR, HOP, SAMPLE_RATE, WINDOW, AudioTrack, log_mel, read_audio_info, write_audio
from tasks.store.parts import Provenance, read_table

Ffmpeg = Callable[..., Path]
Samples = npt.NDArray[np.float32]

PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3")


def noise(samples: int) -> Samples:
    return np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)


def whole(track: AudioTrack) -> Samples:
    return np.concatenate(list(track.blocks()))


def write_wav(path: Path, samples: npt.NDArray[np.float64], rate: int) -> Path:
    """Samples [sample, channel] in [-1, 1] as 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    return path


def click_at(seconds: float, rate: int, length: float = 2.0) -> npt.NDArray[np.float64]:
    samples = np.zeros((round(length * rate), 2))
    samples[round(seconds * rate)] = 0.9
    return samples


def naive_log_mel(samples: Samples) -> npt.NDArray[np.float64]:
    """Oracle: the docstring of `log_mel`, row by row in float64."""
    n = np.arange(WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / WINDOW)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
    bins = np.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bank = np.maximum(0, np.minimum(rising, falling))
    padded = np.concatenate([np.zeros(WINDOW // 2), samples, np.zeros(WINDOW)])
    rows = [padded[start : start + WINDOW] * hann for start in range(0, len(samples), HOP)]
    energies: npt.NDArray[np.float64] = np.log(np.maximum((np.abs(np.fft.rfft(rows)) ** 2) @ bank.T, FLOOR))
    return energies


def test_log_mel_is_its_formula() -> None:
    samples = noise(SAMPLE_RATE * 3 + 77)
    samples[20_000:30_000] = 0
    ((times, rows),) = log_mel([samples])
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, naive_log_mel(samples), rtol=0, atol=2e-4)
    np.testing.assert_allclose(times, np.arange(len(rows)) / 25, rtol=0, atol=1e-12)
    assert rows.min() == pytest.approx(np.log(FLOOR))


@pytest.mark.parametrize("chunk_frames", [1, 7, 64])
@pytest.mark.parametrize("samples", [1, 639, 640, 641, 7 * 640, 50_003])
def test_chunk_borders_do_not_show(chunk_frames: int, samples: int) -> None:
    sound = noise(samples)

    def blocks() -> Iterator[Samples]:
        rng = np.random.default_rng(1)
        start = 0
        while start < samples:
            step = int(rng.integers(1, 5000))
            yield sound[start : start + step]
            start += step

    times, rows = zip(*log_mel(blocks(), chunk_frames=chunk_frames), strict=True)
    ((whole_times, whole_rows),) = log_mel([sound])
    np.testing.assert_array_equal(np.concatenate(times), whole_times)
    np.testing.assert_allclose(np.concatenate(rows), whole_rows, rtol=0, atol=1e-6)
    assert len(whole_rows) == -(-samples // HOP)


def test_no_samples_no_rows() -> None:
    assert list(log_mel([])) == []


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
def test_resampling_moves_nothing(tmp_path: Path, rate: int) -> None:
    track = AudioTrack(write_wav(tmp_path / "click.wav", click_at(1.0, rate), rate), is_separate=True)
    samples = whole(track)
    assert np.argmax(np.abs(samples)) == pytest.approx(SAMPLE_RATE, abs=1)
    assert len(samples) == pytest.approx(2 * SAMPLE_RATE, abs=2)
    assert track.info is not None
    assert (track.info.sample_rate, track.info.channels, track.info.start_seconds) == (rate, 2, 0)
    assert track.info.duration_seconds == 2


def test_channels_are_averaged(tmp_path: Path) -> None:
    samples = np.stack([np.full(16_000, 0.5), np.full(16_000, -0.25)], axis=1)
    found = whole(AudioTrack(write_wav(tmp_path / "two.wav", samples, 16_000), is_separate=True))
    np.testing.assert_allclose(found, 0.125, rtol=0, atol=1e-4)


@pytest.mark.parametrize("offset", [0.5, 0.48])
def test_late_audio_is_padded(tmp_path: Path, ffmpeg: Ffmpeg, offset: float) -> None:
    click = write_wav(tmp_path / "click.wav", click_at(1.0, 44_100), 44_100)
    streams = ("-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-c:a", "pcm_s16le")
    path = ffmpeg(*PICTURE, "-itsoffset", str(offset), "-i", click, *streams, tmp_path / "late.mkv")
    track = AudioTrack(path)
    samples = whole(track)
    assert np.argmax(np.abs(samples)) / SAMPLE_RATE == pytest.approx(1 + offset, abs=0.0015)
    assert track.info is not None
    assert track.info.start_seconds == pytest.approx(offset, abs=0.0015)
    assert not samples[: round((offset - 0.01) * SAMPLE_RATE)].any()


def test_late_video_leaves_the_audio_at_the_containers_zero(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    click = write_wav(tmp_path / "click.wav", click_at(1.0, 44_100), 44_100)
    streams = ("-c:v", "libx264", "-c:a", "pcm_s16le", "-output_ts_offset", "5")
    path = ffmpeg("-itsoffset", "0.48", *PICTURE, "-i", click, *streams, tmp_path / "late.mkv")
    assert np.argmax(np.abs(whole(AudioTrack(path)))) / SAMPLE_RATE == pytest.approx(1, abs=0.0015)


def test_gaps_are_filled_with_silence(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    """Four seconds of which the second one is dropped, time stamps kept."""
    select = ("-af", "aselect='not(between(t,1,2))'", "-fps_mode", "passthrough", "-c:a", "pcm_s16le")
    source = ("-f", "lavfi", "-i", "sine=frequency=440:duration=4:sample_rate=16000")
    samples = whole(AudioTrack(ffmpeg(*source, *select, tmp_path / "gap.mkv")))
    assert len(samples) / SAMPLE_RATE == pytest.approx(4, abs=0.01)
    assert not samples[round(1.1 * SAMPLE_RATE) : round(1.9 * SAMPLE_RATE)].any()
    assert np.abs(samples[round(2.1 * SAMPLE_RATE) : round(3.9 * SAMPLE_RATE)]).max() > 0.05


def test_written_part(tmp_path: Path, clip: Path) -> None:
    part = tmp_path / "audio" / "part-00000.parquet"
    info = write_audio(AudioTrack(clip), part, "P1", Provenance(stage="audio", stage_key="k"))
    table = read_table(part, AUDIO)
    assert 50 <= table.num_rows <= 52
    assert set(table.column("recording_id").to_pylist()) == {"P1"}
    assert read_audio_info(part) == info
    assert pq.read_metadata(part).metadata[b"affectflow.stage_key"] == b"k"
    expected = naive_log_mel(whole(AudioTrack(clip)))
    found = np.array(table.column("log_mel").to_pylist())
    loud = expected > -9  # below, float32 loses digits to the tone beside it
    assert loud.mean() > 0.1
    np.testing.assert_allclose(found[loud], expected[loud], rtol=0, atol=1e-3)


def test_audio_that_cannot_be_decoded(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    silent = ffmpeg(*PICTURE, "-c:v", "libx264", tmp_path / "silent.mp4")
    part = tmp_path / "part.parquet"
    with pytest.raises(AudioError, match="expected an audio stream"):
        write_audio(AudioTrack(silent), part, "P1", Provenance(stage="audio", stage_key="k"))
    nothing = write_wav(tmp_path / "nothing.wav", np.zeros((0, 1)), 16_000)
    with pytest.raises(AudioError):
        write_audio(AudioTrack(nothing), part, "P1", Provenance(stage="audio", stage_key="k"))
    text = tmp_path / "text.wav"
    text.write_text("no sound", encoding="utf-8")
    with pytest.raises(AudioError, match="found text"):
        write_audio(AudioTrack(text), part, "P1", Provenance(stage="audio", stage_key="k"))
    assert not part.exists()


@pytest.mark.shared
def test_shared_audio(shared_data: Path) -> None:
    """A phone's film whose audio starts late: 107164 / 44100 s by its header."""
    track = AudioTrack(shared_data / "videos" / "face_noface.mov")
    samples = whole(track)
    assert track.info is not None
    assert track.info.start_seconds == pytest.approx(107_164 / 44_100, abs=1e-4)
    assert not samples[: round(2.4 * SAMPLE_RATE)].any()
    assert samples[round(2.5 * SAMPLE_RATE) :].any()
