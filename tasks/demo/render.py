"""Frames of one subject: the portrait, warped by expression, turned by pose, lit, and set before a background.

Everything runs on one torch thread in a fixed order, so that a recording's frames depend on its seed alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.demo.expression import VALENCE_LEVELS, expression_fields, eyelids, lip_gap, neutral_field, neutral_landmarks
from tasks.demo.geometry import (
    FACE_GRID,
    Grid,
    apply_affine,
    canonical_landmarks,
    inverse_affine,
    rim_window,
    to_canonical,
)
from tasks.demo.portraits import Portrait, load_portrait
from tasks.demo.subjects import FloatArray, Motion, Subject, generator

_TEXTURE = Grid(left=-4.0, right=4.0, top=-2.4, bottom=4.0, step=1 / 80)
_PIVOT = (0.0, 1.9)  # the head turns about the neck, IOD
_STILL_FROM, _STILL_TO, _STILL_SHARE = 1.7, 3.2, 0.3  # shoulders follow the head less
_MOUTH_INSIDE = (58.0, 26.0, 26.0)
_NOISE_TILES = 4
_NOISE_MARGIN = 32


class FaceRenderer:
    """Renders one subject at any valence and any moment of its motion.

    Holds the portrait as textures in the canonical frame at about the resolution of the output, the warps, and the
    places of the output's pixels in the canonical frame at rest.
    """

    def __init__(self, subject: Subject, motion: Motion, *, seed: int) -> None:
        portrait = load_portrait(subject.portrait)
        portrait = portrait.mirrored() if subject.mirrored else portrait
        own = canonical_landmarks(portrait.landmarks)
        neutral = neutral_landmarks(own)
        fields = expression_fields(neutral, subject.identity)
        self.subject, self.motion = subject, motion
        awake, asleep = _textures(subject.portrait, subject.mirrored)
        self._eyes_open, self._eyes_shut = _dressed(awake, subject), _dressed(asleep, subject)
        self._mouth = torch.from_numpy(fields.mouth)
        self._brow_raise = torch.from_numpy(fields.brow_raise).movedim(-1, 0)
        self._basis = _places_basis(subject)
        self._across = torch.linspace(-1, 1, subject.width)[None, None, :]
        self._background = _background(subject, seed=seed)
        rng = generator(seed, subject.recording_id, "grain")
        size = (_NOISE_TILES, 3, subject.height + _NOISE_MARGIN, subject.width + _NOISE_MARGIN)
        self._noise = torch.from_numpy(rng.standard_normal(size, dtype=np.float32)) * subject.grain + 0.5  # rounds
        frames = len(motion.x)
        self._noise_at = rng.integers(0, (_NOISE_TILES, _NOISE_MARGIN, _NOISE_MARGIN), size=(frames, 3))

    def render(self, frames: range, valence: FloatArray) -> NDArray[np.uint8]:
        """Frames [frame, height, width, 3] RGB, for the moments `frames` of the motion.

        Args:
            frames: which moments, half-open.
            valence: [frame], -1..1, one for each of them.
        """
        with torch.inference_mode():
            at = torch.arange(frames.start, frames.stop)
            turns = self._turns(at)
            on_face, on_texture = (self._places(turns, grid) for grid in (FACE_GRID, _TEXTURE))
            source = _read(self._fields(torch.from_numpy(np.asarray(valence)), at), on_face).add_(
                on_texture.movedim(-1, 1)
            )
            source = source.movedim(1, -1)
            picture = _read(self._eyes_open, source)
            blink = torch.from_numpy(self.motion.blink)[at].float()
            shut = (blink > 0).nonzero()[:, 0]
            if len(shut):
                picture[shut] = torch.lerp(
                    picture[shut], _read(self._eyes_shut, source[shut]), blink[shut, None, None, None]
                )
            lit = torch.addcmul(picture[:, :3], self._background, picture[:, 3:])
            light = self._moments("light", at)[:, None] + self._moments("light_side", at)[:, None] * self._across
            height, width = self.subject.height, self.subject.width
            for position, (tile, down, right) in enumerate(self._noise_at[frames.start : frames.stop]):
                grain = self._noise[tile, :, down : down + height, right : right + width]
                torch.addcmul(grain, lit[position], light[position], out=lit[position])
            done: NDArray[np.uint8] = lit.clamp_(0, 255).to(torch.uint8).movedim(1, -1).contiguous().numpy()
            return done

    def _moments(self, name: str, at: Tensor) -> Tensor:
        """One quantity of the motion [frame, 1] at the frames `at`."""
        curve: FloatArray = getattr(self.motion, name)
        return torch.from_numpy(curve)[at].float()[:, None]

    def _turns(self, at: Tensor) -> Tensor:
        """Coefficients [frame, 2, 6] of `_places_basis` that undo each frame's head pose, in the canonical frame."""
        motion = self.motion
        scale = torch.from_numpy(motion.scale)[at]
        roll = torch.from_numpy(motion.roll_radians)[at]
        right, down = torch.from_numpy(motion.x)[at], torch.from_numpy(motion.y)[at]
        cos, sin = torch.cos(roll) / scale, torch.sin(roll) / scale
        one, zero = torch.ones_like(cos), torch.zeros_like(cos)
        # place = rest + follows * (turn @ (rest - pivot - shift) - (rest - pivot))
        x = [one, zero, cos - 1, sin, -cos * right - sin * down, zero]
        y = [zero, one, -sin, cos - 1, sin * right - cos * down, zero]
        return torch.stack([torch.stack(x, dim=-1), torch.stack(y, dim=-1)], dim=1).float()

    def _places(self, turns: Tensor, grid: Grid) -> Tensor:
        """Where every pixel lies on the unturned head, as `grid_sample` counts on `grid`: [frame, height, width, 2]."""
        middle, half = _middle_and_half(grid)
        scaled = turns / half[:, None]
        scaled[..., 5] -= middle / half
        places = torch.matmul(scaled, self._basis)
        return places.view(len(turns), 2, self.subject.height, self.subject.width).movedim(1, -1)

    def _fields(self, valence: Tensor, at: Tensor) -> Tensor:
        """Backward displacements [frame, 2, rows, columns] on the face's grid, in the texture's sampling units."""
        levels = len(VALENCE_LEVELS)
        level = (valence.clamp(-1, 1) + 1) * (levels - 1) / 2
        below = level.long().clamp(max=levels - 2)
        above = (level - below)[:, None].float()
        opening = torch.from_numpy(self.motion.opening)[at][:, None].float()
        weights = torch.zeros(len(at), levels, 2)
        pair = torch.cat([1 - opening, opening], dim=1)
        rows = torch.arange(len(at))
        weights[rows, below] = (1 - above) * pair
        weights[rows, below + 1] = above * pair
        raised = torch.from_numpy(self.motion.brow_raise)[at].float()[:, None, None, None]
        worn = torch.einsum("nlo,lohwc->nchw", weights, self._mouth) + raised * self._brow_raise
        # The expression turns with the head: it is read where the turn has taken it.
        turn = torch.stack([torch.from_numpy(angle)[at] for angle in (self.motion.yaw, self.motion.pitch)], dim=-1)
        turned = -_depth() * turn.float()[:, :, None, None]
        middle, half = _middle_and_half(FACE_GRID)
        lattice = torch.from_numpy(FACE_GRID.points()).float()
        field = turned + _read(worn, (lattice + turned.movedim(1, -1) - middle) / half)
        return field / _middle_and_half(_TEXTURE)[1][:, None, None]


@cache
def _textures(name: str, mirrored: bool) -> tuple[Tensor, Tensor]:
    """A portrait without its own expression, eyes open and eyes shut, in the canonical frame.

    Each [4, rows, columns]: colour 0..255 and opacity 0..1.
    """
    portrait = load_portrait(name)
    portrait = portrait.mirrored() if mirrored else portrait
    own = canonical_landmarks(portrait.landmarks)
    neutral = neutral_landmarks(own)
    face = replace(FACE_GRID, step=0.02)
    field = torch.from_numpy(neutral_field(own, neutral, face.points()) * rim_window(face)).float()
    lattice = _TEXTURE.points()
    places = torch.from_numpy(lattice).float()[None]
    middle, half = _middle_and_half(face)
    warp = _read(field.movedim(-1, 0), (places - middle) / half).movedim(1, -1)
    canonical = (places + warp)[0].double().numpy()
    pixels = apply_affine(inverse_affine(to_canonical(portrait.landmarks)), canonical)
    texture = _read_portrait(portrait, torch.from_numpy(pixels).float())
    inside = torch.from_numpy(lip_gap(neutral, lattice, softness=0.02)).float()
    texture[:3] = torch.lerp(texture[:3], torch.tensor(_MOUTH_INSIDE)[:, None, None], inside)
    return texture, _shut(texture, neutral, lattice)


def _shut(texture: Tensor, neutral: FloatArray, lattice: FloatArray) -> Tensor:
    """The texture with lids drawn over the eyes, in the colour of the skin below them."""
    shut = texture.clone()
    for layers in eyelids(neutral, lattice):
        lid, lashes, below = (torch.from_numpy(layer).float() for layer in layers)
        skin = (texture[:3] * below).sum(dim=(1, 2)) / below.sum()
        shut[:3] = torch.lerp(shut[:3], 0.90 * skin[:, None, None], lid)
        shut[:3] = torch.lerp(shut[:3], 0.35 * skin[:, None, None], 0.8 * lashes)
    return shut


def _places_basis(subject: Subject) -> Tensor:
    """What the place of a pixel is a sum of [6, height * width]: rest x and y, moving x and y, moving, and 1.

    `rest` is the pixel's place in the canonical frame while the head is still; `moving` is 1 on the head and less on
    the shoulders, alone and times the place seen from the neck.
    """
    columns = (torch.arange(subject.width) - subject.centre[0]) / subject.iod_pixels
    rows = (torch.arange(subject.height) - subject.centre[1]) / subject.iod_pixels
    x, y = torch.meshgrid(columns, rows, indexing="xy")
    ramp = ((y - _STILL_FROM) / (_STILL_TO - _STILL_FROM)).clamp(0, 1)
    moving = 1 - (1 - _STILL_SHARE) * ramp * ramp * (3 - 2 * ramp)
    basis = [x, y, moving * (x - _PIVOT[0]), moving * (y - _PIVOT[1]), moving, torch.ones_like(x)]
    return torch.stack(basis).flatten(1).float()


def _read(layers: Tensor, places: Tensor) -> Tensor:
    """Layers [channel, rows, columns], or [frame, ...], at `places` [frame, height, width, 2]: [frame, channel, ..]."""
    expanded = layers.expand(len(places), *layers.shape[-3:])
    return F.grid_sample(expanded, places, padding_mode="border", align_corners=True)


def _read_portrait(portrait: Portrait, pixels: Tensor) -> Tensor:
    """Bicubic samples [4, rows, columns] of a portrait and its opacity at [rows, columns, 2] pixels."""
    height, width = portrait.opacity.shape
    layers = torch.from_numpy(np.concatenate([portrait.pixels, portrait.opacity[..., None]], axis=-1)).movedim(-1, 0)
    unit = pixels / torch.tensor([width - 1, height - 1]) * 2 - 1
    read = F.grid_sample(layers[None], unit[None], mode="bicubic", padding_mode="border", align_corners=True)[0]
    read[:3].clamp_(0, 255)
    read[3].clamp_(0, 1)
    # The chest ends where the photograph does; above it the cap is repeated.
    read[3] *= ((height + 2 - pixels[..., 1]) / 4).clamp(0, 1)
    return read


def _dressed(texture: Tensor, subject: Subject) -> Tensor:
    """The texture at the output's resolution, in the subject's colours and light.

    Returns: [4, rows, columns]: colour 0..255 times opacity, and transparency 0..1, ready to be laid over a wall.
    """
    rows, columns = (round((count - 1) * _TEXTURE.step * subject.iod_pixels * 1.1) + 1 for count in _TEXTURE.shape)
    sized = F.interpolate(texture[None], size=(rows, columns), mode="bilinear", align_corners=False, antialias=True)[0]
    sized = _blur(sized, subject.blur_pixels * 1.1)
    colour = (sized[:3] / 255).clamp(1e-4, 1) ** subject.gamma
    gray = (colour * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=0)
    colour = gray + subject.saturation * (colour - gray)
    colour = 0.45 + subject.contrast * (colour - 0.45)
    across = torch.linspace(_TEXTURE.left, _TEXTURE.right, columns)
    light = 1 + subject.side_light * torch.tanh(across / 0.9)
    colour = colour * light * torch.tensor(subject.tint)[:, None, None]
    return torch.cat([colour.clamp(0, 1.05) * 255 * sized[3:], 1 - sized[3:]])


def _blur(image: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [channel, rows, columns], edges repeated."""
    radius = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None, :]), kernel[None, None, :, None])[:, 0]


def _background(subject: Subject, *, seed: int) -> Tensor:
    """A wall between two colours with a few soft patches [3, height, width], 0..255."""
    rng = generator(seed, subject.recording_id, "background")
    x, y = np.meshgrid(np.linspace(-1, 1, subject.width), np.linspace(-1, 1, subject.height))
    angle = rng.uniform(0, 2 * np.pi)
    share = 0.5 + 0.35 * (np.cos(angle) * x + np.sin(angle) * y)
    for _ in range(int(rng.integers(2, 6))):
        left, top = rng.uniform(-1.1, 0.9, size=2)
        wide, high = rng.uniform(0.15, 0.9, size=2)
        soft = rng.uniform(0.02, 0.15)
        patch = np.ones_like(x)
        for value, start, length in ((x, left, wide), (y, top, high)):
            patch = patch * _step((value - start) / soft) * _step((start + length - value) / soft)
        share = share + rng.uniform(-0.45, 0.45) * patch
    first, second = (np.array(colour) for colour in subject.background)
    wall = first + np.clip(share, 0, 1)[..., None] * (second - first)
    return torch.from_numpy(np.clip(wall, 8, 247).astype(np.float32)).movedim(-1, 0).contiguous()


def _step(value: FloatArray) -> FloatArray:
    raised: FloatArray = 0.5 + 0.5 * np.tanh(value)
    return raised


@cache
def _depth() -> Tensor:
    """How far the face stands out [rows, columns], IOD: what a turn of one radian moves it by."""
    points = FACE_GRID.points()
    depth = 0.75 * np.clip(1 - (points[..., 0] / 1.45) ** 2 - ((points[..., 1] - 0.45) / 1.6) ** 2, 0, 1)
    return torch.from_numpy(depth).float()


def _middle_and_half(grid: Grid) -> tuple[Tensor, Tensor]:
    """Centre and half size (x, y) of a grid: `grid_sample` counts -1 on its left or top edge, 1 on the other."""
    middle = torch.tensor([(grid.left + grid.right) / 2, (grid.top + grid.bottom) / 2])
    half = torch.tensor([(grid.right - grid.left) / 2, (grid.bottom - grid.top) / 2])
    return middle, half
