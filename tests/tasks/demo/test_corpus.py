"""The corpus on disk: RECOLA's layout byte for byte, the same on every run, resumed after a kill."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from schemas.errors import CorpusError, SettingsError
from tasks.demo import corpus as corpus_module
from tasks.demo.corpus import DemoCorpus, make_corpus, read_hidden_valence
from tasks.demo.layout import recording_files
from tasks.demo.subjects import PARTITIONS, RECORDINGS

SECONDS = 2.0
FRAMES = 50
PAIR = ("P16", "P48")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return make_corpus(tmp_path_factory.mktemp("two"), duration_seconds=SECONDS, recordings=PAIR, workers=2)


def decoded(video: Path) -> list[str]:
    with av.open(str(video)) as container:
        return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for frame in container.decode(video=0)]


def fake_makers(made: list[str]) -> Callable[..., None]:
    """Stands in for the worker processes: writes three small files for each job."""

    def make(
        jobs: Sequence[Mapping[str, Any]],
        *,
        workers: int,
        told: Callable[[float], None],
        finished: Callable[[str], None],
    ) -> None:
        for job in jobs:
            for name in recording_files(job["recording_id"]):
                path = Path(job["corpus"]) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{job}", encoding="utf-8")
            made.append(job["recording_id"])
            finished(job["recording_id"])

    return make


def test_layout_is_recolas(made: DemoCorpus) -> None:
    files = {str(path.relative_to(made.root)) for path in made.root.rglob("*") if path.is_file()}
    expected = {"SYNTHETIC.txt"}
    for recording in PAIR:
        expected |= {
            f"RECOLA-Video-recordings/{recording}.mp4",
            f"RECOLA-Audio-recordings/{recording}.wav",
            f"RECOLA-Annotation/emotional_behaviour/valence/{recording}.csv",
        }
    assert files == expected
    assert "SYNTHETIC" in (made.root / "SYNTHETIC.txt").read_text(encoding="utf-8")
    assert not made.hidden_valence.is_relative_to(made.root)


def test_ratings_file_byte_for_byte(made: DemoCorpus) -> None:
    content = (made.root / "RECOLA-Annotation/emotional_behaviour/valence/P16.csv").read_bytes()
    lines = content.split(b"\n")
    assert lines[0] == b"time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3"
    assert lines[-1] == b""
    rows = lines[1:-1]
    assert len(rows) == FRAMES + 1
    assert [row.split(b";")[0] for row in rows] == [f"{round(4 * n) / 100:.2f}".encode() for n in range(FRAMES + 1)]
    assert all(re.fullmatch(rb"\d+\.\d\d(;-?[01]\.\d\d){6}", row) for row in rows)
    assert b"-0.00" not in content
    assert rows[0] == b"0.00" + b";0.00" * 6
    values = np.array([[float(value) for value in row.split(b";")[1:]] for row in rows])
    assert np.abs(values).max() <= 1


def test_video_and_sound(made: DemoCorpus) -> None:
    with av.open(str(made.root / "RECOLA-Video-recordings/P48.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert "SYNTHETIC" in container.metadata["title"]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert audio.codec_context.name == "aac"
        assert video.start_time == 0
        assert audio.start_time == 0
        assert audio.duration is not None
        assert audio.time_base is not None
        assert float(audio.duration * audio.time_base) == pytest.approx(SECONDS, abs=0.04)
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(FRAMES)], abs=1e-6)
    assert frames[0].key_frame
    with av.open(str(made.root / "RECOLA-Audio-recordings/P48.wav")) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples == 44_100 * SECONDS


def test_hidden_valence_stands_at_each_frame(made: DemoCorpus) -> None:
    hidden = read_hidden_valence(made.hidden_valence.parent)
    assert tuple(hidden) == PAIR
    for times, values in hidden.values():
        assert times == pytest.approx(np.arange(FRAMES) / 25)
        assert np.abs(values).max() <= 1
    assert not np.allclose(hidden["P16"][1], hidden["P48"][1])


def test_same_seed_same_corpus_whatever_the_workers(made: DemoCorpus, tmp_path: Path) -> None:
    again = make_corpus(tmp_path, duration_seconds=SECONDS, recordings=PAIR, workers=1)
    for recording in PAIR:
        sound, video, ratings = recording_files(recording)
        assert (again.root / sound).read_bytes() == (made.root / sound).read_bytes()
        assert (again.root / ratings).read_bytes() == (made.root / ratings).read_bytes()
        assert decoded(again.root / video) == decoded(made.root / video)


def test_second_call_does_nothing(made: DemoCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.root.parent.rglob("*") if path.is_file()}
    monkeypatch.setattr(corpus_module, "make_recordings", lambda *_, **__: pytest.fail("made again"))
    assert make_corpus(made.root.parent, duration_seconds=SECONDS, recordings=PAIR) == made
    assert {path: path.stat().st_mtime_ns for path in made.root.parent.rglob("*") if path.is_file()} == before


def test_partitions_are_recolas() -> None:
    expected = {"train": "16 17 21 23 25 37", "dev": "19 26 28", "test": "48 58 62"}
    assert {name: tuple(f"P{number}" for number in row.split()) for name, row in expected.items()} == PARTITIONS
    assert len(set(RECORDINGS)) == 12


def test_a_killed_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(corpus_module, "make_recordings", fake_makers(calls))
    made = make_corpus(tmp_path, duration_seconds=SECONDS, recordings=PAIR)
    # As a kill leaves it: half of P48 under a temporary name, its sound done, nothing told about it.
    sound, video, ratings = (made.root / name for name in recording_files("P48"))
    video.rename(video.with_name(f".tmp-0badcafe-{video.name}"))
    ratings.unlink()
    state = tmp_path / "demo-corpus.json"
    told = json.loads(state.read_text(encoding="utf-8"))
    del told["done"]["P48"]
    state.write_text(json.dumps(told), encoding="utf-8")
    first = (made.root / recording_files("P16")[1]).stat().st_mtime_ns

    calls.clear()
    make_corpus(tmp_path, duration_seconds=SECONDS, recordings=PAIR)
    assert calls == ["P48"]
    assert all(path.is_file() for path in (sound, video, ratings))
    assert not list(tmp_path.rglob(".tmp-*"))
    assert (made.root / recording_files("P16")[1]).stat().st_mtime_ns == first


def test_a_truncated_file_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(corpus_module, "make_recordings", fake_makers(calls))
    made = make_corpus(tmp_path, duration_seconds=SECONDS, recordings=PAIR)
    (made.root / recording_files("P16")[1]).write_bytes(b"")
    calls.clear()
    make_corpus(tmp_path, duration_seconds=SECONDS, recordings=PAIR)
    assert calls == ["P16"]


def test_other_arguments_replace_the_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(corpus_module, "make_recordings", fake_makers(calls))
    made = make_corpus(tmp_path, duration_seconds=SECONDS, recordings=PAIR)
    calls.clear()
    make_corpus(tmp_path, duration_seconds=SECONDS, recordings=("P58",), seed=1)
    assert calls == ["P58"]
    assert [path.name for path in made.root.rglob("P*.mp4")] == ["P58.mp4"]
    assert tuple(read_hidden_valence(tmp_path)) == ("P58",)


def test_somebody_elses_corpus_is_left_alone(tmp_path: Path) -> None:
    video = tmp_path / "corpus" / "RECOLA-Video-recordings" / "P16.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"real")
    with pytest.raises(CorpusError, match=r"no SYNTHETIC\.txt"):
        make_corpus(tmp_path, duration_seconds=SECONDS)
    assert video.read_bytes() == b"real"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"duration_seconds": 0.5}, r"0\.5"),
        ({"duration_seconds": float("nan")}, "nan"),
        ({"workers": 0}, "workers 0"),
        ({"recordings": ("P16", "P99")}, "P99"),
        ({"recordings": ()}, "none"),
    ],
)
def test_arguments_out_of_range(tmp_path: Path, arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(SettingsError, match=found):
        make_corpus(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())
