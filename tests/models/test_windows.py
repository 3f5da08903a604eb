"""Windows beside plain Python loops; none is copied before its batch is due."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.windows import WindowedSequences, causal_mean, hold_last_valid, repeat_ends


def naive_window(sequence: torch.Tensor, end: int, window: int) -> torch.Tensor:
    """The W frames up to and with `end`; before frame 0, frame 0 again, and behind the last the last."""
    last = len(sequence) - 1
    return torch.stack([sequence[min(max(step, 0), last)] for step in range(end - window + 1, end + 1)])


def naive_labels(values: torch.Tensor, end: int, window: int) -> torch.Tensor:
    missing = torch.full_like(values[0], float("nan"))
    steps = range(end - window + 1, end + 1)
    return torch.stack([values[step] if 0 <= step < len(values) else missing for step in steps])


def windowed(features: list[torch.Tensor], labels: list[torch.Tensor], **options: int) -> WindowedSequences:
    pairs = zip(features, labels, strict=True)
    return WindowedSequences(pairs, [len(one) for one in features], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("window", "lookahead"), [(1, 0), (2, 0), (7, 0), (30, 0), (2, 1), (7, 3), (30, 14)])
@pytest.mark.parametrize("stride", [1, 3])
def test_batches_are_those_of_a_loop(window: int, lookahead: int, stride: int) -> None:
    rng = torch.Generator().manual_seed(window)
    features = [torch.rand(length, 4, generator=rng) for length in (12, 1, 25)]
    labels = [torch.rand(len(one), 2, generator=rng) for one in features]
    labels[0][3] = float("nan")
    windows = windowed(features, labels, window=window, stride=stride, lookahead=lookahead)
    expected = [
        (naive_window(sequence, frame + lookahead, window), naive_labels(values, frame + lookahead, window))
        for sequence, values in zip(features, labels, strict=True)
        for frame in range(0, len(sequence), stride)
    ]
    assert len(windows) == len(expected)
    assert windows.target == window - 1 - lookahead
    for order in torch.split(torch.randperm(len(windows), generator=rng), 5):
        found_features, found_labels = windows.batch(order)
        assert found_features.shape == (len(order), window, 4)
        assert found_features.transpose(0, 1).is_contiguous()  # no layer has to copy it
        for row, k in enumerate(order.tolist()):
            assert torch.equal(found_features[row], expected[k][0])
            np.testing.assert_array_equal(found_labels[row].numpy(), expected[k][1].numpy())


def test_no_window_reaches_into_another_recording() -> None:
    features = [torch.full((5, 1), float(k)) for k in range(3)]
    for lookahead in (0, 2):
        windows = windowed(features, [torch.zeros(5, 1)] * 3, window=4, lookahead=lookahead)
        found, _ = windows.batch(torch.arange(len(windows)))
        assert all(len(one.unique()) == 1 for one in found)


def test_memory_is_one_copy_of_the_features_and_one_batch() -> None:
    alive = 0

    class Counted(torch.Tensor):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def one_by_one() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        nonlocal alive
        for frames in (1000, 500, 200):
            alive += 1
            assert alive <= 2  # the last one's name is only then given to the next
            yield torch.rand(frames, 8).as_subclass(Counted), torch.rand(frames, 1)

    windows = WindowedSequences(one_by_one(), [1000, 500, 200], window=100)
    assert windows.features.untyped_storage().nbytes() == (1700 + 3 * 99) * 8 * 4
    assert len(windows) == 1700
    first, _ = windows.batch(torch.arange(64))
    where = first.data_ptr()
    for size in (64, 3, 64):
        features, labels = windows.batch(torch.arange(size))
        assert features.data_ptr() == where
        assert (features.shape, labels.shape) == ((size, 100, 8), (size, 100, 1))


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="expected 5 frames and one label row for each, got 5 frames and 4 label rows"):
        windowed([torch.zeros(5, 2)], [torch.zeros(4, 1)], window=2)
    with pytest.raises(ValueError, match="expected 6 frames"):
        WindowedSequences([(torch.zeros(5, 2), torch.zeros(5, 1))], [6], window=2)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (2, 4)])
def test_ends_are_repeated(before: int, after: int) -> None:
    values = torch.arange(10.0).reshape(5, 2)
    found = repeat_ends(values, before=before, after=after)
    assert torch.equal(found, naive_window(values, 4 + after, 5 + before + after))


@pytest.mark.parametrize("shape", [(20, 3), (2, 20, 3), (1, 4)])
@pytest.mark.parametrize("frames", [1, 2, 8, 40])
def test_the_causal_mean_is_that_of_a_loop(shape: tuple[int, ...], frames: int) -> None:
    values = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(frames))
    expected = np.stack(
        [
            values.numpy()[..., max(0, step - frames + 1) : step + 1, :].mean(axis=-2)
            for step in range(values.shape[-2])
        ],
        axis=-2,
    )
    np.testing.assert_allclose(causal_mean(values, frames).numpy(), expected, rtol=1e-12)


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
