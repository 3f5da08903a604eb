"""Recurrent networks over windows of a frozen CNN's features: tanh, ReLU, LSTM, GRU, in one direction or both.

The default is K's: Khorrami, Le Paine, Brady, Dagli, Huang 2016, "How deep neural networks can improve emotion
recognition on video data". S/D/C mark what the paper states, what its code implies, and what is chosen here.

Where the value of a frame stands (C): a causal network gives it at the last step of the window that ends there. A
network of both directions has seen one frame alone in its backward half at that step, so its window lies around the
frame and the value stands at the middle step: it knows (W - 1) // 2 frames of the future, and is that late when live.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import nn
from torch.nn import functional as F

from models.windows import causal_mean, repeat_ends

_Project = Callable[[str, int], torch.Tensor]
_CELLS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
_WINDOWS_AT_ONCE = {"cpu": 256, "cuda": 8192}  # on the CPU their states stay in the cache


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
        return causal_mean((features - self.feature_mean) / self.feature_std, self.pool_features)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """`[batch, time, feature]`, prepared, to `[batch, time, rater]`."""
        x = windows
        for layer in self.layers:
            x = layer(x)[0]
        return causal_mean(self.head(x), self.pool_outputs)

    def predict_sequence(self, features: torch.Tensor, *, window: int) -> torch.Tensor:
        """Every rater's value at every frame, each from its own window, as `forward` gives it.

        Neighbouring windows share their frames but not their states, which start at zero in each. So a frame is
        multiplied into the first layer once, not once for each of the W windows that hold it, and all windows take
        each step together.

        Args:
            features: `[time, feature]`, not standardised, no gaps.
            window: W, frames.

        Returns: `[time, rater]`, on the CPU.
        """
        frames = self.prepare(features.to(self.feature_mean.device))
        ahead = self.lookahead(window)
        padded = repeat_ends(frames, before=window - 1 - ahead, after=ahead)
        first = self._layers()[0]
        seen = {direction: _into(first, direction, padded) for direction in _directions(first)}
        at_once = _WINDOWS_AT_ONCE[frames.device.type]
        found = []
        for start in range(0, len(frames), at_once):
            end = min(start + at_once, len(frames))
            windows = {direction: values[start : end + window - 1] for direction, values in seen.items()}
            found.append(self._values(windows, end - start, window).cpu())
        return torch.cat(found)

    def _values(self, seen: dict[str, torch.Tensor], count: int, window: int) -> torch.Tensor:
        """`[window, rater]` of `count` neighbouring windows, from the first layer's input `[frame, gate]`."""
        end = window - self.lookahead(window)
        pooled = range(max(0, end - self.pool_outputs), end)
        states: list[torch.Tensor] = []
        for layer in self._layers():
            if layer is self.layers[0]:
                project: _Project = lambda direction, step: seen[direction][step : step + count]  # noqa: E731
            else:
                project = functools.partial(_project_states, layer, states)
            steps = pooled if layer is self.layers[-1] else range(window)
            states = _states(layer, project, steps, window=window)
        values: torch.Tensor = self.head(torch.stack(states).mean(dim=0) if len(states) > 1 else states[0])
        return values

    def _layers(self) -> list[nn.RNNBase]:
        return [layer for layer in self.layers if isinstance(layer, nn.RNNBase)]


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


def _directions(layer: nn.RNNBase) -> tuple[str, ...]:
    """How the parameters of each direction end."""
    return ("", "_reverse") if layer.bidirectional else ("",)


def _into(layer: nn.RNNBase, direction: str, inputs: torch.Tensor) -> torch.Tensor:
    """W x + b, `[row, feature]` to `[row, gate]`; the bias apart, as torch's own layers add it, for equal bits."""
    weight: torch.Tensor = getattr(layer, f"weight_ih_l0{direction}")
    bias: torch.Tensor = getattr(layer, f"bias_ih_l0{direction}")
    return inputs @ weight.T + bias


def _project_states(layer: nn.RNNBase, states: list[torch.Tensor], direction: str, step: int) -> torch.Tensor:
    return _into(layer, direction, states[step])


def _states(layer: nn.RNNBase, project: _Project, steps: range, *, window: int) -> list[torch.Tensor]:
    """The layer's states `[window, unit]` at some neighbouring steps, each direction run no farther than these.

    Args:
        layer: one layer, of one direction or both.
        project: (direction, step) to the layer's input `[window, gate]`.
        steps: which; within [0, window).
        window: W.
    """
    ahead = _unroll(layer, "", (project("", step) for step in range(steps.stop)))
    forward = list(islice(ahead, steps.start, None))
    if not layer.bidirectional:
        return forward
    back = _unroll(layer, "_reverse", (project("_reverse", step) for step in range(window - 1, steps.start - 1, -1)))
    backward = list(islice(back, window - steps.stop, None))
    return [torch.cat(both, dim=1) for both in zip(forward, reversed(backward), strict=True)]


def _unroll(layer: nn.RNNBase, direction: str, inputs: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The states `[window, unit]` of one direction, step by step from zero.

    The equations and the order of the gates are those of torch.nn.RNN, LSTM and GRU.
    """
    weight: torch.Tensor = getattr(layer, f"weight_hh_l0{direction}")
    bias: torch.Tensor = getattr(layer, f"bias_hh_l0{direction}")
    size = layer.hidden_size
    state = memory = weight.new_zeros(1, size)
    for x in inputs:
        recurrent = F.linear(state.expand(len(x), -1), weight, bias)
        if layer.mode == "LSTM":
            gates = recurrent.add_(x)
            gates[:, 2 * size : 3 * size] *= 2  # tanh x = 2 sigmoid 2x - 1, a third of tanh's time
            into, keep, new, out = torch.split(gates.sigmoid_(), size, dim=1)
            memory = torch.addcmul(keep * memory, into, new.mul_(2).sub_(1))
            state = (memory + memory).sigmoid_().mul_(2).sub_(1).mul_(out)
        elif layer.mode == "GRU":
            reset, update = torch.split((x + recurrent)[:, : 2 * size].sigmoid(), size, dim=1)
            candidate = (x[:, 2 * size :] + reset * recurrent[:, 2 * size :]).tanh()
            state = candidate + update * (state - candidate)
        else:
            state = (x + recurrent).tanh() if layer.mode == "RNN_TANH" else (x + recurrent).relu()
        yield state
