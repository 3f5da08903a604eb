"""One writer per store. Readers are never blocked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from schemas.errors import StoreError, StoreLockedError
from tasks.store.parts import remove_unfinished


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Hold the writer's lock of the store at `root`; re-entrant within a process, freed by the kernel when it dies.

    Whoever gets it first removes the unfinished files of writers that died.

    Raises:
        StoreLockedError: another process holds it.
        StoreError: the store's folder cannot be made or written, or its name is not UTF-8.
    """
    if str(root) != (name := str(root).encode("utf-8", "backslashreplace").decode("utf-8")):
        raise StoreError(f"{name}: expected a path in UTF-8, found other bytes; use another --store")
    owner = root / ".lock-owner"
    with ExitStack() as held:
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(root / ".lock", timeout=0, is_singleton=True, thread_local=False)
            is_first = not lock.is_locked
            held.enter_context(lock)
            if is_first:
                remove_unfinished(root)
            owner.write_text(f"{os.getpid()}\n", encoding="utf-8")
        except Timeout as error:
            pid = owner.read_text(encoding="utf-8").strip() if owner.exists() else "unknown"
            raise StoreLockedError(
                f"{root}: process {pid} is writing this store; wait for it to end, or use another --store"
            ) from error
        except OSError as error:
            raise StoreError(
                f"{root}: cannot be written ({error}); fix its permissions or use another --store"
            ) from error
        yield
