"""Windows over sequences of features, as views and index ranges: no window is copied before its batch is due.

K's windows end at the frame they predict: window t is the frames (t - W, t], half-open at the left, W of them (the
paper prints [t - W, t], which would be W + 1). Before the first frame, frame 0 is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


class WindowedSequences:
    """Several recordings' features, laid end to end with W - 1 repeats of frame 0 before each.

    Args:
        features: one `[time, feature]` for each recording.
        labels: one `[time, rater]` for each recording, NaN where missing. Repeated frames get NaN.
        window: W, frames.
        stride: keep every n-th window of each recording.
    """

    def __init__(
        self, features: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], *, window: int, stride: int = 1
    ) -> None:
        self.window = window
        padded_features, padded_labels, ends = [], [], []
        start = 0
        for sequence, values in zip(features, labels, strict=True):
            if sequence.shape[0] != values.shape[0]:
                raise ValueError(
                    f"expected one label row for each frame, got {values.shape[0]} for {sequence.shape[0]}"
                )
            padding = window - 1
            padded_features += [sequence[:1].expand(padding, -1), sequence]
            padded_labels += [torch.full((padding, values.shape[1]), float("nan")), values]
            ends.append(torch.arange(start + padding, start + padding + sequence.shape[0], stride))
            start += padding + sequence.shape[0]
        self.features = torch.cat(padded_features)
        self.labels = torch.cat(padded_labels)
        self.ends = torch.cat(ends)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self.ends.shape[0])

    def batch(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gather the windows of one batch.

        Args:
            windows: `[batch]`, positions in [0, len).

        Returns: features `[batch, time, feature]` and labels `[batch, time, rater]`.
        """
        offsets = torch.arange(1 - self.window, 1)
        steps = self.ends[windows][:, None] + offsets
        return self.features[steps], self.labels[steps]


def window_view(features: torch.Tensor, *, window: int) -> torch.Tensor:
    """Every window of one recording as a view, `[time, window, feature]`, for prediction.

    Args:
        features: `[time, feature]`.
        window: W, frames.
    """
    padded = torch.cat([features[:1].expand(window - 1, -1), features])
    return padded.unfold(0, window, 1).transpose(1, 2)


def hold_last_valid(features: torch.Tensor, valid: torch.Tensor, *, start: torch.Tensor) -> torch.Tensor:
    """Give frames without a face the features of the last frame that had one.

    Args:
        features: `[time, feature]`; rows where `valid` is false are ignored.
        valid: `[time]`, bool.
        start: `[feature]`, stands before the first valid frame: the training mean.

    Returns: `[time, feature]`.
    """
    positions = torch.where(valid, torch.arange(valid.shape[0]), -1)
    last = torch.cummax(positions, dim=0).values if valid.shape[0] else positions
    return torch.where((last >= 0)[:, None], features[last.clamp_min(0)], start)
