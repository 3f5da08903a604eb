"""How many samples an MP4 or QuickTime file says that it has, read before any decoder makes room for them.

A sample table may give one size for all of its samples (ISO 14496-12, 8.7.3.2; `trun` likewise, 8.8.8): then a file
of a few kilobytes can declare billions, and opening it would cost that many entries of an index.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_FIRST = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof"})
_FOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_DEPTH = len(_FOLDERS)


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int  # of its content
    end: int


def declared_samples(path: Path) -> dict[str, int]:
    """Samples by the kind of track (`vide`, `soun`, ...; `moof`: of all fragments); {} for files of another format.

    Raises OSError where the file cannot be read.
    """
    size = path.stat().st_size
    counts: dict[str, int] = {}
    kind = ""
    with path.open("rb") as file:
        if file.read(8)[4:] not in _FIRST:
            return counts
        for box in _boxes(file, 0, size):
            file.seek(box.start)
            if box.kind == b"hdlr":
                head = file.read(12)
                kind = kind if head[4:8] == b"dhlr" else head[8:].decode("latin-1")  # dhlr: QuickTime's data handler
            elif box.kind in (b"stsz", b"stz2", b"trun"):
                head = file.read(12).ljust(12, b"\0")
                count = int.from_bytes(head[4:8] if box.kind == b"trun" else head[8:12], "big")
                name = "moof" if box.kind == b"trun" else kind
                counts[name] = counts.get(name, 0) + count
    return counts


def _boxes(file: BinaryIO, start: int, end: int, depth: int = 0) -> Iterator[_Box]:
    """Every box in [start, end) and, after a folder, those within it; ends where a size makes no sense."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:  # it has become shorter since
            return
        size, kind = struct.unpack(">I4s", head)
        content = start + 8
        if size == 1:
            size, content = int.from_bytes(file.read(8), "big"), start + 16
        stop = min(start + size, end) if size else end
        if stop < content:
            return
        yield _Box(kind, content, stop)
        if kind in _FOLDERS and depth < _DEPTH:
            yield from _boxes(file, content, stop, depth + 1)
        start = stop
