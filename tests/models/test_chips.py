"""What a network sees, beside PIL, scipy and loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import ndimage

from models.chips import Normalisation, augment, network_pixels

ByteArray = npt.NDArray[np.uint8]


@pytest.fixture
def chips() -> ByteArray:
    rng = np.random.default_rng(4)
    noise = rng.integers(0, 256, (5, 96, 96, 3), dtype=np.uint8)
    noise[3], noise[4] = 255, 0
    return noise


def seen(chips: ByteArray, *, size: int, channels: int) -> ByteArray:
    found: ByteArray = network_pixels(torch.from_numpy(chips), size=size, channels=channels).numpy()
    assert found.dtype == np.uint8
    return found


def test_gray_is_rec_601_luma(chips: ByteArray) -> None:
    found = seen(chips, size=96, channels=1)
    assert found.shape == (5, 1, 96, 96)
    for chip, gray in zip(chips, found[:, 0], strict=True):
        theirs = np.asarray(Image.fromarray(chip).convert("L")).astype(int)
        assert np.abs(gray.astype(int) - theirs).max() <= 1
        assert np.abs(gray - chip @ np.array([0.299, 0.587, 0.114])).max() <= 1
    assert (found[3] == 255).all()
    assert (found[4] == 0).all()
    by_hand = np.floor((chips.astype(int) @ np.array([77, 150, 29]) + 128) / 256)
    np.testing.assert_array_equal(found[:, 0], by_hand)


def test_colour_is_only_turned_over(chips: ByteArray) -> None:
    np.testing.assert_array_equal(seen(chips, size=96, channels=3), np.moveaxis(chips, -1, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_half_size_is_the_mean_of_two_by_two(chips: ByteArray, channels: int) -> None:
    whole = seen(chips, size=96, channels=channels).astype(np.int64)
    found = seen(chips, size=48, channels=channels)
    means = (whole[..., ::2, ::2] + whole[..., 1::2, ::2] + whole[..., ::2, 1::2] + whole[..., 1::2, 1::2]) / 4
    np.testing.assert_array_equal(found, np.floor(means + 0.5))


@pytest.mark.parametrize("size", [64, 112])
def test_another_size_is_interpolated(chips: ByteArray, size: int) -> None:
    found = seen(chips, size=size, channels=3)
    for chip, small in zip(chips, found, strict=True):
        theirs = np.asarray(Image.fromarray(chip).resize((size, size), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(np.moveaxis(small, 0, -1).astype(int) - theirs).max() <= 1


def test_gray_chips_stay_gray(chips: ByteArray) -> None:
    gray = chips[..., :1]
    np.testing.assert_array_equal(seen(gray, size=96, channels=1)[:, 0], gray[..., 0])
    with pytest.raises(ValueError, match="expected RGB chips"):
        seen(gray, size=96, channels=3)


def local_mean(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """5x5 mean over the pixels that exist: scipy's box filter of the image over that of ones."""
    total = ndimage.uniform_filter(image, 5, mode="constant")
    share = ndimage.uniform_filter(np.ones_like(image), 5, mode="constant")
    found: npt.NDArray[np.float64] = total / share
    return found


@pytest.mark.parametrize("mode", ["mean", "mean+local-mean", "mean+lcn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalisation_is_scipys(mode: str, channels: int) -> None:
    rng = np.random.default_rng(channels)
    pixels = rng.integers(0, 256, (3, channels, 48, 48), dtype=np.uint8)
    pixels[0, :, 10:30, 5:25] = 77  # a flat patch: its deviation is below the floor
    mean = rng.random((channels, 48, 48))
    layer = Normalisation(mode=mode, channels=channels, size=48).double()
    layer.mean.copy_(torch.from_numpy(mean))
    found = layer(torch.from_numpy(pixels)).numpy()
    for image, result in zip(pixels / 255 - mean, found, strict=True):
        if mode == "mean":
            np.testing.assert_allclose(result, image, atol=1e-12)
            continue
        local = image - np.stack([local_mean(one) for one in image])
        if mode == "mean+lcn":
            spread = np.sqrt(np.stack([local_mean(one**2) for one in local]))
            local = local / np.maximum(spread, spread.mean())
        np.testing.assert_allclose(result, local, rtol=1e-9, atol=1e-9)


def test_flat_pictures_give_zeros_not_nan() -> None:
    for mode in ("mean+local-mean", "mean+lcn"):
        layer = Normalisation(mode=mode, channels=1, size=48)
        found = layer(torch.full((2, 1, 48, 48), 130, dtype=torch.uint8))
        assert found.abs().max() < 1e-2
        assert torch.isfinite(found).all()


def chance(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PIXELS = torch.randint(0, 256, (40, 3, 24, 24), generator=chance(0), dtype=torch.uint8)


def test_augmentation_is_a_function_of_its_generator() -> None:
    torch.manual_seed(1)
    one = augment(PIXELS, shift_pixels=3, flip=0.5, colour_jitter=0.2, generator=chance(5))
    torch.manual_seed(2)
    other = augment(PIXELS, shift_pixels=3, flip=0.5, colour_jitter=0.2, generator=chance(5))
    assert torch.equal(one, other)
    assert not torch.equal(one, augment(PIXELS, shift_pixels=3, flip=0.5, colour_jitter=0.2, generator=chance(6)))
    assert one.dtype == torch.float32
    assert one.shape == PIXELS.shape
    assert float(one.min()) >= 0
    assert float(one.max()) <= 255


def test_without_augmentation_nothing_changes() -> None:
    found = augment(PIXELS, shift_pixels=0, flip=0.0, colour_jitter=0.0, generator=chance(5))
    assert torch.equal(found, PIXELS.float())


def test_flips_are_mirror_images_of_about_half() -> None:
    found = augment(PIXELS, shift_pixels=0, flip=0.5, colour_jitter=0.0, generator=chance(5))
    kinds = []
    for before, after in zip(PIXELS.float(), found, strict=True):
        kinds.append(torch.equal(after, torch.from_numpy(before.numpy()[..., ::-1].copy())))
        assert kinds[-1] or torch.equal(after, before)
    assert 10 <= sum(kinds) <= 30
    always = augment(PIXELS, shift_pixels=0, flip=1.0, colour_jitter=0.0, generator=chance(5))
    np.testing.assert_array_equal(always.numpy(), PIXELS.numpy()[..., ::-1].astype(np.float32))


def test_shifts_are_crops_of_the_zero_padded_picture() -> None:
    reach = 4
    found = augment(PIXELS, shift_pixels=reach, flip=0.0, colour_jitter=0.0, generator=chance(7)).numpy()
    padded = np.pad(PIXELS.numpy(), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    seen = set()
    for before, after in zip(padded, found, strict=True):
        places = [
            (top, left)
            for top in range(2 * reach + 1)
            for left in range(2 * reach + 1)
            if np.array_equal(before[:, top : top + 24, left : left + 24], after)
        ]
        assert len(places) == 1
        seen.add(places[0])
    tops, lefts = zip(*seen, strict=True)
    assert (min(tops), max(tops)) == (0, 2 * reach) == (min(lefts), max(lefts))


def test_colour_changes_are_bounded_factors() -> None:
    flat = torch.full((200, 3, 4, 4), 100, dtype=torch.uint8)
    found = augment(flat, shift_pixels=0, flip=0.0, colour_jitter=0.2, generator=chance(8))
    assert float(found.min()) >= 100 * 0.8 - 1e-3
    assert float(found.max()) <= 100 * 1.2 + 1e-3
    assert float(found.std()) > 5
    assert (found.amax(dim=(1, 2, 3)) - found.amin(dim=(1, 2, 3))).max() < 1e-3
    gray = augment(PIXELS[:, :1], shift_pixels=0, flip=0.0, colour_jitter=0.5, generator=chance(9))
    assert gray.shape == (40, 1, 24, 24)
