"""Everybody else's rows, frame by frame, where the store has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.faces.plan import count_parts, stored_frames_key
from tasks.store.layout import Store, part_name
from tasks.store.parts import read_provenance

_COLUMNS = ("frame_index", "person", "box_left", "box_top", "box_right", "box_bottom")
_BATCH_ROWS = 1000


class OtherPeople:
    """The rows of `people` but the main person's. There are none where `people` do not go with the frames in the store.

    Args:
        store: where they stand.
        recording_id: whose.
    """

    def __init__(self, store: Store, recording_id: str) -> None:
        self._rows = _rows(_current_parts(store, recording_id))
        self._next = next(self._rows, None)

    def at(self, frame_index: int) -> list[dict[str, Any]]:
        """The rows of one frame; frames are asked for in order."""
        found = []
        while self._next is not None and self._next["frame_index"] <= frame_index:
            if self._next["frame_index"] == frame_index:
                found.append(self._next)
            self._next = next(self._rows, None)
        return found


def _current_parts(store: Store, recording_id: str) -> list[Path]:
    folder = store.people(recording_id)
    found = read_provenance(folder / part_name(0))
    if found is None or found["frames_key"] != stored_frames_key(store, recording_id):
        return []
    return [folder / part_name(number) for number in range(count_parts(folder, found["stage_key"]) or 0)]


def _rows(parts: list[Path]) -> Iterator[dict[str, Any]]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(_COLUMNS)):
                yield from (row for row in batch.to_pylist() if row["person"])
