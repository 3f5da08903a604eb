"""A semi-synthetic corpus: real FER2013 faces, SYNTHETIC sequences and ratings, in the form that `ingest` reads.

    corpus/manifest.csv, corpus/SYNTHETIC.txt, videos/ID.mp4, ratings-0s/ID.csv, ratings-2s/ID.csv, hidden/ID.csv

Each video shows a face for two frames (0.4 s), then another one. Which expression comes next is drawn so that the mean
valence of what is shown (`models.valence`) follows a smooth hidden curve: between the two levels of valence next to the
curve (unpleasant expressions, neutral, happy), each the likelier the nearer. Surprise is left out: its valence is the
least certain. So a frame tells the curve only roughly, and several in a row tell it better: what a recurrent net is
for. Raters give the hidden curve with a gain, an offset and slow noise of their own, at a delay of 0 or 2 s.

Train videos show faces of Training, dev and test videos faces of PublicTest; no picture, and no copy of one, is shown
twice anywhere. FER2013 does not say who is who: one person may stand in both under different pictures, and a video
shows many people. Faces that dlib does not find after enlarging are left out (about a fifth).
"""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dlib
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from models.valence import VALENCE
from tasks.expression.duplicates import find_duplicates
from tasks.expression.faces import LabelledFaces, load_faces
from tasks.expression.fer2013 import Fer2013Csv
from tasks.store.parts import write_text

FloatArray = npt.NDArray[np.float64]
Picture = npt.NDArray[np.uint8]

SAID = "Real faces (FER2013), SYNTHETIC sequences and ratings: no person felt or rated any of this."
FRAME_RATE = 5
HOLD_FRAMES = 2
SCALE, MARGIN, SWAY = 3, 32, 5  # a face of 48 pixels becomes 144 on a ground of 208, moved by up to 5
LEVELS = (("angry", "disgust", "fear", "sad"), ("neutral",), ("happy",))
VIDEOS = {"train": 14, "dev": 4, "test": 5}
FIRST_DRAW = {"train": 0, "dev": 24, "test": 28}  # up to 24 videos of train leave the others as they are
SPLITS = {"train": "training", "dev": "public_test", "test": "public_test"}
DELAYS_SECONDS = (0.0, 2.0)


@dataclass(frozen=True)
class Rater:
    """How somebody rates the hidden curve: gain * curve + offset + slow noise of this standard deviation."""

    name: str
    gain: float
    offset: float
    noise: float


RATERS = (Rater("R1", 0.9, 0.05, 0.06), Rater("R2", 0.6, -0.1, 0.08), Rater("R3", 1.0, 0.0, 0.10))


def make_corpus(data: Path, out: Path, *, seconds: float, seed: int = 0) -> dict[float, Path]:
    """Write the videos and a corpus for each delay; what is there already is left as it is.

    Args:
        data: fer2013.csv.
        out: folder to make.
        seconds: of each video.
        seed: of every draw.

    Returns: the corpus of each delay.
    """
    corpora = {delay: out / f"corpus-{delay:g}s" for delay in DELAYS_SECONDS}
    if all((corpus / "manifest.csv").exists() for corpus in corpora.values()):
        return corpora
    faces = load_faces(Fer2013Csv(data), out / "faces")
    pools = {split: _Pool(faces, split, seed=seed) for split in dict.fromkeys(SPLITS.values())}
    names = [(f"{partition}{number:02d}", partition) for partition, n in VIDEOS.items() for number in range(n)]
    for name, partition in names:
        position = FIRST_DRAW[partition] + int(name.removeprefix(partition))
        chance = np.random.default_rng([seed, position])
        hidden = hidden_curve(chance, round(seconds * FRAME_RATE))
        _write_video(out / "videos" / f"{name}.mp4", list(_shown(pools[SPLITS[partition]], hidden, chance)))
        for delay, corpus in corpora.items():
            noise = np.random.default_rng([seed, position, 1])  # the same hands at either delay
            _write_ratings(corpus / "ratings" / f"{name}.csv", hidden, delay, noise)
    for corpus in corpora.values():
        write_text(corpus / "SYNTHETIC.txt", f"{SAID}\n\n{__doc__}")
        _write_manifest(corpus / "manifest.csv", names)
    for split, pool in pools.items():
        print(f"{split}: {pool}")
    return corpora


def hidden_curve(chance: np.random.Generator, frames: int) -> FloatArray:
    """Smooth, over the whole range of valence that faces can show; swings of about 8 s."""
    levels = [float(np.mean([VALENCE[name] for name in level])) for level in LEVELS]
    raw = _smooth(chance, frames, seconds=3.0)
    raw = (raw - raw.mean()) / raw.std() + chance.normal(0, 0.3)
    curve: FloatArray = levels[0] + (levels[-1] - levels[0]) / (1 + np.exp(-2 * raw))
    return curve


def _smooth(chance: np.random.Generator, frames: int, *, seconds: float) -> FloatArray:
    """White noise under a Gaussian of this width, with standard deviation 1 in the mean."""
    width = seconds * FRAME_RATE / 2
    reach = round(4 * width)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.convolve(chance.standard_normal(frames + 2 * reach), kernel, mode="valid")


class _Pool:
    """The faces of one split, by level, in an order of their own; each is given once, if dlib finds it."""

    def __init__(self, faces: LabelledFaces, split: str, *, seed: int) -> None:
        copies = find_duplicates(faces)
        _, first = np.unique(copies.groups, return_index=True)
        usable = np.zeros(len(faces.labels), dtype=bool)
        usable[first] = True
        usable &= (faces.splits == split) & ~copies.is_shared
        chance = np.random.default_rng([seed, len(split)])
        level_of = {name: number for number, level in enumerate(LEVELS) for name in level}
        order = chance.permutation(np.flatnonzero(usable))
        self._faces = faces
        self._left: list[list[int]] = [[] for _ in LEVELS]
        for position in order.tolist():
            if (name := faces.classes[faces.labels[position]]) in level_of:
                self._left[level_of[name]].append(position)
        self._detector = dlib.get_frontal_face_detector()
        self._given: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    def take(self, level: int) -> Picture:
        """The next face of a level on its ground, `[208, 208]`."""
        while self._left[level]:
            position = self._left[level].pop()
            picture = on_ground(np.asarray(self._faces.pictures[position])[:, :, 0])
            name = self._faces.classes[self._faces.labels[position]]
            if len(self._detector(picture, 0)) == 1:
                self._given[name] += 1
                return picture
            self._lost[name] += 1
        raise SystemExit(f"no face left of {', '.join(LEVELS[level])}: ask for fewer or shorter videos")

    def __str__(self) -> str:
        share = sum(self._lost.values()) / (sum(self._lost.values()) + sum(self._given.values()))
        return f"{sum(self._given.values())} faces ({dict(self._given)}), {100 * share:.0f} % of those tried not found"


def on_ground(face: Picture) -> Picture:
    """A face of 48x48, enlarged, on gray of its own mean."""
    large = dlib.resize_image(face, face.shape[0] * SCALE, face.shape[1] * SCALE)
    return np.pad(large, MARGIN, constant_values=int(face.mean()))


def _shown(pool: _Pool, hidden: FloatArray, chance: np.random.Generator) -> Iterator[Picture]:
    """Every frame of a video."""
    values = np.array([np.mean([VALENCE[name] for name in level]) for level in LEVELS])
    sway = np.round(SWAY * np.tanh(_smooth(chance, 2 * len(hidden), seconds=2.0))).astype(int).reshape(2, -1)
    picture = np.zeros((0, 0), dtype=np.uint8)
    for frame, value in enumerate(hidden):
        if frame % HOLD_FRAMES == 0:
            above = int(np.clip(np.searchsorted(values, value), 1, len(values) - 1))
            share = (value - values[above - 1]) / (values[above] - values[above - 1])
            picture = pool.take(above if chance.random() < share else above - 1)
        yield np.roll(picture, tuple(sway[:, frame]), axis=(0, 1))


def _write_video(path: Path, frames: Sequence[Picture]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape
    source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", str(FRAME_RATE), "-i", "pipe:"]
    target = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "16", "-preset", "veryfast", "-g", "50", str(path)]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *source, *target]
    subprocess.run(command, input=b"".join(frame.tobytes() for frame in frames), check=True)


def _write_ratings(path: Path, hidden: FloatArray, delay: float, chance: np.random.Generator) -> None:
    """Time and every rater's value at every frame; before anything is seen, what is seen first."""
    late = round(delay * FRAME_RATE)
    seen = np.concatenate([np.full(late, hidden[0]), hidden])[: len(hidden)]
    columns = [r.gain * seen + r.offset + r.noise * _smooth(chance, len(hidden), seconds=4.0) for r in RATERS]
    rows = np.column_stack([np.arange(len(hidden)) / FRAME_RATE, *(np.clip(column, -1, 1) for column in columns)])
    lines = [",".join(["time", *(rater.name for rater in RATERS)])]
    lines += [",".join(f"{value:.3f}" for value in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def _write_manifest(path: Path, names: Sequence[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "subject", "video", "ratings", "partition", "scale"])
        for name, partition in names:
            writer.writerow([name, name, f"../videos/{name}.mp4", f"ratings/{name}.csv", partition, "-1:1"])
