"""Augmentation against scipy's resampling and against loops."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import ndimage

from models.image_augmentation import erased, relit, resized, shifted_views, warped

STILL = {"flip": 0.0, "shift": 0, "rotation_degrees": 0.0, "scale": 0.0}


def images(batch: int = 6, channels: int = 1, height: int = 20, width: int = 20) -> torch.Tensor:
    """Smooth synthetic pictures."""
    noise = np.random.default_rng(0).uniform(0, 255, size=(batch, channels, height, width))
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, 1, 1))).float()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def warp(pictures: torch.Tensor, seed: int = 0, **changes: float) -> torch.Tensor:
    return warped(pictures, **{**STILL, **changes}, generator=seeded(seed))  # type: ignore[arg-type]


def test_nothing_asked_for_is_nothing_done() -> None:
    pictures = images()
    chance = seeded()
    assert warped(pictures, flip=0, shift=0, rotation_degrees=0, scale=0, generator=chance) is pictures
    assert relit(pictures, brightness=0, contrast=0, generator=chance) is pictures
    assert erased(pictures, probability=0, area=(0.1, 0.2), generator=chance) is pictures


def test_a_flip_is_a_flip() -> None:
    pictures = images()
    assert torch.allclose(warp(pictures, flip=1.0), pictures.flip(-1), atol=1e-3)
    mixed = warp(images(200), flip=0.5)
    flipped = (mixed - images(200)).abs().amax(dim=(1, 2, 3)) > 1
    assert 70 < int(flipped.sum()) < 130
    assert torch.allclose(mixed[flipped], images(200)[flipped].flip(-1), atol=1e-3)


def test_shifts_move_whole_pixels_and_mirror_the_border() -> None:
    pictures = images(64, height=20, width=16)
    found = warp(pictures, shift=3)
    seen = set()
    for before, after in zip(pictures, found, strict=True):
        padded = np.pad(before[0].numpy(), 3, mode="symmetric")
        moves = [
            (y, x)
            for y in range(7)
            for x in range(7)
            if np.allclose(padded[y : y + 20, x : x + 16], after[0], atol=1e-2)
        ]
        assert len(moves) == 1
        seen.add(moves[0])
    assert len(seen) > 25
    assert max(max(move) for move in seen) == 6
    assert min(min(move) for move in seen) == 0


@pytest.mark.parametrize(("degrees", "scale"), [(30.0, 0.0), (0.0, 0.3), (25.0, 0.2)])
def test_turning_and_scaling_are_scipys(degrees: float, scale: float) -> None:
    """The same draws, put through scipy's affine transform: [height, width] coordinates about the middle."""
    pictures = images(5, height=20, width=26)
    found = warp(pictures, seed=3, rotation_degrees=degrees, scale=scale)
    chance = seeded(3)
    torch.rand(5, generator=chance)  # flips
    torch.randint(0, 1, (2, 5), generator=chance)  # shifts
    turns = ((2 * torch.rand(5, generator=chance) - 1) * math.radians(degrees)).numpy()
    zooms = ((2 * torch.rand(5, generator=chance) - 1) * math.log1p(scale)).exp().numpy()
    assert (np.abs(turns) <= math.radians(degrees)).all()
    middle = np.array([9.5, 12.5])
    for before, after, turn, zoom in zip(pictures, found, turns, zooms, strict=True):
        matrix: npt.NDArray[np.float64] = zoom * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        wanted = ndimage.affine_transform(
            before[0].double().numpy(), matrix, offset=middle - matrix @ middle, order=1, mode="reflect"
        )
        assert np.allclose(after[0].numpy(), wanted, atol=0.05)


def test_light_changes_within_bounds() -> None:
    pictures = images(300).clamp(60, 160)
    found = relit(pictures, brightness=0.2, contrast=0.0, generator=seeded())
    factors = (found / pictures).flatten(1)
    assert torch.allclose(factors.amax(dim=1), factors.amin(dim=1), rtol=1e-4)
    assert 0.8 <= float(factors.min()) < 0.85 < 1.15 < float(factors.max()) <= 1.2001
    flat = relit(pictures, brightness=0.0, contrast=0.3, generator=seeded())
    assert torch.allclose(flat.mean(dim=(1, 2, 3)), pictures.mean(dim=(1, 2, 3)), rtol=1e-4)
    spreads = flat.std(dim=(1, 2, 3)) / pictures.std(dim=(1, 2, 3))
    assert 0.7 <= float(spreads.min()) < 0.75 < 1.25 < float(spreads.max()) <= 1.3001
    bright = relit(torch.full((50, 1, 4, 4), 250.0), brightness=0.5, contrast=0.5, generator=seeded())
    assert float(bright.max()) <= 255


def test_erasing_paints_one_rectangle_with_the_mean() -> None:
    pictures = images(400, channels=3, height=24, width=32)
    found = erased(pictures, probability=0.5, area=(0.05, 0.3), generator=seeded())
    changed = (found != pictures).any(dim=1)
    painted = changed.flatten(1).any(dim=1)
    assert 150 < int(painted.sum()) < 250
    for index in torch.nonzero(painted)[:, 0].tolist():
        rows, columns = changed[index].any(dim=1).nonzero(), changed[index].any(dim=0).nonzero()
        top, bottom, left, right = int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
        assert bool(changed[index, top : bottom + 1, left : right + 1].all())
        share = (bottom - top + 1) * (right - left + 1) / (24 * 32)
        assert 0.03 < share < 0.37  # whole pixels
        inside = found[index, :, top : bottom + 1, left : right + 1]
        assert torch.allclose(inside, pictures[index].mean().expand_as(inside), atol=1e-3)


def test_sizes_and_channels() -> None:
    pixels = torch.randint(0, 256, (3, 1, 48, 48), dtype=torch.uint8)
    assert torch.equal(resized(pixels, size=48, channels=1), pixels.float())
    coloured = resized(pixels, size=48, channels=3)
    assert torch.equal(coloured, pixels.float().repeat(1, 3, 1, 1))
    for size in (24, 64):
        other = [
            Image.fromarray(one[0].float().numpy()).resize((size, size), Image.Resampling.BILINEAR) for one in pixels
        ]
        assert np.allclose(
            resized(pixels, size=size, channels=1)[:, 0], np.stack([np.asarray(one) for one in other]), atol=1e-3
        )
    colour = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.allclose(resized(colour, size=8, channels=1)[:, 0], colour.float().mean(dim=1))


def test_views() -> None:
    pictures = images(2)
    assert [len(shifted_views(pictures, views, step=2)) for views in (1, 2, 10)] == [1, 2, 10]
    one, mirrored = shifted_views(pictures, 2, step=2)
    assert torch.equal(one, pictures)
    assert torch.equal(mirrored, pictures.flip(-1))
    ten = shifted_views(pictures, 10, step=2)
    assert torch.equal(ten[1][:, :, 2:, 2:], pictures[:, :, :-2, :-2])
    assert all(torch.equal(view.flip(-1), other) for view, other in zip(ten[:5], ten[5:], strict=True))
