"""A recurrent network over all windows of a recording at once, for `RecurrentNetwork.predict_sequence`.

All windows take a step together. Each starts from a zero state, so their states differ; but a network that forgets
comes to the same state at the same frame, wherever a window began. Once the states of neighbouring windows at one frame
differ by no more than rounding, the steps that are left would give each window what a later one has already: they are
not computed. A network that does not forget within its window takes all steps.

Each direction counts its own way, from its first step: window v at step k is at frame v + k, in either.
"""

from __future__ import annotations

import math
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

    `own` `[slot, window, unit]` holds the last steps up to `steps`, step k in slot k modulo their number; `common`
    `[frame, unit]` are the states from the frame of window 0's last own step on, the same for every window; None: all
    steps are own.
    """

    own: torch.Tensor
    steps: int
    common: torch.Tensor | None

    def at(self, step: int) -> torch.Tensor:
        """`[window, unit]`."""
        if step < self.steps:
            return self.own[step % len(self.own)]
        assert self.common is not None
        begin = step - self.steps + 1
        return self.common[begin : begin + self.own.shape[1]]


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
    time, so the weights of the gates that need it are doubled, and the LSTM's memory is held twice its size.
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

    def step(
        self, x: torch.Tensor, state: torch.Tensor, memory: torch.Tensor, *, out: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`[window, gate]`, and `[window, unit]` twice, to the next state, put into `out`, and the next memory.

        Only the LSTM's memory is another than its state.
        """
        if self.mode == "GRU":
            state = _gru(x, _product(self.recurrent_bias, state, self.recurrent), state, out)
            return state, state
        gates = _product(x, state, self.recurrent)
        if self.mode == "LSTM":
            into, keep, new, shown = torch.split(gates.sigmoid_(), state.shape[1], dim=1)
            memory = torch.mul(keep, memory).addcmul_(into, new.sub_(0.5), value=4)
            zero = memory.new_zeros(())
            return torch.addcmul(zero, memory.sigmoid().sub_(0.5), shown, value=2, out=out), memory
        if self.mode == "RNN_TANH":
            state = torch.sub(gates.sigmoid_().mul_(2), 1, out=out)
        else:
            state = torch.clamp_min(gates, 0, out=out)
        return state, state


def _gru(x: torch.Tensor, recurrent: torch.Tensor, state: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    size = state.shape[1]
    gates = (x[:, : 2 * size] + recurrent[:, : 2 * size]).sigmoid_()
    reset, update = torch.split(gates, size, dim=1)
    candidate = torch.addcmul(x[:, 2 * size :], recurrent[:, 2 * size :], reset)
    return torch.lerp(candidate.sigmoid_().mul_(2).sub_(1), state, update, out=out)


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


class Scratch:
    """Memory that one call after the other writes its states into: fresh memory costs a sixth of the time."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], torch.Tensor] = {}

    def slots(self, place: tuple[int, int], like: torch.Tensor, *shape: int) -> torch.Tensor:
        """Uninitialised memory of a shape, which a later call for the same place takes back."""
        size = math.prod(shape)
        held = self._held.get(place)
        if held is None or held.numel() < size:
            held = self._held[place] = like.new_empty(size)
        return held[:size].view(shape)


def courses(
    layers: Sequence[nn.RNNBase], windows: torch.Tensor, window: int, wanted: range, scratch: Scratch
) -> list[Course]:
    """The last layer's states, one course for each direction.

    Args:
        layers: one after the other, all of one direction or all of both.
        windows: `[frame, feature]`, of all windows laid over each other: W - 1 frames more than windows.
        window: W.
        wanted: the steps, counted forwards, whose states of the last layer are read.
        scratch: where they lie until the next call with it.
    """
    count = len(windows) - window + 1
    below: list[Course] = []
    for position, layer in enumerate(layers):
        is_last = position == len(layers) - 1
        steps = wanted if is_last or not layer.bidirectional else range(window)
        found = []
        for direction in range(2 if layer.bidirectional else 1):
            cell = Cell.of(layer, "_reverse" if direction else "")
            last = window - 1 - steps.start if direction else steps.stop - 1
            if position == 0:
                inputs = _from_frames(cell, windows.flip(0) if direction else windows, count)
            else:
                inputs = _from_below(cell, below, direction, window, last)
            slots = (len(wanted) if is_last else last) + 1
            own = scratch.slots((position, direction), cell.recurrent, slots, count, layer.hidden_size)
            found.append(_course(cell, inputs, own, last))
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
    parts, common_from = [], 0
    for number, (course, weight) in enumerate(zip(below, weights, strict=True)):
        with_it = number == direction
        bias = torch.zeros_like(cell.bias) if number else cell.bias
        common = None if course.common is None else _product(bias, course.common, weight)
        parts.append((course, weight, Course(course.own, course.steps, common), with_it))
        if common is None or (not with_it and last > window - course.steps):
            common_from = window
        elif with_it:
            common_from = max(common_from, course.steps - 1)

    def at(step: int) -> torch.Tensor:
        found: torch.Tensor | None = None
        for course, weight, projected, with_it in parts:
            own = step if with_it else window - 1 - step
            is_own = own < course.steps
            seen = course.at(own) if is_own else projected.at(own)
            seen = seen if with_it else seen.flip(0)
            if is_own:  # multiplied when it is due: kept, it would leave the cache
                found = _product(cell.bias if found is None else found, seen, weight)
            else:
                found = seen if found is None else found + seen
        assert found is not None
        return found

    return Inputs(at, common_from if common_from < window else None)


def _course(cell: Cell, inputs: Inputs, own: torch.Tensor, last: int) -> Course:
    """All steps up to `last`, or until the windows agree; `own` `[slot, window, unit]` is where they are put."""
    count = own.shape[1]
    state = memory = torch.zeros_like(own[0])
    for step in range(last + 1):
        before = state, memory
        state, memory = cell.step(inputs.at(step), state, memory, out=own[step % len(own)])
        look = inputs.common_from is not None and step > inputs.common_from and step % _LOOK_EVERY == 0
        if look and count > 1 and _agree(state, before[0]) and _agree(memory, before[1]):
            return Course(own, step + 1, _common(cell, inputs, state, memory, range(step + 1, last + 1)))
    return Course(own, last + 1, None)


def _agree(now: torch.Tensor, before: torch.Tensor) -> bool:
    """Whether each window's state is the one that the next window had a step earlier, at the same frame."""
    accepted = _ROUNDING * torch.finfo(now.dtype).eps * now.abs().amax().clamp_min(1)
    return all(
        bool((now[:-1:stride] - before[1::stride]).abs().amax() <= accepted) for stride in (len(now) // _FEW or 1, 1)
    )


def _common(cell: Cell, inputs: Inputs, state: torch.Tensor, memory: torch.Tensor, steps: range) -> torch.Tensor:
    """What the windows have now, and how the last of them goes on."""
    count = len(state)
    states = torch.cat([state, state.new_empty(len(steps), state.shape[1])])
    state, memory = state[-1:], memory[-1:]
    for row, step in enumerate(steps, count):
        state, memory = cell.step(inputs.at(step)[-1:], state, memory, out=states[row : row + 1])
    return states
