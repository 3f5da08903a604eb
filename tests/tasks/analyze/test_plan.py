"""Which clips are taken, what they are called, and what is never replaced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from schemas.cards import ExpressionCard
from schemas.errors import StoreError, UnusableInputError
from schemas.ids import is_recording_id
from schemas.settings import IngestSettings
from tasks.analyze.clips import (
    Clip,
    check_folder,
    corpus_folder,
    has_manifest,
    list_clips,
    manifest_of,
    work_store,
    write_manifest,
)
from tasks.analyze.plan import analysis_key, is_up_to_date, stored_key
from tasks.expression import shipped
from tasks.ingest.discover import list_corpus

from .conftest import FACES, MakeClip, write_film


@pytest.mark.parametrize(
    "name", ["clip.mp4", "2024-05-01 12.30.mov", "Übung.mkv", "日本.webm", "a" * 90 + ".mp4", "a,b;c\"d'.mp4"]
)
def test_any_name_is_a_recording(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    (clip,) = list_clips([path], tmp_path / "out")
    assert is_recording_id(clip.recording_id)
    assert clip.table.name == f"{path.stem}.parquet"
    store = work_store(tmp_path / "out")
    write_manifest(store, [clip])
    (listed,) = list_corpus(corpus_folder(store), IngestSettings()).recordings
    assert (listed.recording_id, listed.video) == (clip.recording_id, path)
    assert listed.partition is None
    assert not listed.ratings


def test_names_that_shorten_to_one_stay_apart(tmp_path: Path) -> None:
    ids = [Clip(tmp_path / name, tmp_path).recording_id for name in ("a b.mp4", "a-b.mp4", "a_b.mp4", "a  b.mp4")]
    assert len({one.casefold() for one in ids}) == 4


def test_a_clip_named_twice_is_one(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", 1)
    assert len(list_clips([path, path], tmp_path / "out")) == 1


def test_clips_that_cannot_be_analyzed_together(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("a.mp4", "a.mov", "other/A.mp4"):
        (tmp_path / name).touch()
    for second in ("a.mov", "other/A.mp4"):
        with pytest.raises(UnusableInputError, match=r"two clips called (a|A), .* different folders"):
            list_clips([tmp_path / "a.mp4", tmp_path / second], tmp_path / "out")
    with pytest.raises(UnusableInputError, match=r"other: expected a video, found a folder; .*other/\*\.mp4"):
        list_clips([tmp_path / "other"], tmp_path / "out")
    with pytest.raises(UnusableInputError, match=r"gone\.mp4: no such file"):
        list_clips([tmp_path / "a.mp4", tmp_path / "gone.mp4"], tmp_path / "out")


def test_a_pipe_is_no_clip(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(UnusableInputError, match=r"a\.mp4: expected a file, found a pipe or a device"):
        list_clips([tmp_path / "a.mp4"], tmp_path / "out")


def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked, real = tmp_path / "locked" / "a.mp4", Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)  # whoever runs this may be allowed everything
    with pytest.raises(UnusableInputError, match=r"locked/a\.mp4: .* fix the permissions of the folders above it"):
        list_clips([locked], tmp_path / "out")


def test_results_need_a_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    check_folder(tmp_path / "not" / "there" / "yet")
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "it only looks"
    with pytest.raises(UnusableInputError, match=r"/file: expected a folder for the results, found a file"):
        check_folder(tmp_path / "file" / "results")
    monkeypatch.setattr(os, "access", lambda path, mode: mode & os.W_OK == 0)
    with pytest.raises(UnusableInputError, match=rf"{tmp_path}: .* found a read-only one; .* --out"):
        check_folder(tmp_path / "results")


def test_a_clip_is_never_replaced_by_its_own_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UnusableInputError, match=r"a\.mp4: is a clip itself, .*name another folder with --out"):
        list_clips([tmp_path / "a.mp4"], tmp_path)
    (tmp_path / "b.mkv").touch()
    with pytest.raises(UnusableInputError, match="is a clip itself"):
        list_clips([tmp_path / "b.mkv", tmp_path / "a.mp4"], tmp_path)
    assert list_clips([tmp_path / "b.mkv"], tmp_path), "an ending of its own is in nobody's way"


def test_what_others_made_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not parquet")
    (tmp_path / "a.html").write_text("<!doctype html><p>mine</p>", encoding="utf-8")
    write_film(tmp_path / "a.mp4", 2)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    for name in ("a.parquet", "a.html", "a.mp4", "b.mp4"):
        with pytest.raises(UnusableInputError, match="found another file; move it away"):
            stored_key(tmp_path / name)
    assert stored_key(tmp_path / "none.mp4") is None


def test_the_manifest_is_compared_as_it_stands(tmp_path: Path) -> None:
    store, clips = work_store(tmp_path), [Clip(tmp_path / "a.mp4", tmp_path)]
    assert not has_manifest(store, clips)
    write_manifest(store, clips)
    assert has_manifest(store, clips)
    assert not has_manifest(store, [*clips, Clip(tmp_path / "b.mp4", tmp_path)])
    assert manifest_of(clips).splitlines()[0].startswith("recording,subject,video")


def test_the_key_hangs_on_weights_and_settings(make_clip: MakeClip) -> None:
    made = make_clip()
    key = analysis_key(made.recording, FACES, made.card)
    assert key != analysis_key(made.recording, FACES, made.with_card(weights_sha256="other").card)
    assert key != analysis_key(made.recording, FACES, made.with_card(scores=()).card), "the page shows them"
    assert key != analysis_key(made.recording, FACES.model_copy(update={"upsample": 2}), made.card)
    assert key == analysis_key(made.recording, FACES.model_copy(update={"workers": 7}), made.card)
    made.analyze()
    assert not is_up_to_date(made.store, [made.clip], FACES, made.card), "the rows made by hand are of no stage"


def test_damaged_weights_are_refused(card: ExpressionCard) -> None:
    _, found = shipped.shipped_network()
    assert found == card
    path = shipped.shipped_folder() / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(StoreError, match=r"not whole .*sha256.*install affectflow anew"):
        shipped.shipped_network()
    path.unlink()
    with pytest.raises(StoreError, match="install affectflow anew"):
        shipped.shipped_network()
    (shipped.shipped_folder() / "card.json").unlink()
    with pytest.raises(StoreError, match="install affectflow anew"):
        shipped.shipped_card()
