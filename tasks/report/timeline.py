"""Where a recording shows its face and where it does not, as a few bytes a frame and as a bar to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import StoreError
from schemas.tables import CHIP_BYTES, CHIP_SIZE
from tasks.report.ink import FACE_COLOURS
from tasks.store.parts import read_provenance

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

SOURCES = tuple(FACE_COLOURS)


@dataclass(frozen=True)
class Timeline:
    """Every row's time and source: 9 bytes for each frame. `sources` holds indices into `SOURCES`."""

    times: npt.NDArray[np.float64]
    sources: npt.NDArray[np.int8]

    @property
    def num_frames(self) -> int:
        return len(self.times)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the frames by `face_source`, 0 to 1."""
        import numpy as np

        counts = np.bincount(self.sources, minlength=len(SOURCES))
        return {name: float(count) / max(self.num_frames, 1) for name, count in zip(SOURCES, counts, strict=True)}

    def binned_shares(self, num_bins: int, duration: float) -> npt.NDArray[np.float64]:
        """`[bin, source]`: shares of the frames in each of `num_bins` equal, half-open bins of `[0, duration)`.

        A bin without a frame of its own shows what the last frame before it showed.
        """
        import numpy as np

        position = np.clip((self.times / duration * num_bins).astype(np.int64), 0, num_bins - 1)
        counts = np.zeros((num_bins, len(SOURCES)))
        np.add.at(counts, (position, self.sources), 1)
        totals = counts.sum(axis=1)
        last = np.maximum.accumulate(np.where(totals > 0, np.arange(num_bins), position[0]))
        at = np.maximum(np.searchsorted(self.times, (last + 1) * duration / num_bins, side="left") - 1, 0)
        single = np.eye(len(SOURCES))[self.sources[at]]
        filled: npt.NDArray[np.float64] = np.where(totals[:, None] > 0, counts / np.maximum(totals, 1)[:, None], single)
        return filled


def read_timeline(parts: Sequence[Path]) -> Timeline:
    """Read times and sources of all rows.

    Raises:
        StoreError: the rows are not those of frames 0, 1, 2, ... in order.
    """
    import numpy as np
    import pyarrow.parquet as pq

    times, sources = [np.empty(0)], [np.empty(0, np.int8)]
    expected = 0
    number = {name: index for index, name in enumerate(SOURCES)}
    for part in parts:
        read_provenance(part)
        table = pq.read_table(part, columns=["frame_index", "time_seconds", "face_source"])
        index = table["frame_index"].to_numpy()
        if not np.array_equal(index, np.arange(expected, expected + len(index))):
            raise StoreError(f"{part}: expected the rows of frames from {expected} on; run `affectflow faces` again")
        expected += len(index)
        times.append(table["time_seconds"].to_numpy())
        sources.append(np.array([number[name] for name in table["face_source"].to_pylist()], np.int8))
    return Timeline(np.concatenate(times), np.concatenate(sources))


def chip_image(chip: bytes) -> npt.NDArray[np.uint8]:
    """A stored chip as `[96, 96, 3]` RGB or `[96, 96]` gray, by its number of bytes."""
    import numpy as np

    pixels = np.frombuffer(chip, np.uint8)
    if len(pixels) == CHIP_BYTES["gray96"]:
        return pixels.reshape(CHIP_SIZE, CHIP_SIZE)
    return pixels.reshape(CHIP_SIZE, CHIP_SIZE, 3)


def shares_bar(timeline: Timeline, width: int, height: int, duration: float) -> Image:
    """A bar from start to end: in each column, shares of its frames by source, `none` on top, one pixel of it at least.

    A single lost frame stays visible in a bar of hours.
    """
    import numpy as np
    from PIL import Image as pillow  # noqa: N813

    shares = timeline.binned_shares(width, duration)
    none = SOURCES.index("none")
    rows = np.where(shares[:, none] > 0, np.maximum(np.ceil(shares[:, none] * height), min(4, height)), 0)
    tracked = np.rint(shares[:, SOURCES.index("tracked")] * height)
    pixels = np.empty((height, width, 3), np.uint8)
    depth = np.arange(height)[:, None]
    pixels[:] = _rgb(FACE_COLOURS["detected"])
    pixels[depth < rows + tracked] = _rgb(FACE_COLOURS["tracked"])
    pixels[depth < rows] = _rgb(FACE_COLOURS["none"])
    return pillow.fromarray(pixels)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
