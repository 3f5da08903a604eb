"""Warnings that need more than one file, or more than a file's frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.settings import IngestSettings
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store

from .conftest import FfmpegRunner


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_late_audio_is_reported(store: Store, tmp_path: Path, ffmpeg: FfmpegRunner) -> None:
    picture = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2")
    sound = ("-itsoffset", "0.3", "-f", "lavfi", "-i", "sine=duration=2")
    ffmpeg(*picture, *sound, "-c:v", "libx264", "-c:a", "pcm_s16le", tmp_path / "late.mkv")
    (tmp_path / "manifest.csv").write_text("recording,subject,video,ratings,partition,scale\nA,s,late.mkv,,test,\n")
    found = [
        one
        for one in ingest_corpus(tmp_path, store, IngestSettings()).problems
        if "starts with the video" in one.expected
    ]
    assert [("+300 ms" in one.found) for one in found] == [True]


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_video_that_broke_off_is_told_on_every_run(
    store: Store, tmp_path: Path, ffmpeg: FfmpegRunner, suffix: str
) -> None:
    video = tmp_path / f"long.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=6", "-g", "10", video)
    rows = f"recording,subject,video,ratings,partition,scale\nA,s,{video.name},,test,\n"
    (tmp_path / "manifest.csv").write_text(rows, encoding="utf-8")
    assert all(
        "ratings" in one.expected for one in ingest_corpus(tmp_path, store, IngestSettings()).problems
    )  # it has none
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    told = ingest_corpus(tmp_path, store, IngestSettings()).problems[-1]
    (row,) = read_recordings(store)
    assert 1 < row.duration_seconds < 5
    assert (told.severity, told.recording_id) == ("warning", "A")
    assert "a video of 6." in told.expected
    assert f"{row.duration_seconds:.3f} s: cut off" in told.found
    assert ingest_corpus(tmp_path, store, IngestSettings()).problems[-1] == told
