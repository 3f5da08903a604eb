"""Files and disks that fail while faces are extracted: a named error, a store that can be read, and a next run."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.errors import SourceError, StoreError
from schemas.settings import FacesSettings, IngestSettings
from schemas.tables import frames_schema
from tasks.faces.plan import frames_key, is_complete
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.faces.supervisor import extract_recording
from tasks.ingest.probe import VideoProbe, probe_video
from tasks.ingest.recordings import read_recordings
from tasks.ingest.source import check_source, is_same_file
from tasks.ingest.stage import ingest_corpus
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.parts import read_table

from .conftest import Ingested, Ingester, write_portrait

SETTINGS = FacesSettings(segment_frames=25, workers=1)
NUM_FRAMES = 30


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_portrait(tmp_path_factory.mktemp("film") / "short.mp4", list(range(NUM_FRAMES)))


@pytest.fixture(scope="module", autouse=True)
def workers() -> Iterator[None]:
    """Workers stay from one test to the next: their start takes longer than the work."""
    with worker_pool():
        yield


@pytest.fixture
def made(film: Path, ingested: Ingester, tmp_path: Path) -> Ingested:
    """A recording whose file may be changed."""
    path = tmp_path / "copy.mp4"
    path.write_bytes(film.read_bytes())
    return ingested(A=path)


def extract(made: Ingested) -> int:
    return extract_faces(made.store, made.recordings["A"], SETTINGS, workers=1).num_frames


def video(made: Ingested) -> Path:
    return Path(made.recordings["A"].path)


def failure(made: Ingested) -> str:
    [row] = read_failures(made.store).to_pylist()
    return str(row["error"])


def complete(made: Ingested) -> bool:
    return is_complete(made.store, "A", frames_key(made.recordings["A"], SETTINGS))


def rows(store: Store) -> int:
    return int(read_table(store.frames("A"), frames_schema("rgb96"), ["frame_index"]).num_rows)


def damage(path: Path) -> None:
    """Other bytes, same length, later time."""
    data = bytearray(path.read_bytes())
    data[-100] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))


def test_a_touched_file_is_still_the_same(made: Ingested) -> None:
    os.utime(video(made), ns=(1, 1))
    check_source(made.recordings["A"])


@pytest.mark.parametrize("change", [damage, lambda path: path.write_bytes(path.read_bytes() + b"more")])
def test_another_file_than_was_ingested(made: Ingested, change: Callable[[Path], object]) -> None:
    change(video(made))
    assert not is_same_file(made.recordings["A"])
    with pytest.raises(
        SourceError, match=r"copy\.mp4: expected the file that was ingested as A .*ingest the corpus again"
    ):
        extract(made)
    assert failure(made) == "SourceError"
    assert not list(made.store.frames("A").glob("*"))


def during(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Have the file changed once every frame of it is read."""
    run = extract_recording

    def changed(*arguments: object, **named: object) -> int:
        frames = run(*arguments, **named)  # type: ignore[arg-type]
        change()
        return frames

    monkeypatch.setattr("tasks.faces.stage.extract_recording", changed)


def test_a_file_that_changes_while_it_is_read_leaves_no_rows(
    made: Ingested, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = video(made).read_bytes()
    during(monkeypatch, lambda: damage(video(made)))
    with pytest.raises(SourceError, match="found another under that name"):
        extract(made)
    assert failure(made) == "SourceError"
    assert not list(made.store.frames("A").glob("*"))
    monkeypatch.undo()
    video(made).write_bytes(before)
    assert extract(made) == NUM_FRAMES
    assert read_failures(made.store).num_rows == 0


def test_a_file_that_goes_away_keeps_what_was_read_of_it(made: Ingested, monkeypatch: pytest.MonkeyPatch) -> None:
    away = video(made).with_name("away.mp4")
    during(monkeypatch, lambda: video(made).rename(away))
    with pytest.raises(SourceError, match=r"cannot be read .No such file"):
        extract(made)
    stamps = {path: path.stat().st_mtime_ns for path in made.store.frames("A").iterdir()}
    assert len(stamps) == 2
    with pytest.raises(SourceError, match="bring the file or its disk back"):
        check_source(made.recordings["A"])
    monkeypatch.undo()
    away.rename(video(made))
    assert extract(made) == NUM_FRAMES
    assert {path: path.stat().st_mtime_ns for path in made.store.frames("A").iterdir()} == stamps


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EACCES, errno.ENOTCONN])
def test_a_mount_that_fails(made: Ingested, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tasks.ingest.source.Path.stat", broken)
    with pytest.raises(SourceError, match=os.strerror(code)):
        is_same_file(made.recordings["A"])


def test_a_file_without_permission(made: Ingested) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read everything")
    video(made).chmod(0)
    with pytest.raises(SourceError, match="Permission denied"):
        extract(made)


def test_a_store_that_cannot_be_written(made: Ingested) -> None:
    """A file stands where the folder must go, which stops the superuser as well."""
    folder = made.store.frames("A").parent
    folder.write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="Not a directory"):
        extract(made)
    assert [one.recording_id for one in read_recordings(made.store)] == ["A"]
    folder.unlink()
    assert extract(made) == NUM_FRAMES


def test_a_damaged_part_is_named(made: Ingested) -> None:
    extract(made)
    part = sorted(made.store.frames("A").iterdir())[1]
    data = bytearray(part.read_bytes())
    data[4:3000] = bytes(2996)
    part.write_bytes(data)
    with pytest.raises(
        StoreError, match=r"part-00001\.parquet: expected a whole Parquet file (?s:.*)delete it and run again"
    ):
        read_table(made.store.frames("A"), frames_schema("rgb96"))
    part.unlink()
    assert not complete(made)
    assert extract(made) == NUM_FRAMES
    assert rows(made.store) == NUM_FRAMES


def test_a_video_that_changes_while_it_is_ingested(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, store = tmp_path / "copy.mp4", Store(tmp_path / "store")
    path.write_bytes(film.read_bytes())
    (tmp_path / "manifest.csv").write_text(
        "recording,subject,video,ratings,partition,scale\nA,s,copy.mp4,,,\n", encoding="utf-8"
    )

    def growing(path: Path, **settings: object) -> VideoProbe:
        found = probe_video(path, **settings)  # type: ignore[arg-type]
        with path.open("ab") as file:
            file.write(b"more")
        return found

    monkeypatch.setattr("tasks.ingest.stage.probe_video", growing)
    assert ingest_corpus(tmp_path, store, IngestSettings()).failed == 1
    assert [row["error"] for row in read_failures(store).to_pylist()] == ["SourceError"]
    assert read_recordings(store) == []
    monkeypatch.undo()
    assert ingest_corpus(tmp_path, store, IngestSettings()).failed == 0
    check_source(read_recordings(store)[0])
