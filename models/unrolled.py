"""A recurrent network over all windows of a recording at once, for `RecurrentNetwork.predict_sequence`.

All windows take a step together. Each starts from a zero state, so their states differ; but a network that forgets
comes to the same state at the same frame, wherever a window began. Once the states of neighbouring windows at one frame
differ by no more than rounding, the steps that are left would give each window what a later one has already: they are
not computed. A network that does not forget within its window takes all steps.

Each direction counts its own way, from its first step: window v at step k is at frame v + k, in either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

_LOOK_EVERY = 2  # steps; a few windows tell most of the time that it is too early
_ROUNDING = 4  # units in the last place by which equal states came to differ: up to 2 were seen
_FEW = 16  # windows that are looked at first


@dataclass(frozen=True)
class Course:
    """States of one direction of one layer.

    `own[k]` is `[window, unit]` at step k; `common` `[frame, unit]` are the states from the frame of window 0's last
    own step on, the same for every window; None: all steps are own.
    """

    own: list[torch.Tensor]
    common: torch.Tensor | None

    def at(self, step: int) -> torch.Tensor:
        """`[window, unit]`."""
        if step < len(self.own):
            return self.own[step]
        assert self.common is not None
        begin = step - len(self.own) + 1
        return self.common[begin : begin + len(self.own[0])]


@dataclass
class Inputs:
    """What goes into one direction of one layer: `at(step)` is `[window, gate]`.

    From step `common_from` on it depends on the frame alone, not on the window; None: never.
    """

    at: Callable[[int], torch.Tensor]
    common_from: int | None


@dataclass(frozen=True)
class Cell:
    """One direction of a layer, made ready: the equations and the order of gates are those of torch.nn.

    The biases go with the input, but for the GRU's candidate. tanh x = 2 sigmoid 2x - 1 takes a fraction of tanh's
    time, so the weights of the gates that need it are doubled.
    """

    mode: str
    into: torch.Tensor = field(repr=False)
    """`[gate, input]`."""
    bias: torch.Tensor = field(repr=False)
    recurrent: torch.Tensor = field(repr=False)
    """`[gate, unit]`."""
    recurrent_bias: torch.Tensor = field(repr=False)
    """`[gate]`: of the GRU's candidate, otherwise zero."""

    @staticmethod
    def of(layer: nn.RNNBase, direction: str) -> Cell:
        """Args: layer; direction: how its parameters end, `""` or `"_reverse"`."""
        kinds = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        into, recurrent, bias, recurrent_bias = (getattr(layer, kind + direction).detach() for kind in kinds)
        size = layer.hidden_size
        factor = into.new_ones(len(bias))
        if layer.mode == "LSTM":
            factor[2 * size : 3 * size] = 2
        elif layer.mode == "GRU":
            factor[2 * size :] = 2
        elif layer.mode == "RNN_TANH":
            factor[:] = 2
        apart = torch.zeros_like(bias)
        if layer.mode == "GRU":
            apart[2 * size :] = recurrent_bias[2 * size :]
        return Cell(
            layer.mode,
            into * factor[:, None],
            (bias + recurrent_bias - apart) * factor,
            recurrent * factor[:, None],
            apart * factor,
        )

    def step(self, x: torch.Tensor, state: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`[window, gate]`, and `[window, unit]` twice, to the next state and memory (LSTM; otherwise the state)."""
        if self.mode == "GRU":
            return _gru(x, _product(self.recurrent_bias, state, self.recurrent), state)
        gates = _product(x, state, self.recurrent)
        if self.mode == "LSTM":
            into, keep, new, out = torch.split(gates.sigmoid_(), state.shape[1], dim=1)
            memory = torch.mul(keep, memory).addcmul_(into, new.mul_(2).sub_(1))
            return torch.mul(memory, 2).sigmoid_().mul_(2).sub_(1).mul_(out), memory
        state = gates.sigmoid_().mul_(2).sub_(1) if self.mode == "RNN_TANH" else gates.relu_()
        return state, state


def _gru(x: torch.Tensor, recurrent: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    size = state.shape[1]
    gates = (x[:, : 2 * size] + recurrent[:, : 2 * size]).sigmoid_()
    reset, update = torch.split(gates, size, dim=1)
    candidate = torch.addcmul(x[:, 2 * size :], recurrent[:, 2 * size :], reset)
    state = torch.lerp(candidate.sigmoid_().mul_(2).sub_(1), state, update)
    return state, state


def _product(start: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`start + rows weight^T`; `start` is `[gate]` or `[row, gate]`.

    torch multiplies float32 by MKL, which leaves half of a processor's width unused if Intel did not make it; oneDNN,
    by the operator that `torch.compile` would put here, uses all of it.
    """
    one_dnn = rows.device.type == "cpu" and rows.dtype == torch.float32 and torch._C._has_mkldnn
    if not one_dnn or len(rows) < _FEW or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return torch.addmm(start, rows, weight.T)
    operator = torch.ops.mkldnn._linear_pointwise
    found: torch.Tensor = (
        operator(rows, weight, start, "none", [], "")
        if start.dim() == 1
        else operator.binary(rows, start, weight, None, "add")
    )
    return found


def courses(layers: Sequence[nn.RNNBase], windows: torch.Tensor, window: int, wanted: range) -> list[Course]:
    """The last layer's states, one course for each direction.

    Args:
        layers: one after the other, all of one direction or all of both.
        windows: `[frame, feature]`, of all windows laid over each other: W - 1 frames more than windows.
        window: W.
        wanted: the steps, counted forwards, whose states of the last layer are read.
    """
    count = len(windows) - window + 1
    below: list[Course] = []
    for position, layer in enumerate(layers):
        steps = wanted if position == len(layers) - 1 or not layer.bidirectional else range(window)
        found = []
        for direction in range(2 if layer.bidirectional else 1):
            cell = Cell.of(layer, "_reverse" if direction else "")
            last = window - 1 - steps.start if direction else steps.stop - 1
            if position == 0:
                inputs = _from_frames(cell, windows.flip(0) if direction else windows, count)
            else:
                inputs = _from_below(cell, below, direction, window, last)
            found.append(_course(cell, inputs, count, last))
        below = found
    return below


def _from_frames(cell: Cell, frames: torch.Tensor, count: int) -> Inputs:
    """The first layer's: each frame is multiplied once, not once for each of the windows that hold it."""
    seen = _product(cell.bias, frames, cell.into)
    return Inputs(lambda step: seen[step : step + count], 0)


def _from_below(cell: Cell, below: list[Course], direction: int, window: int, last: int) -> Inputs:
    """A further layer's: states that windows have in common are multiplied once, too.

    The other direction's course is gone through from its end, its windows in reverse.
    """
    weights = [part.contiguous() for part in torch.split(cell.into, cell.into.shape[1] // len(below), dim=1)]
    zeros = torch.zeros_like(cell.bias)
    parts, common_from = [], 0
    for number, (course, weight) in enumerate(zip(below, weights, strict=True)):
        with_it = number == direction
        bias = zeros if number else cell.bias
        common = None if course.common is None else _product(bias, course.common, weight)
        parts.append((course, weight, bias, Course(course.own, common), with_it))
        if common is None or (not with_it and last > window - len(course.own)):
            common_from = window
        elif with_it:
            common_from = max(common_from, len(course.own) - 1)

    def at(step: int) -> torch.Tensor:
        found = []
        for course, weight, bias, projected, with_it in parts:
            own = step if with_it else window - 1 - step
            # multiplied when it is due: kept, it would leave the cache
            x = _product(bias, course.own[own], weight) if own < len(course.own) else projected.at(own)
            found.append(x if with_it else x.flip(0))
        return found[0] if len(found) == 1 else found[0] + found[1]

    return Inputs(at, common_from if common_from < window else None)


def _course(cell: Cell, inputs: Inputs, count: int, last: int) -> Course:
    """All steps up to `last`, or until the windows agree."""
    state = memory = cell.recurrent.new_zeros(count, cell.recurrent.shape[1])
    own: list[torch.Tensor] = []
    for step in range(last + 1):
        before = state, memory
        state, memory = cell.step(inputs.at(step), state, memory)
        own.append(state)
        look = inputs.common_from is not None and step > inputs.common_from and step % _LOOK_EVERY == 0
        if look and count > 1 and _agree(state, before[0]) and _agree(memory, before[1]):
            return Course(own, _common(cell, inputs, state, memory, range(step + 1, last + 1)))
    return Course(own, None)


def _agree(now: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether each window's state is the one that the next window had a step earlier, at the same frame."""
    accepted = _ROUNDING * torch.finfo(now.dtype).eps * now.abs().amax().clamp_min(1)
    return all(
        bool((now[:-1:stride] - before[1::stride]).abs().amax() <= accepted) for stride in (len(now) // _FEW or 1, 1)
    )


def _common(cell: Cell, inputs: Inputs, state: torch.Tensor, memory: torch.Tensor, steps: range) -> torch.Tensor:
    """What the windows have now, and how the last of them goes on."""
    states = [state]
    state, memory = state[-1:], memory[-1:]
    for step in steps:
        state, memory = cell.step(inputs.at(step)[-1:], state, memory)
        states.append(state)
    return torch.cat(states)
