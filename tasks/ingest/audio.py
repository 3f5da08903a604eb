"""The audio of a recording, aligned to its video, as log-mel energies at 25 Hz.

Decoding, mixing and resampling run in PyAV, the mel filters in torchaudio. Everything is a stream of blocks: memory
does not grow with the length, and the borders of blocks do not show in the result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import AudioError, StoreError
from schemas.tables import AUDIO, NUM_MEL_BANDS
from tasks.ingest.media import has_decoder, open_media, packets
from tasks.store.parts import Provenance, part_writer, read_table, stage_key, write_part

AUDIO_VERSION = 1

SAMPLE_RATE = 16_000
HOP = 640
"""Samples from one row to the next: 40 ms, 25 rows a second."""
WINDOW = 1024
"""Samples of the analysis window: 64 ms."""
FLOOR = 1e-10
"""Least mel energy, before the logarithm: -23.03 after it."""

GAP_SECONDS = 0.04
"""A jump of the time stamps by more than this is filled with silence (or cut), less is taken for jitter."""

_CHUNK_FRAMES = 1500
_MAX_SILENCE_SECONDS = 86_400
_INFO = b"affectflow.audio_info"

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What was decoded: `start_seconds` of the first sample after the video container's start (negative: cut off)."""

    codec: str
    sample_rate: int
    channels: int
    start_seconds: float
    duration_seconds: float


class AudioTrack:
    """The first audio stream of a file as mono blocks at 16 kHz, from the video container's zero on.

    Channels are averaged. A track that starts late is preceded by silence, one that starts early is cut; where its time
    stamps jump by over 40 ms, silence fills the gap or the overlap is cut. `info` is complete once `blocks` has ended.

    Args:
        path: the video, or a sound file of its own.
        is_separate: `path` is not the video: its first sample stands at the zero, whatever its header says.
    """

    def __init__(self, path: Path, *, is_separate: bool = False) -> None:
        self._path = path
        self._is_separate = is_separate
        self.info: AudioInfo | None = None

    def blocks(self) -> Iterator[Samples]:
        """Yield float32 arrays [sample] in [-1, 1] at `SAMPLE_RATE`.

        Raises:
            AudioError: no audio stream, damaged, or its format changes on the way.
        """
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        try:
            for block in self.native():
                mono = block.mean(axis=0, dtype=np.float32, keepdims=True)
                frame = av.AudioFrame.from_ndarray(mono, format="flt", layout="mono")
                frame.sample_rate = self._info().sample_rate
                yield from (out.to_ndarray()[0] for out in resampler.resample(frame))
            if self.info is not None:
                yield from (out.to_ndarray()[0] for out in resampler.resample(None))
        except ValueError as error:
            raise AudioError(
                f"{self._path}: expected one audio format throughout, found a change on the way ({error}); "
                "convert the audio to WAV"
            ) from error

    def _info(self) -> AudioInfo:
        if self.info is None:
            raise AudioError(f"{self._path}: expected audio, found no samples")
        return self.info

    def native(self, *, layout: str | None = None) -> Iterator[Samples]:
        """Yield float32 arrays [channel, sample] at the stream's own rate, contiguous from the zero; see `blocks`.

        Args:
            layout: ffmpeg's name of the channels to mix to, such as `stereo`; by default they stay as they are.
        """
        to_planar = av.AudioResampler(format="fltp", layout=layout)
        first: int | None = None
        position = 0  # samples after the zero at which the next frame is expected
        with open_media(self._path, AudioError) as container:
            if not container.streams.audio:
                raise AudioError(f"{self._path}: expected an audio stream, found none")
            stream = container.streams.audio[0]
            if not has_decoder(stream):
                raise AudioError(f"{self._path}: expected audio, found a track of an unknown codec; convert it to WAV")
            zero = (container.start_time or 0) / 1_000_000
            for frame in chain.from_iterable(packet.decode() for packet in packets(container, stream)):
                rate = frame.sample_rate
                block: Samples = np.concatenate([part.to_ndarray() for part in to_planar.resample(frame)], axis=1)
                start = position
                if not self._is_separate and frame.pts is not None and frame.time_base is not None:
                    start = round((float(frame.pts * frame.time_base) - zero) * rate)
                if first is None:
                    first, position = start, min(start, 0)
                elif abs(start - position) <= GAP_SECONDS * rate:
                    start = position
                silence = max(start, 0) - max(position, 0)
                kept = block[:, max(0, position - start, -start) :]
                position = max(position, start + block.shape[1])
                self.info = AudioInfo(
                    codec=stream.codec_context.name,
                    sample_rate=rate,
                    channels=len(block),
                    start_seconds=first / rate,
                    duration_seconds=(position - first) / rate,
                )
                yield from _silence(silence, rate, len(block), self._path)
                if kept.shape[1]:
                    yield kept


def has_audio(path: Path) -> bool:
    """True if a media file holds an audio stream. Raises AudioError if it cannot be opened."""
    with open_media(path, AudioError) as container:
        return bool(container.streams.audio)


def _silence(samples: int, rate: int, channels: int, path: Path) -> Iterator[Samples]:
    if samples > _MAX_SILENCE_SECONDS * rate:
        raise AudioError(f"{path}: expected continuous audio, found a gap of {samples / rate:.0f} s; convert it to WAV")
    for start in range(0, max(samples, 0), rate):
        yield np.zeros((channels, min(rate, samples - start)), dtype=np.float32)


def log_mel(blocks: Iterable[Samples], *, chunk_frames: int = _CHUNK_FRAMES) -> Iterator[tuple[Any, Samples]]:
    """Log-mel energies at 25 Hz, chunk by chunk.

    Row k is centred on sample 640 k, which is k / 25 s after the zero: x = the 1024 samples from 640 k - 512, silence
    beyond both ends; P = |FFT(hann(x))|^2 with a periodic Hann window and no further scaling;
    row = ln(max(M P, 1e-10)), M being 40 triangles of height 1 between 0 and 8000 Hz, evenly spaced on the HTK mel
    scale (2595 log10(1 + f / 700)). There is a row for every k with 640 k below the number of samples.

    Args:
        blocks: float32 arrays [sample] at 16 kHz, in order.
        chunk_frames: rows computed at a time; the result does not depend on it.

    Returns: pairs of times [row] in seconds, float64, and energies [row, band], float32.
    """
    import torch
    import torchaudio

    mel = torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, n_fft=WINDOW, hop_length=HOP, n_mels=NUM_MEL_BANDS, center=False, power=2.0
    )

    def energies(samples: Samples, first: int) -> tuple[npt.NDArray[np.float64], Samples]:
        with torch.inference_mode():
            rows = mel(torch.from_numpy(samples)).clamp_min(FLOOR).log().T.contiguous().numpy()
        return np.arange(first, first + len(rows)) * HOP / SAMPLE_RATE, rows

    needed = (chunk_frames - 1) * HOP + WINDOW
    waiting: list[Samples] = [np.zeros(WINDOW // 2, dtype=np.float32)]
    num_waiting, num_samples, done = WINDOW // 2, 0, 0
    for block in blocks:
        waiting.append(block)
        num_waiting += len(block)
        num_samples += len(block)
        while num_waiting >= needed:
            joined = np.concatenate(waiting)
            yield energies(joined[:needed], done)
            done += chunk_frames
            waiting = [joined[chunk_frames * HOP :]]
            num_waiting = len(waiting[0])
    left = -(-num_samples // HOP) - done
    if left > 0:
        joined = np.concatenate(waiting)
        padded = np.zeros((left - 1) * HOP + WINDOW, dtype=np.float32)
        padded[: len(joined)] = joined[: len(padded)]
        yield energies(padded, done)


def audio_key(source_sha256: str, *, is_separate: bool) -> str:
    """Stage key of a recording's audio part, from the sha256 of the file its sound is in."""
    return stage_key("audio", AUDIO_VERSION, {"is_separate": is_separate}, [source_sha256])


def write_audio(track: AudioTrack, destination: Path, recording_id: str, provenance: Provenance) -> AudioInfo:
    """Decode a track, write its log-mel energies as a part (`schemas.tables.AUDIO`), and say what was decoded.

    Raises:
        AudioError: the track cannot be decoded, or has no samples; nothing is written then.
        StoreError: the store cannot be written.
    """
    with part_writer(destination, AUDIO, provenance) as writer:
        for times, rows in log_mel(track.blocks()):
            bands = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=AUDIO.field("log_mel").type)
            ids = pa.array([recording_id] * len(times), pa.string())
            writer.write_batch(pa.record_batch([ids, pa.array(times), bands], schema=writer.schema))
        if track.info is None:
            raise AudioError(f"{destination}: expected audio, found a track without samples")
        writer.add_key_value_metadata({_INFO: json.dumps(asdict(track.info)).encode()})
        return track.info


def read_audio_info(part: Path) -> AudioInfo:
    """What `write_audio` said of a part. It stands in the file's own metadata, since it is known only at the end.

    Raises:
        StoreError: the part does not say.
    """
    stored = (pq.read_metadata(part).metadata or {}).get(_INFO)
    if stored is None:
        raise StoreError(f"{part}: expected a part that says what audio it was made of; delete it and run again")
    return AudioInfo(**json.loads(stored))


def restamp_audio(part: Path, provenance: Provenance) -> None:
    """Give a part a new provenance, such as a new name of its source, and keep its rows."""
    info = {_INFO.decode().removeprefix("affectflow."): json.dumps(asdict(read_audio_info(part)))}
    write_part(part, read_table(part, AUDIO), replace(provenance, extra={**(provenance.extra or {}), **info}))
