"""Contact sheets: one PNG for each recording, beside the report and inside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.progress import track
from tasks.report.quality import Quality, Span
from tasks.report.sheet import NUM_GAPS, read_sheet
from tasks.report.sheet_drawing import draw_sheet, with_palette
from tasks.report.words import count, number, precise_clock
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, replacing, stage_key

if TYPE_CHECKING:
    from PIL.Image import Image

STAGE_VERSION = 1
"""Raise when the same rows give another picture."""
FOLDER = "contact-sheets"
MOST_EMBEDDED = 24
"""Sheets inside the HTML page: those of the recordings with the fewest faces. All of them lie beside it."""

_KEY = "affectflow.stage_key"
_QUALITY = 80


@dataclass(frozen=True)
class ContactSheet:
    """One recording's sheet in the report."""

    recording_id: str
    path: Path
    width: int
    height: int
    data_uri: str
    """The picture, for a page that fetches nothing; "" where it is left out."""
    summary: str
    gaps: tuple[Span, ...]
    """The longest ones, in order of length."""
    num_gaps: int

    @property
    def gap_words(self) -> str:
        """The longest gaps in words."""
        return gap_words(self.gaps, self.num_gaps)

    @property
    def alt(self) -> str:
        return f"Contact sheet of {self.recording_id}. {self.summary}. {self.gap_words}"


def write_contact_sheets(store: Store, qualities: Sequence[Quality], *, tag: str) -> tuple[ContactSheet, ...]:
    """Write `S/reports/contact-sheets/ID.png` of every recording that has frames; one that is current stays as it is.

    Sheets of recordings that the store no longer has frames of are removed: they are pictures of people.

    Args:
        qualities: in the order of the report.
        tag: what every picture must say of the corpus, such as that it is synthetic; "" if nothing.

    Returns: the sheets in the same order, `MOST_EMBEDDED` of them with their picture.

    Raises:
        StoreError: rows cannot be read, or the folder cannot be written.
    """
    folder = store.reports / FOLDER
    shown = [quality for quality in qualities if quality.num_frames_decoded]
    by_share = sorted(shown, key=lambda quality: (quality.face_share or 0.0, quality.recording_id))
    embedded = {quality.recording_id for quality in by_share[:MOST_EMBEDDED]}
    sheets = []
    with track("contact sheets", len(shown), "recordings") as bar:
        for quality in shown:
            path = folder / f"{quality.recording_id}.png"
            sheets.append(_sheet(store, quality, path, tag=tag, embed=quality.recording_id in embedded))
            bar.advance()
    kept = {sheet.path for sheet in sheets}
    for path in folder.glob("*.png"):
        if path not in kept:
            path.unlink()
    return tuple(sheets)


def gap_words(gaps: Sequence[Span], num_gaps: int) -> str:
    """The gaps told with their times, and how many more there are.

    >>> gap_words([(75.0, 76.5)], 3)
    'No face from 1:15.000 to 1:16.500 (1.50 s) and in 2 shorter spans.'
    """
    if not num_gaps:
        return "A face in every frame."
    told = ", ".join(f"{precise_clock(a)} to {precise_clock(b)} ({number(b - a, 2)} s)" for a, b in gaps)
    more = f" and in {count(num_gaps - len(gaps), 'shorter span')}" if num_gaps > len(gaps) else ""
    return f"No face from {told}{more}."


def _sheet(store: Store, quality: Quality, path: Path, *, tag: str, embed: bool) -> ContactSheet:
    from PIL import Image as pillow  # noqa: N813

    parts = sorted(store.frames(quality.recording_id).glob("part-*.parquet"))
    inputs = [f"{part.name}:{(read_provenance(part) or {}).get('stage_key')}:{part.stat().st_size}" for part in parts]
    key = stage_key("contact-sheet", STAGE_VERSION, {"tag": tag}, [*inputs, str(quality.duration_seconds)])
    if not _is_current(path, key):
        _write_png(path, draw_sheet(read_sheet(parts, quality), tag=tag), key)
    with pillow.open(path) as picture:
        width, height = picture.size
        data_uri = _data_uri(picture.convert("RGB")) if embed else ""
    gaps = tuple(sorted(quality.gaps, key=lambda gap: (gap[0] - gap[1], gap[0])))
    share = 100 * (quality.face_share or 0.0)
    return ContactSheet(
        recording_id=quality.recording_id,
        path=path,
        width=width,
        height=height,
        data_uri=data_uri,
        summary=f"A face in {number(share, 1)} % of {count(quality.num_frames_decoded or 0, 'frame')}",
        gaps=gaps[:NUM_GAPS],
        num_gaps=len(gaps),
    )


def _is_current(path: Path, key: str) -> bool:
    from PIL import Image as pillow  # noqa: N813
    from PIL import UnidentifiedImageError

    try:
        with pillow.open(path) as picture:
            return picture.info.get(_KEY) == key
    except (FileNotFoundError, UnidentifiedImageError):
        return False


def _write_png(path: Path, picture: Image, key: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text(_KEY, key)
    with replacing(path) as unfinished:
        with_palette(picture).save(unfinished, format="PNG", pnginfo=said, optimize=True)


def _data_uri(picture: Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
