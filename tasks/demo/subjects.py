"""Who is in the sample corpus: a subject's bones, colours, light and framing, and what moves over time."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.demo.expression import Identity

FloatArray = NDArray[np.float64]

FRAME_RATE = 25
PARTITIONS: dict[str, tuple[str, ...]] = {
    "train": ("P16", "P17", "P21", "P23", "P25", "P37"),
    "dev": ("P19", "P26", "P28"),
    "test": ("P48", "P58", "P62"),
}
"""Subjects as RECOLA's commonly used split places them."""
RECORDINGS = tuple(recording for group in PARTITIONS.values() for recording in group)


def generator(seed: int, recording_id: str, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose in one recording: independent of every other's, whatever the order."""
    return np.random.default_rng([seed, zlib.crc32(recording_id.encode()), zlib.crc32(purpose.encode())])


def portrait_of(recording_id: str) -> str:
    """Test subjects wear one portrait, train and dev the other."""
    return "hopper" if recording_id in PARTITIONS["test"] else "collins"


@dataclass(frozen=True)
class Subject:
    """How one recording looks, all the way through. Lengths in IOD where not in pixels."""

    recording_id: str
    portrait: str
    mirrored: bool
    identity: Identity
    width: int
    height: int
    iod_pixels: float
    centre: tuple[float, float]
    """Between the eyes, (x, y) in pixels, at rest."""
    tint: tuple[float, float, float]
    saturation: float
    gamma: float
    contrast: float
    side_light: float
    blur_pixels: float
    grain: float
    """Standard deviation, 0..255."""
    background: tuple[tuple[float, float, float], tuple[float, float, float]]
    """Two colours, 0..255."""


@dataclass(frozen=True)
class Motion:
    """What moves, independent of valence; every field [frame]."""

    roll_radians: FloatArray
    x: FloatArray
    y: FloatArray
    scale: FloatArray
    yaw: FloatArray
    pitch: FloatArray
    blink: FloatArray
    brow_raise: FloatArray
    opening: FloatArray
    light: FloatArray
    light_side: FloatArray


def make_subject(recording_id: str, *, seed: int) -> Subject:
    """The look of a recording, drawn from `seed` and its id alone."""
    rng = generator(seed, recording_id, "look")

    def around(middle: float, spread: float) -> float:
        return float(middle + spread * rng.uniform(-1, 1))

    identity = Identity(
        face_width=around(1, 0.08),
        jaw_length=around(1, 0.10),
        nose_width=around(1, 0.18),
        nose_length=around(1, 0.06),
        eye_size=around(1, 0.12),
        lips=around(1, 0.20),
        mouth_width=around(1, 0.05),
        mouth_height=around(0, 0.035),
        brow_height=around(0, 0.02),
    )
    width, height = (360, 288) if rng.random() < 0.3 else (320, 240)
    box = around(114, 17)  # dlib's face box is about 2.2 IOD wide
    warm = around(0, 0.10)
    hue = rng.uniform(0, 1, size=2)
    return Subject(
        recording_id=recording_id,
        portrait=portrait_of(recording_id),
        mirrored=bool(rng.random() < 0.5),
        identity=identity,
        width=width,
        height=height,
        iod_pixels=box / 2.2,
        centre=(width * around(0.5, 0.10), height * around(0.42, 0.04)),
        tint=(1 + warm, around(1, 0.03), 1 - warm),
        saturation=around(0.85, 0.3),
        gamma=float(np.exp(around(0, 0.28))),
        contrast=around(0.95, 0.12),
        side_light=around(0, 0.30),
        blur_pixels=around(0.55, 0.35),
        grain=around(3.5, 2.0),
        background=(_muted_colour(hue[0], around(120, 60)), _muted_colour(hue[1], around(120, 70))),
    )


def make_motion(recording_id: str, frames: int, *, seed: int) -> Motion:
    """What moves in a recording of so many frames, drawn from `seed` and its id alone."""
    rng = generator(seed, recording_id, "motion")

    def drift(amplitude: float, shortest_seconds: float, longest_seconds: float) -> FloatArray:
        return amplitude * smooth_noise(rng, frames, shortest_seconds, longest_seconds)

    speaking = np.clip(1.2 * smooth_noise(rng, frames, 3, 12), 0, 1)
    syllables = 0.5 + 0.5 * smooth_noise(rng, frames, 0.22, 0.5)
    return Motion(
        roll_radians=drift(np.radians(3.0), 2, 9),
        x=drift(0.09, 2, 12),
        y=drift(0.06, 2, 9),
        scale=1 + drift(0.025, 4, 15),
        yaw=drift(0.10, 1.5, 8),
        pitch=drift(0.06, 1.5, 8),
        blink=_blinks(rng, frames),
        brow_raise=np.clip(smooth_noise(rng, frames, 1.5, 8) - 1.1, 0, 1),
        opening=np.clip(speaking * syllables, 0, 1),
        light=1 + drift(0.05, 5, 25),
        light_side=drift(0.06, 5, 25),
    )


def smooth_noise(
    rng: np.random.Generator,
    count: int,
    shortest_seconds: float,
    longest_seconds: float,
    *,
    step_seconds: float = 1 / FRAME_RATE,
) -> FloatArray:
    """A smooth curve [count] of mean about 0 and standard deviation about 1: eight sines with periods in the range."""
    periods = np.exp(rng.uniform(np.log(shortest_seconds), np.log(longest_seconds), size=8))
    phases = rng.uniform(0, 2 * np.pi, size=8)
    weights = rng.uniform(0.5, 1, size=8)
    seconds = np.arange(count) * step_seconds
    waves = np.sin(2 * np.pi * seconds[:, None] / periods + phases) @ weights
    curve: FloatArray = waves * np.sqrt(2 / (weights**2).sum())
    return curve


def _blinks(rng: np.random.Generator, frames: int) -> FloatArray:
    """Lids 0 (open) to 1 (shut) [frame]: a blink of 0.28 s every 1.5 to 5 s."""
    seconds = np.arange(frames) / FRAME_RATE
    lids = np.zeros(frames)
    at = rng.uniform(0.5, 4)
    while at < frames / FRAME_RATE:
        lids = np.maximum(lids, np.cos(np.pi * np.clip((seconds - at) / 0.28, -0.5, 0.5)) ** 2)
        at += rng.uniform(1.5, 5)
    return lids


def _muted_colour(hue: float, brightness: float) -> tuple[float, float, float]:
    red, green, blue = (brightness * (1 + 0.14 * np.cos(2 * np.pi * (hue - third / 3))) for third in range(3))
    return float(red), float(green), float(blue)
