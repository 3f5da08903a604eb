"""Recurrent networks over windows of a frozen CNN's features: tanh, ReLU, LSTM, GRU, in one direction or both.

The default is K's: Khorrami, Le Paine, Brady, Dagli, Huang 2016, "How deep neural networks can improve emotion
recognition on video data". S/D/C mark what the paper states, what its code implies, and what is chosen here.

Where the value of a frame stands (C): a causal network gives it at the last step of the window that ends there. A
network of both directions has seen one frame alone in its backward half at that step, so its window lies around the
frame and the value stands at the middle step: it knows (W - 1) // 2 frames of the future, and is that late when live.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from torch import nn

from models.unrolled import Scratch, courses
from models.windows import causal_mean, repeat_ends

_CELLS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
_WINDOWS_AT_ONCE = {"cpu": 1024, "cuda": 8192}  # on the CPU a step stays in the cache


class RecurrentNetwork(nn.Module):
    """Windowed RNN over a frozen CNN's features; every step regresses every rater's value.

    S: W = 100 frames, one layer of 100 units, or 100-100-50; tanh or ReLU. D: Lasagne's defaults: weights into the
    hidden units uniform(-0.01, 0.01), zero biases, zero start state, Glorot uniform output. C: features standardised
    on the training set; LSTM and GRU start Glorot uniform, orthogonal in the recurrence, each gate apart, biases 0,
    the LSTM's forget gate at 1 (Jozefowicz et al. 2015), since gates that start at uniform(-0.01, 0.01) barely move.

    Args:
        num_outputs: one for each rater.
        num_features: width of the CNN's features.
        hidden_sizes: units of each layer, and of each direction.
        cell: `rnn`, `lstm` or `gru`.
        nonlinearity: `tanh` or `relu`, of cell `rnn`.
        bidirectional: a second recurrence from the window's end to its start; each layer reads both.
        identity_start: start each recurrence at the identity, cell `rnn`; diverges without gradient clipping.
        pool_features: frames of the causal mean over the features, within the recording; 1: none.
        pool_outputs: steps of the causal mean over the outputs, within the window; 1: none.

    Raises:
        ValueError: an unknown cell, or an identity start of a cell with gates.
    """

    feature_mean: torch.Tensor
    feature_std: torch.Tensor

    def __init__(
        self,
        *,
        num_outputs: int,
        num_features: int = 300,
        hidden_sizes: Sequence[int] = (100,),
        cell: str = "rnn",
        nonlinearity: str = "relu",
        bidirectional: bool = False,
        identity_start: bool = False,
        pool_features: int = 1,
        pool_outputs: int = 1,
    ) -> None:
        super().__init__()
        if cell not in _CELLS or (identity_start and cell != "rnn"):
            raise ValueError(
                f"expected a cell of {', '.join(_CELLS)}, and rnn for an identity start; "
                f"got {cell!r}, {identity_start=}"
            )
        self.bidirectional = bidirectional
        self.pool_features = pool_features
        self.pool_outputs = pool_outputs
        self.register_buffer("feature_mean", torch.zeros(num_features))
        self.register_buffer("feature_std", torch.ones(num_features))
        directions = 2 if bidirectional else 1
        inputs = [num_features, *(directions * size for size in hidden_sizes[:-1])]
        options = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
        self.layers = nn.ModuleList(
            _CELLS[cell](before, after, batch_first=True, bidirectional=bidirectional, **options)
            for before, after in zip(inputs, hidden_sizes, strict=True)
        )
        self.head = nn.Linear(directions * hidden_sizes[-1], num_outputs)
        for layer in self._layers():
            _start(layer, identity=identity_start)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def lookahead(self, window: int) -> int:
        """Frames of a window that lie after the one whose value it gives."""
        return (window - 1) // 2 if self.bidirectional else 0

    def prepare(self, features: torch.Tensor) -> torch.Tensor:
        """One recording's `[time, feature]` to zero mean and unit variance over the training set, then their mean."""
        return causal_mean((features - self.feature_mean).div_(self.feature_std), self.pool_features)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """`[batch, time, feature]`, prepared, to `[batch, time, rater]`."""
        x = windows
        for layer in self.layers:
            x = layer(x)[0]
        return causal_mean(self.head(x), self.pool_outputs)

    def predict_sequence(self, features: torch.Tensor, *, window: int) -> torch.Tensor:
        """Every rater's value at every frame, each from its own window, as `forward` gives it.

        Equal to 1e-5 in float32; see `models.unrolled`. No gradient. On the CPU, each of torch's threads works on
        stretches of windows of its own, and the result does not depend on how many there are.

        Args:
            features: `[time, feature]`, not standardised, no gaps.
            window: W, frames.

        Returns: `[time, rater]`, on the CPU.
        """
        on_cpu = self.feature_mean.device.type == "cpu"
        own = threading.local()

        def values(edges: tuple[int, int]) -> torch.Tensor:
            if not hasattr(own, "scratch"):
                own.scratch = Scratch()
            with torch.no_grad():
                frames = self._prepared_windows(features, *edges, window)
                return self._values(frames, window, own.scratch).cpu()

        stretches = list(pairwise(_edges(len(features), window, at_once=_WINDOWS_AT_ONCE["cpu" if on_cpu else "cuda"])))
        threads = torch.get_num_threads() if on_cpu else 1
        if threads == 1:
            return torch.cat([values(edges) for edges in stretches])
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(values, stretches)))

    def _prepared_windows(self, features: torch.Tensor, start: int, end: int, window: int) -> torch.Tensor:
        """Frames of the windows that predict frames `start` to `end`, prepared, the recording's ends repeated."""
        ahead = self.lookahead(window)
        first, stop = start + ahead - window + 1, end + ahead
        begin = max(0, first - self.pool_features + 1)
        prepared = self.prepare(features[begin:stop].to(self.feature_mean.device))
        return repeat_ends(prepared[max(0, first) - begin :], before=max(0, -first), after=max(0, stop - len(features)))

    def _values(self, frames: torch.Tensor, window: int, scratch: Scratch) -> torch.Tensor:
        """`[window, rater]` of neighbouring windows, laid over each other as `[frame, feature]`."""
        end = window - self.lookahead(window)
        wanted = range(max(0, end - self.pool_outputs), end)
        last = courses(self._layers(), frames, window, wanted, scratch)
        means = [
            torch.stack([course.at(step) for step in steps]).mean(dim=0) if len(steps) > 1 else course.at(steps[0])
            for course, steps in zip(last, (wanted, range(window - wanted.stop, window - wanted.start)), strict=False)
        ]
        if len(means) > 1:
            means[1] = means[1].flip(0)
        values: torch.Tensor = self.head(torch.cat(means, dim=1))
        return values

    def _layers(self) -> list[nn.RNNBase]:
        return [layer for layer in self.layers if isinstance(layer, nn.RNNBase)]


def _edges(frames: int, window: int, *, at_once: int) -> list[int]:
    """Where stretches of windows begin and end, alike in length.

    Those that begin in the repeats of the first frame stand apart: what they hold is hardest to forget.
    """
    first = min(window, frames)
    number = max(1, math.ceil((frames - first) / at_once))
    rest = [first + (frames - first) * part // number for part in range(number + 1)]
    return [0, *rest] if frames > first else [0, frames]


def _start(layer: nn.RNNBase, *, identity: bool) -> None:
    """Draw the first weights of one layer; see `RecurrentNetwork`."""
    if isinstance(layer, nn.RNN):
        for name, parameter in layer.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("weight_hh") and identity:
                nn.init.eye_(parameter)
            else:
                nn.init.uniform_(parameter, -0.01, 0.01)
        return
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            gates = torch.split(parameter, layer.hidden_size)
            for gate in gates:
                if name.startswith("bias"):
                    gate.zero_()
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate)
                else:
                    nn.init.xavier_uniform_(gate)
            if name.startswith("bias_ih") and isinstance(layer, nn.LSTM):
                gates[1].fill_(1.0)
