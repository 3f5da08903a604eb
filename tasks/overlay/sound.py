"""The sound of a recording beside pictures that are encoded anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from schemas.errors import AudioError
from tasks.ingest.audio import AudioTrack, Samples
from tasks.ingest.recordings import Recording

_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Samples a second that AAC knows and players play; anything else becomes the last of them."""
_BIT_RATE = 96_000
"""Of each channel."""


class Sound:
    """A recording's own sound as AAC, mono or stereo, at the times of its pictures; silence stands before a late start.

    Args:
        recording: with a sound that ingestion could decode.
        container: where the stream is added, before anything is written to it.
    """

    def __init__(self, recording: Recording, container: OutputContainer) -> None:
        assert recording.audio_path is not None
        assert recording.audio_sample_rate is not None
        self._path = Path(recording.audio_path)
        self._track = AudioTrack(self._path, is_separate=recording.audio_path != recording.path)
        self._layout = "mono" if recording.audio_channels == 1 else "stereo"
        rate = recording.audio_sample_rate
        self._stream = container.add_stream("aac", rate=rate if rate in _RATES else _RATES[-1])
        self._stream.codec_context.layout = self._layout
        self._stream.codec_context.bit_rate = _BIT_RATE * (1 if self._layout == "mono" else 2)
        self._last = round(recording.duration_seconds * rate)
        self._frames = self._until_the_end(rate)
        self._next = next(self._frames, None)

    def until(self, seconds: float) -> list[Packet[AudioStream]]:
        """The packets up to a time.

        Raises:
            AudioError: the sound can no longer be decoded as ingestion did.
        """
        found = []
        while self._next is not None and self._next.time is not None and self._next.time <= seconds:
            found += self._stream.encode(self._next)
            self._next = next(self._frames, None)
        return found

    def rest(self) -> list[Packet[AudioStream]]:
        """The packets up to the end of the pictures, and what the encoder still holds. Raises as `until`."""
        return [*self.until(float("inf")), *self._stream.encode(None)]

    def _until_the_end(self, rate: int) -> Iterator[av.AudioFrame]:
        position = 0
        for block in self._blocks():
            kept = np.ascontiguousarray(block[:, : self._last - position])
            if not kept.size:
                return
            frame = av.AudioFrame.from_ndarray(kept, format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
            position += kept.shape[1]
            yield frame

    def _blocks(self) -> Iterator[Samples]:
        try:
            yield from self._track.native(layout=self._layout)
        except ValueError as error:
            raise AudioError(f"{self._path}: expected one audio format throughout, found a change ({error})") from error


def has_sound(recording: Recording) -> bool:
    """Whether ingestion could decode a sound of the recording."""
    return recording.audio_sample_rate is not None
