"""One recording of the sample corpus on disk: sound, then picture and sound together, then ratings."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import ffmpeg
import imageio_ffmpeg
import numpy as np

from schemas.errors import StoreError
from tasks.demo.layout import SYNTHETIC, recording_files
from tasks.demo.ratings import hidden_valence, ratings_csv
from tasks.demo.render import FaceRenderer
from tasks.demo.subjects import FRAME_RATE, FloatArray, Motion, generator, make_motion, make_subject, smooth_noise
from tasks.store.parts import replacing, write_text

_SAMPLE_RATE = 44_100
_KEYFRAME_SECONDS = 2
_BATCH = 4  # frames at a time: what fits the processor's cache is fastest
_TOLD_EVERY = 24


def make_recording(
    corpus: Path, recording_id: str, *, seed: int, frames: int, told: Callable[[int], None] = lambda _: None
) -> None:
    """Write one recording's three files, each whole or not at all.

    Args:
        corpus: the corpus's root.
        recording_id: one of `subjects.RECORDINGS`.
        seed: of the corpus.
        frames: how many, at 25 per second.
        told: called with the number of frames done since the last call.

    Raises:
        StoreError: a file cannot be written, or ffmpeg cannot encode it.
    """
    sound, video, ratings = (corpus / name for name in recording_files(recording_id))
    valence = hidden_valence(recording_id, frames, seed=seed)
    motion = make_motion(recording_id, frames, seed=seed)
    with replacing(sound) as temporary:
        _write_sound(temporary, recording_id, motion, seed=seed)
    renderer = FaceRenderer(make_subject(recording_id, seed=seed), motion, seed=seed)
    with replacing(video) as temporary:
        _encode(temporary, renderer, valence, sound, told)
    write_text(ratings, ratings_csv(recording_id, valence, seed=seed))


def _encode(path: Path, renderer: FaceRenderer, valence: FloatArray, sound: Path, told: Callable[[int], None]) -> None:
    """H.264 and AAC in MP4, a key frame each two seconds, the same bytes on every run."""
    size = f"{renderer.subject.width}x{renderer.subject.height}"
    picture = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgb24", s=size, framerate=FRAME_RATE, protocol_whitelist="file,pipe"
    )
    audio = ffmpeg.input(str(sound), format="wav", protocol_whitelist="file,pipe")
    keyframes = _KEYFRAME_SECONDS * FRAME_RATE
    command = ffmpeg.output(
        picture.video,
        audio.audio,
        str(path),
        format="mp4",
        vcodec="libx264",
        pix_fmt="yuv420p",
        preset="veryfast",
        crf=23,
        threads=1,
        g=keyframes,
        keyint_min=keyframes,
        sc_threshold=0,
        sws_flags="accurate_rnd+bitexact",
        colorspace="smpte170m",
        color_primaries="smpte170m",
        color_trc="smpte170m",
        color_range="tv",
        acodec="aac",
        audio_bitrate="64k",
        fflags="+bitexact",
        **{"flags:v": "+bitexact", "flags:a": "+bitexact", "metadata": f"title={SYNTHETIC}"},
    ).global_args("-hide_banner", "-nostats", "-loglevel", "error", "-protocol_whitelist", "file,pipe")
    arguments: list[str] = command.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True)
    with tempfile.TemporaryFile() as messages:
        _pipe(arguments, renderer, valence, messages, told, path)


def _pipe(
    arguments: list[str],
    renderer: FaceRenderer,
    valence: FloatArray,
    messages: IO[bytes],
    told: Callable[[int], None],
    path: Path,
) -> None:
    """Render into ffmpeg; ffmpeg never outlives this call."""
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages) as encoder:
        assert encoder.stdin is not None
        try:
            _feed(encoder.stdin, renderer, valence, told)
            code = encoder.wait()
        except BrokenPipeError:  # ffmpeg is gone: say why, below
            with suppress(BrokenPipeError):
                encoder.stdin.close()
            code = encoder.wait() or 1
        finally:
            if encoder.poll() is None:
                encoder.kill()
    if code:
        messages.seek(0)
        said = messages.read().decode(errors="replace").strip() or "no message"
        raise StoreError(f"{path}: ffmpeg ended with {code} ({said}), expected a video; free space and run again")


def _feed(pipe: IO[bytes], renderer: FaceRenderer, valence: FloatArray, told: Callable[[int], None]) -> None:
    untold = 0
    for start in range(0, len(valence), _BATCH):
        frames = range(start, min(start + _BATCH, len(valence)))
        pipe.write(renderer.render(frames, valence[frames.start : frames.stop]).data)
        untold += len(frames)
        if untold >= _TOLD_EVERY or frames.stop == len(valence):
            told(untold)
            untold = 0
    pipe.close()


def _write_sound(path: Path, recording_id: str, motion: Motion, *, seed: int) -> None:
    """A quiet hum and breathy noise, louder while the mouth moves; mono, 16 bits, 44.1 kHz. It knows no valence."""
    rng = generator(seed, recording_id, "sound")
    frames = len(motion.opening)
    count = frames * _SAMPLE_RATE // FRAME_RATE
    seconds = np.arange(count) / _SAMPLE_RATE
    at_frames = np.arange(frames) / FRAME_RATE
    loudness = np.interp(seconds, at_frames, 0.15 + motion.opening + 0.1 * np.abs(smooth_noise(rng, frames, 1, 6)))
    pitch = rng.uniform(110, 210) * (1 + 0.06 * np.interp(seconds, at_frames, smooth_noise(rng, frames, 0.5, 4)))
    phase = 2 * np.pi * np.cumsum(pitch) / _SAMPLE_RATE
    hum = sum(np.sin(harmonic * phase) / harmonic for harmonic in (1, 2, 3, 5))
    signal = 0.04 * loudness * hum + 0.008 * (0.3 + loudness) * rng.standard_normal(count)
    samples = np.round(np.clip(signal, -1, 1) * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_SAMPLE_RATE)
        file.writeframes(samples.tobytes())
