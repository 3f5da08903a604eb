"""Stored chips decoded ahead of whoever works on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import StoreError
from tasks.training.data import as_chips

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """`map` on a pool's threads, in order, with at most `depth` results waiting or under way.

    Items are taken one by one as results are, so an endless supply of large ones stays cheap.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def stored_chips(pool: ThreadPoolExecutor, folders: Sequence[Path], depth: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Chips of every frame with a face, folder after folder in order, `[row, 96, 96, channel]`, a row group at a time.

    Args:
        pool: whose threads read and decode.
        folders: of the recordings' parts.
        depth: row groups decoded ahead, 7 MB each.

    Raises:
        StoreError: a part is not whole.
    """
    return (chips for chips in ahead(pool, _group_chips, _groups(folders), depth) if len(chips))


def _groups(folders: Sequence[Path]) -> Iterator[tuple[Path, pq.FileMetaData, int]]:
    for folder in folders:
        for path in sorted(folder.glob("part-*.parquet")):
            try:
                metadata = pq.read_metadata(path)
            except (OSError, pa.ArrowInvalid) as error:
                raise _damaged(path, error) from error
            for group in range(metadata.num_row_groups):
                yield path, metadata, group


def _group_chips(place: tuple[Path, pq.FileMetaData, int]) -> npt.NDArray[np.uint8]:
    path, metadata, group = place
    try:
        with pq.ParquetFile(path, metadata=metadata) as parquet:
            column = parquet.read_row_group(group, columns=["chip"], use_threads=False)["chip"].combine_chunks()
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error
    return as_chips(column.drop_null())


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: expected a whole Parquet file ({error}); delete it and run again")
