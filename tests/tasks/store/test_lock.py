"""One writer: a second process is refused by name, the same one may enter again, a dead one holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.errors import StoreError, StoreLockedError
from tasks.store.lock import writing

REPOSITORY = Path(__file__).parents[3]

_HOLD = """
import sys
from pathlib import Path
from tasks.store.lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
_TRY = """
import sys
from pathlib import Path
from schemas.errors import StoreLockedError
from tasks.store.lock import writing
try:
    with writing(Path(sys.argv[1])):
        print("got it")
except StoreLockedError as error:
    print(error)
"""


@contextmanager
def holder(root: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _HOLD, str(root)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def second(root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _TRY, str(root)], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_a_second_process_is_told_who_writes(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with writing(root):
        assert second(root) == (
            f"{root}: process {os.getpid()} is writing this store; wait for it to end, or use another --store"
        )
    assert second(root) == "got it"


def test_the_first_process_is_told_of_the_second(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as process,
        pytest.raises(StoreLockedError, match=f"process {process.pid} is writing"),
        writing(tmp_path),
    ):
        raise AssertionError("two writers")


def test_one_process_may_enter_again(tmp_path: Path) -> None:
    with writing(tmp_path):
        with writing(tmp_path):
            assert "is writing" in second(tmp_path)
        assert "is writing" in second(tmp_path)
    assert second(tmp_path) == "got it"


def test_two_stores_are_two_locks(tmp_path: Path) -> None:
    with writing(tmp_path / "a"):
        assert second(tmp_path / "b") == "got it"


def test_a_killed_writer_frees_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with writing(tmp_path):
            assert str(os.getpid()) in second(tmp_path)


def test_an_error_inside_frees_it_and_stays_itself(tmp_path: Path) -> None:
    for error in (ZeroDivisionError("inside"), PermissionError("inside"), OSError("inside")):
        with pytest.raises(type(error), match="inside") as caught, writing(tmp_path):
            raise error
        assert caught.value is error
    assert second(tmp_path) == "got it"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    for root in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match=r"file.*cannot be written"), writing(root):
            raise AssertionError("written")


def test_the_first_to_enter_removes_what_dead_writers_left(tmp_path: Path) -> None:
    left = tmp_path / "frames" / "A" / ".tmp-0badcafe-part-00000.parquet.tmp"
    other = tmp_path / ".tmp-mine"
    left.parent.mkdir(parents=True)
    for path in (left, other):
        path.touch()
    with writing(tmp_path):
        assert (left.exists(), other.exists()) == (False, True)
        left.touch()
        with writing(tmp_path):
            assert left.exists()


def test_a_store_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"st\xe9")
    with pytest.raises(StoreError, match=r"st\\udce9: expected a path in UTF-8"), writing(root):
        pass
    assert not root.exists()
