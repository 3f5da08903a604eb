"""Windows beside plain Python loops; none is copied before its batch is due."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.windows import WindowedSequences, hold_last_valid, window_view


def naive_window(sequence: torch.Tensor, end: int, window: int) -> torch.Tensor:
    """The W frames that end at `end`; before frame 0, frame 0 again."""
    return torch.stack([sequence[max(step, 0)] for step in range(end - window + 1, end + 1)])


def naive_labels(values: torch.Tensor, end: int, window: int) -> torch.Tensor:
    missing = torch.full_like(values[0], float("nan"))
    return torch.stack([values[step] if step >= 0 else missing for step in range(end - window + 1, end + 1)])


@pytest.mark.parametrize("window", [1, 2, 7, 30])
@pytest.mark.parametrize("stride", [1, 3])
def test_batches_are_those_of_a_loop(window: int, stride: int) -> None:
    rng = torch.Generator().manual_seed(window)
    features = [torch.rand(length, 4, generator=rng) for length in (12, 1, 25)]
    labels = [torch.rand(len(one), 2, generator=rng) for one in features]
    labels[0][3] = float("nan")
    windows = WindowedSequences(features, labels, window=window, stride=stride)
    expected = [
        (naive_window(sequence, end, window), naive_labels(values, end, window))
        for sequence, values in zip(features, labels, strict=True)
        for end in range(0, len(sequence), stride)
    ]
    assert len(windows) == len(expected)
    order = torch.randperm(len(windows), generator=rng)
    found_features, found_labels = windows.batch(order)
    assert found_features.shape == (len(order), window, 4)
    for row, k in enumerate(order.tolist()):
        assert torch.equal(found_features[row], expected[k][0])
        np.testing.assert_array_equal(found_labels[row].numpy(), expected[k][1].numpy())


def test_no_window_reaches_into_another_recording() -> None:
    features = [torch.full((5, 1), float(k)) for k in range(3)]
    windows = WindowedSequences(features, [torch.zeros(5, 1)] * 3, window=4)
    found, _ = windows.batch(torch.arange(len(windows)))
    assert all(len(one.unique()) == 1 for one in found)


def test_memory_is_one_copy_of_the_features() -> None:
    features = [torch.rand(1000, 8), torch.rand(500, 8)]
    windows = WindowedSequences(features, [torch.rand(1000, 1), torch.rand(500, 1)], window=100)
    assert windows.features.shape == (1500 + 2 * 99, 8)
    assert len(windows) == 1500


@pytest.mark.parametrize("window", [1, 5, 40])
def test_the_view_shares_memory(window: int) -> None:
    features = torch.rand(20, 6)
    view = window_view(features, window=window)
    assert view.shape == (20, window, 6)
    for end in range(20):
        assert torch.equal(view[end], naive_window(features, end, window))
    assert view.untyped_storage().nbytes() == (20 + window - 1) * 6 * 4
    if window > 1:
        assert view[5, 0].data_ptr() == view[4, 1].data_ptr()


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="expected one label row for each frame, got 4 for 5"):
        WindowedSequences([torch.zeros(5, 2)], [torch.zeros(4, 1)], window=2)


@given(valid=st.lists(st.booleans(), max_size=30))
def test_gaps_hold_the_last_face(valid: list[bool]) -> None:
    features = torch.arange(len(valid), dtype=torch.float32)[:, None] + torch.tensor([0.0, 100.0])
    start = torch.tensor([-1.0, -2.0])
    found = hold_last_valid(features, torch.tensor(valid, dtype=torch.bool), start=start)
    last, expected = start, []
    for row, known in zip(features, valid, strict=True):
        last = row if known else last
        expected.append(last)
    assert found.shape == features.shape
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
