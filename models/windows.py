"""Windows over sequences of features, as views and index ranges: no window is copied before its batch is due.

K's windows end at the frame they predict: window t is the frames (t - W, t], half-open at the left, W of them (the
paper prints [t - W, t], which would be W + 1). With a lookahead of L frames it is (t + L - W, t + L]. Before the first
frame, frame 0 is repeated, and behind the last one the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch.nn import functional as F


class WindowedSequences:
    """Several recordings' features, laid end to end with repeats around each, so that each window is one stretch.

    What is held is the features once and one batch.

    Args:
        sequences: features `[time, feature]` and labels `[time, rater]`, NaN where missing, of each recording. They
            are taken one after the other, so those of a generator need never stand in memory together. Repeated
            frames get NaN.
        lengths: frames of each recording.
        window: W, frames.
        stride: keep every n-th window of each recording.
        lookahead: frames of a window behind the one it predicts.
        device: where the features stay and batches are gathered.

    Raises:
        ValueError: a recording has another number of frames or labels than said.
    """

    def __init__(
        self,
        sequences: Iterable[tuple[torch.Tensor, torch.Tensor]],
        lengths: Sequence[int],
        *,
        window: int,
        stride: int = 1,
        lookahead: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.window = window
        self.target = window - 1 - lookahead
        rows = sum(lengths) + (window - 1) * len(lengths)
        starts, start = [], 0
        for length, (features, labels) in zip(lengths, sequences, strict=True):
            if not features.shape[0] == labels.shape[0] == length:
                raise ValueError(
                    f"expected {length} frames and one label row for each, got {features.shape[0]} frames "
                    f"and {labels.shape[0]} label rows"
                )
            if start == 0:
                self.features = torch.empty(rows, features.shape[1], dtype=features.dtype, device=device)
                self.labels = torch.full((rows, labels.shape[1]), float("nan"), dtype=labels.dtype, device=device)
            end = start + length + window - 1
            own = slice(start + self.target, end - lookahead)
            self.features[start : own.start] = features[:1]
            self.features[own] = features
            self.features[own.stop : end] = features[-1:]
            self.labels[own] = labels
            starts.append(torch.arange(start, start + length, stride))
            start = end
        self.starts = torch.cat(starts).to(device)
        self._gathered = torch.empty(0, device=device)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self.starts.shape[0])

    def batch(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gather the windows of one batch.

        Args:
            windows: `[batch]`, positions in [0, len).

        Returns: features `[batch, time, feature]`, which the next call overwrites, and labels `[batch, time, rater]`.
            In memory, features are laid out by time, then batch: as torch's recurrent layers would copy them.
        """
        starts = self.starts[windows.to(self.starts.device)]
        rows = (torch.arange(self.window, device=starts.device)[:, None] + starts).flatten()
        width = self.features.shape[1]
        if len(self._gathered) < len(rows):
            self._gathered = self.features.new_empty(len(rows), width)  # kept: fresh memory costs more than the copy
        features = self._gathered[: len(rows)]
        torch.index_select(self.features, 0, rows, out=features)
        by_time = features.view(self.window, len(starts), width)
        return by_time.transpose(0, 1), torch.index_select(_stretches(self.labels, self.window), 0, starts)


def _stretches(rows: torch.Tensor, window: int) -> torch.Tensor:
    """`[row, column]` to the view `[stretch, window, column]` of all its stretches of `window` rows."""
    return rows.unfold(0, window, 1).transpose(1, 2)


def repeat_ends(values: torch.Tensor, *, before: int, after: int) -> torch.Tensor:
    """`[time, feature]` with its first row repeated before it and its last row behind it."""
    return torch.cat([values[:1].expand(before, -1), values, values[-1:].expand(after, -1)])


def causal_mean(values: torch.Tensor, frames: int) -> torch.Tensor:
    """The mean over each step and those before it, `frames` in all, or as many as there are.

    Args:
        values: `[..., time, feature]`.
        frames: at least 1, which leaves the values as they are.

    Returns: the same shape.
    """
    if frames == 1:
        return values
    time = values.shape[-2]
    padded = F.pad(values.transpose(-1, -2), (frames - 1, 0))
    flat = padded.reshape(-1, 1, padded.shape[-1])
    means = F.avg_pool1d(flat, frames, stride=1).reshape(values.transpose(-1, -2).shape).transpose(-1, -2)
    there = torch.arange(1, time + 1, device=values.device).clamp_max(frames)
    return means * (frames / there.to(values.dtype))[:, None]


def hold_last_valid(features: torch.Tensor, valid: torch.Tensor, *, start: torch.Tensor) -> torch.Tensor:
    """Give frames without a face the features of the last frame that had one.

    Args:
        features: `[time, feature]`; rows where `valid` is false are ignored.
        valid: `[time]`, bool.
        start: `[feature]`, stands before the first valid frame: the training mean.

    Returns: `[time, feature]`; `features` itself where every frame has a face.
    """
    if bool(valid.all()):
        return features
    positions = torch.where(valid, torch.arange(valid.shape[0]), -1)
    last = torch.cummax(positions, dim=0).values
    held = features[last.clamp_min(0)]
    held[last < 0] = start
    return held
