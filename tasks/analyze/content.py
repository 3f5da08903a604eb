"""What a clip's table says, as arrays and as a few figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.expression_tables import analysis_schema
from tasks.report.quality import Span, face_gaps
from tasks.store.parts import read_provenance, read_table

EXPRESSION_COLOURS = {
    "angry": "#D55E00",
    "disgust": "#009E73",
    "fear": "#CC79A7",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#8C8C8C",
    "contempt": "#B8A90C",
}
"""Okabe and Ito's colours, which survive the common colour blindnesses; a name stands beside each wherever one is."""

VALENCE_RANGE = (-0.75, 0.9)
"""What every valence curve is drawn in: a little more than an estimate can reach, and the same for every clip."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Analysis:
    """A clip's table. Arrays are `[frame]`, `probabilities` is `[frame, class]`; NaN where there is no face."""

    key: str
    classes: tuple[str, ...]
    times: FloatArray
    valid: npt.NDArray[np.bool_]
    sources: tuple[str, ...]
    """`face_source` of each frame."""
    others: int
    """Frames in which other faces were seen."""
    probabilities: npt.NDArray[np.float32]
    valence: FloatArray
    smoothed: FloatArray

    @property
    def num_frames(self) -> int:
        return len(self.times)

    @property
    def num_faces(self) -> int:
        return int(self.valid.sum())

    @property
    def best(self) -> npt.NDArray[np.int64]:
        """The most probable class of every frame with a face, `[face]`."""
        found: npt.NDArray[np.int64] = self.probabilities[self.valid].argmax(axis=1)
        return found

    @property
    def shares(self) -> dict[str, float]:
        """Share of the frames with a face that each class is the most probable one in, 0 to 1; empty without a face."""
        if not self.num_faces:
            return {}
        counts = np.bincount(self.best, minlength=len(self.classes))
        return {name: float(count) / self.num_faces for name, count in zip(self.classes, counts, strict=True)}

    @property
    def means(self) -> dict[str, float]:
        """Mean probability of each class over the frames with a face; empty without a face."""
        if not self.num_faces:
            return {}
        mean = self.probabilities[self.valid].mean(axis=0, dtype=np.float64)
        return dict(zip(self.classes, mean.tolist(), strict=True))

    def gaps(self, duration: float) -> list[Span]:
        """Spans without a face, seconds."""
        return list(face_gaps(self.times, self.valid, duration_seconds=duration))


def read_analysis(table: Path, classes: Sequence[str]) -> Analysis:
    """Read a clip's table.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    names = tuple(f"probability_{name}" for name in classes)
    wanted = ("time_seconds", "face_valid", "face_source", "num_other_faces", "valence_estimate", "valence_smoothed")
    found = read_table(table, analysis_schema(classes), [*wanted, *names])
    columns = {name: found[name].to_numpy(zero_copy_only=False) for name in (*wanted, *names)}
    return Analysis(
        key=(read_provenance(table) or {})["stage_key"],
        classes=tuple(classes),
        times=columns["time_seconds"],
        valid=columns["face_valid"].astype(bool),
        sources=tuple(columns["face_source"].tolist()),
        others=int((np.nan_to_num(columns["num_other_faces"].astype(np.float64)) > 0).sum()),
        probabilities=np.stack([columns[name].astype(np.float32) for name in names], axis=1),
        valence=columns["valence_estimate"].astype(np.float64),
        smoothed=columns["valence_smoothed"].astype(np.float64),
    )


@dataclass(frozen=True)
class Moment:
    """One frame that the page shows, and why."""

    frame: int
    title: str


def strongest_moments(analysis: Analysis) -> list[Moment]:
    """Frames with the highest and the lowest smoothed valence, and of each class the one with its highest probability.

    A class that is nowhere the most probable one is left out: its highest probability is another one's moment.
    """
    if not analysis.num_faces:
        return []
    smooth = analysis.smoothed
    moments = [
        Moment(int(np.nanargmax(smooth)), "most positive"),
        Moment(int(np.nanargmin(smooth)), "most negative"),
    ]
    seen = {analysis.classes[number] for number in np.unique(analysis.best)}
    order = sorted(seen, key=lambda name: (-analysis.shares[name], name))
    moments += [
        Moment(int(np.nanargmax(analysis.probabilities[:, analysis.classes.index(name)])), f"most {NOUNS[name]}")
        for name in order
    ]
    return moments


NOUNS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "sad": "sad",
    "surprise": "surprised",
    "neutral": "neutral",
    "contempt": "contemptuous",
}


def sampled_moments(analysis: Analysis, number: int) -> list[Moment]:
    """Frames with a face, at about even distances from the first to the last."""
    faces = np.flatnonzero(analysis.valid)
    if not faces.size:
        return []
    wanted = (np.arange(number) + 0.5) / number * (analysis.times[-1] - analysis.times[0]) + analysis.times[0]
    near = np.abs(analysis.times[faces][None, :] - wanted[:, None]).argmin(axis=1)
    return [Moment(int(faces[place]), "") for place in np.unique(near)]
