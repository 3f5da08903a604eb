"""The stage as a whole on RECOLA-like folders: what is written, what is done again, what a bad recording costs."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import CorpusError, StoreError
from schemas.settings import IngestSettings
from schemas.tables import AUDIO, INDEX, RATINGS, RECORDINGS
from tasks.ingest import plan as planning
from tasks.ingest.corpus import RatingsFile
from tasks.ingest.plan import plan_ingest
from tasks.ingest.ratings import read_ratings
from tasks.ingest.recordings import ratings_key, read_ratings_wide, read_recordings, recording_key
from tasks.ingest.stage import IngestSummary, ingest_corpus
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, read_table

Ffmpeg = Callable[..., Path]
Recola = Callable[..., Path]

VIDEOS = "RECOLA-Video-recordings"
VALENCE = "RECOLA-Annotation/emotional_behaviour/valence"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def ingest(corpus: Path, store: Store, **settings: object) -> IngestSummary:
    return ingest_corpus(corpus, store, IngestSettings.model_validate(settings))


def has_work(corpus: Path, store: Store, **settings: object) -> bool:
    return plan_ingest(corpus, store, IngestSettings.model_validate(settings)).has_work


def counts(summary: IngestSummary) -> tuple[int, int, int, int]:
    return summary.recordings, summary.ingested, summary.unchanged, summary.failed


def written(store: Store) -> dict[str, tuple[int, bytes]]:
    files = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def failures(store: Store) -> dict[str, str]:
    return {row["recording_id"]: row["error"] for row in read_failures(store).to_pylist()}


def test_everything_is_written(recola: Recola, store: Store) -> None:
    corpus = recola("P16", "P19")
    summary = ingest(corpus, store)
    assert counts(summary) == (2, 2, 0, 0)
    assert summary.problems == ()
    table = read_table(store.recordings, RECORDINGS)
    assert table.column("recording_id").to_pylist() == ["P16", "P19"]
    first = read_recordings(store)[0]
    assert (first.width, first.height, first.num_frames, first.frame_rate_nominal) == (64, 48, 50, 25)
    assert (first.partition, first.subject_id, first.time_source) == ("train", "P16", "stream")
    assert (first.audio_codec, first.audio_sample_rate, first.audio_channels) == ("aac", 44_100, 1)
    assert first.path == str(corpus / VIDEOS / "P16.mp4")
    assert first.modified_ns == Path(first.path).stat().st_mtime_ns
    for part, schema in ((store.index, INDEX), (store.ratings, RATINGS), (store.audio, AUDIO)):
        rows = read_table(part("P16"), schema)
        assert set(rows.column("recording_id").to_pylist()) == {"P16"}
    index = read_provenance(store.index("P16"))
    assert index is not None
    assert (index["stage_key"], index["source_sha256"]) == (recording_key(first), first.sha256)


def test_ratings_come_back_wide(recola: Recola, store: Store) -> None:
    corpus = recola("P16")
    path = corpus / VALENCE / "P16.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1] = "0;;" + lines[1].split(";", 2)[2]
    path.write_text("\n".join(lines), encoding="utf-8")
    ingest(corpus, store)
    wide = read_ratings_wide(store, "P16", "valence")
    traces = read_ratings(RatingsFile(path=path, dimensions=("valence",)), scale=(-1, 1), recording_id="P16")[0][
        "valence"
    ]
    assert wide.raters == ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
    np.testing.assert_array_equal(wide.times, traces.time_seconds)
    np.testing.assert_array_equal(wide.values, traces.original)
    assert np.isnan(wide.values[0, 0])
    assert read_ratings_wide(store, "P16", "arousal").raters == ()


def test_nothing_is_done_twice(recola: Recola, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = recola("P16", "P19")
    ingest(corpus, store)
    before = written(store)

    def hashing(path: Path) -> str:
        raise AssertionError(f"{path} was hashed")

    monkeypatch.setattr(planning, "hash_file", hashing)
    assert not has_work(corpus, store)
    assert counts(ingest(corpus, store)) == (2, 0, 2, 0)
    assert written(store) == before


def test_a_new_recording_is_the_only_one_processed(recola: Recola, store: Store) -> None:
    ingest(recola("P16"), store)
    before = written(store)
    assert counts(ingest(recola("P19"), store)) == (2, 1, 1, 0)
    after = written(store)
    assert all(after[name] == before[name] for name in before if "P16" in name)


def test_touched_files_are_hashed_not_redone(recola: Recola, store: Store) -> None:
    corpus = recola("P16")
    ingest(corpus, store)
    key = ratings_key(store, "P16", "valence")
    audio = store.audio("P16").stat().st_mtime_ns
    for path in (corpus / VIDEOS / "P16.mp4", corpus / VALENCE / "P16.csv"):
        os.utime(path, ns=(1, 1))
    assert has_work(corpus, store)
    assert counts(ingest(corpus, store)) == (1, 0, 1, 0)
    assert not has_work(corpus, store)
    assert read_recordings(store)[0].modified_ns == 1
    assert ratings_key(store, "P16", "valence") == key
    assert store.audio("P16").stat().st_mtime_ns == audio


def test_moved_corpus_keeps_its_parts(recola: Recola, store: Store, tmp_path: Path) -> None:
    corpus = recola("P16")
    ingest(corpus, store)
    index = store.index("P16").stat().st_mtime_ns
    corpus.rename(tmp_path / "moved")
    assert counts(ingest(tmp_path / "moved", store)) == (1, 0, 1, 0)
    assert read_recordings(store)[0].path == str(tmp_path / "moved" / VIDEOS / "P16.mp4")
    assert store.index("P16").stat().st_mtime_ns == index
    assert not has_work(tmp_path / "moved", store)


def test_keys_change_with_content_and_not_with_partition(recola: Recola, store: Store, tmp_path: Path) -> None:
    corpus = recola("P16", "P19")
    ingest(corpus, store)
    before, rated = read_recordings(store), ratings_key(store, "P16", "valence")
    table = tmp_path / "p.csv"
    table.write_text("subject,partition\nP16,test\nP19,\n", encoding="utf-8")
    assert counts(ingest(corpus, store, partitions=table)) == (2, 0, 2, 0)
    after = read_recordings(store)
    assert [one.partition for one in after] == ["test", None]
    assert [recording_key(one) for one in after] == [recording_key(one) for one in before]
    provenance = read_provenance(store.recordings)
    assert provenance is not None
    assert provenance["partitions_from"] == str(table)
    shutil.copyfile(corpus / VIDEOS / "P19.mp4", corpus / VIDEOS / "P16.mp4")
    (corpus / VALENCE / "P16.csv").write_text("time;A\n0;1\n", encoding="utf-8")
    assert ingest(corpus, store).ingested == 1
    assert recording_key(read_recordings(store)[0]) == recording_key(before[1])
    assert ratings_key(store, "P16", "valence") != rated


def test_ratings_and_recordings_that_leave(recola: Recola, store: Store) -> None:
    corpus = recola("P16", "P19")
    ingest(corpus, store)
    (corpus / VALENCE / "P16.csv").unlink()
    shutil.move(corpus / VIDEOS / "P19.mp4", corpus / "P19.mp4")
    (corpus / VALENCE / "P19.csv").unlink()
    summary = ingest(corpus, store)
    assert counts(summary) == (1, 1, 0, 0)
    assert ratings_key(store, "P16", "valence") is None
    assert any(one.recording_id == "P19" and "it left" in one.found for one in summary.problems)
    assert store.index("P19").exists()
    assert not has_work(corpus, store)


def test_one_bad_recording_costs_no_other(recola: Recola, store: Store) -> None:
    names = ("P16", "P17", "P19", "P21", "P23", "P25")
    corpus = recola(*names)
    ingest(corpus, store)
    video = corpus / VIDEOS
    (video / "P17.mp4").write_bytes((video / "P17.mp4").read_bytes()[:2000])
    (video / "P19.mp4").write_bytes(b"")
    (video / "P21.mp4").write_text("text", encoding="utf-8")
    (corpus / VALENCE / "P23.csv").write_text("time;FM1\n0;high\n1;2\n", encoding="utf-8")
    (video / "P25.mp4").unlink()
    summary = ingest(corpus, store)
    assert counts(summary) == (1, 0, 1, 5)
    assert [one.recording_id for one in read_recordings(store)] == ["P16"]
    errors = dict.fromkeys(("P17", "P19", "P21"), "ProbeError")
    assert failures(store) == {**errors, "P23": "RatingsError", "P25": "RecordingError"}
    assert {one.recording_id for one in summary.problems if one.severity == "failed"} == set(names) - {"P16"}
    assert [one.line for one in summary.problems if one.recording_id == "P23"] == [2, 3]
    recola(*names)
    assert counts(ingest(corpus, store)) == (6, 5, 1, 0)
    assert failures(store) == {}


def test_fatal_problems_write_nothing(recola: Recola, store: Store, tmp_path: Path) -> None:
    corpus = recola("P16")
    (corpus / VALENCE / "P16.csv").write_text("time;FM1\n0;high\n", encoding="utf-8")
    table = tmp_path / "p.csv"
    table.write_text("subject,partition\nP16,nowhere\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="nowhere") as caught:
        ingest(corpus, store, partitions=table)
    assert [(one.severity, one.line) for one in caught.value.problems if one.severity != "warning"] == [
        ("fatal", 2),
        ("failed", 2),
    ]
    assert not store.root.exists()


def test_audio_of_its_own_is_preferred_and_compared(recola: Recola, store: Store, ffmpeg: Ffmpeg) -> None:
    corpus = recola("P16", "P19")
    (corpus / "RECOLA-Audio-recordings").mkdir()
    sound = corpus / "RECOLA-Audio-recordings" / "P16.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=300:duration=1.9:sample_rate=16000", sound)
    summary = ingest(corpus, store)
    first = read_recordings(store)[0]
    assert (first.audio_path, first.audio_codec, first.audio_duration_seconds) == (str(sound), "pcm_s16le", 1.9)
    assert [(one.recording_id, one.severity) for one in summary.problems] == [("P16", "warning")]
    assert "-100 ms" in summary.problems[0].found
    assert ingest(corpus, store).problems == summary.problems
    os.utime(sound, ns=(1, 1))
    assert counts(ingest(corpus, store)) == (2, 0, 2, 0)
    assert not has_work(corpus, store)
    assert read_recordings(store)[0] == first
    sound.write_text("noise", encoding="utf-8")
    summary = ingest(corpus, store)
    assert counts(summary) == (2, 1, 1, 0)
    assert (summary.problems[0].severity, summary.problems[0].path) == ("warning", str(sound))
    assert not store.audio("P16").exists()
    sound.unlink()
    ingest(corpus, store)
    assert read_recordings(store)[0].audio_codec == "aac"
    assert not has_work(corpus, store)


def test_declared_frame_rate(store: Store, tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    ffmpeg("-i", clip, "-c:v", "copy", "-f", "h264", tmp_path / "raw.264")
    rows = "recording,subject,video,ratings,partition,scale\nA,s,raw.264,,test,\n"
    (tmp_path / "manifest.csv").write_text(rows, encoding="utf-8")
    assert counts(ingest(tmp_path, store)) == (0, 0, 0, 1)
    assert counts(ingest(tmp_path, store, declared_frame_rate=25)) == (1, 1, 0, 0)
    key = recording_key(read_recordings(store)[0])
    assert not has_work(tmp_path, store, declared_frame_rate=25)
    assert counts(ingest(tmp_path, store, declared_frame_rate=50)) == (1, 1, 0, 0)
    assert recording_key(read_recordings(store)[0]) != key


def test_warnings_between_files(recola: Recola, store: Store) -> None:
    corpus = recola("P16", "P19", "P21")
    shutil.copyfile(corpus / VIDEOS / "P16.mp4", corpus / VIDEOS / "P19.mp4")
    rated = corpus / VALENCE / "P21.csv"
    rated.write_text("time;FM1;FM2\n0;0;0\n500;0;0\n", encoding="utf-8")
    found = {
        (one.recording_id, one.severity): f"{one.expected} / {one.found}" for one in ingest(corpus, store).problems
    }
    assert "the same bytes as P16" in found["P19", "warning"]
    told = [f"{one.expected} / {one.found}" for one in ingest(corpus, store).problems if one.recording_id == "P21"]
    assert any("to 500.000 s" in one for one in told)
    rated.write_text("time;FM1;FM2\n-5;0;0\n1;0;0\n", encoding="utf-8")
    early = [one.found for one in ingest(corpus, store).problems if one.recording_id == "P21"]
    assert "ratings from -5.000 to 1.000 s; those outside meet no frame" in early
    assert any("no FF1, FF2, FF3, FM3" in one for one in told)


def test_a_long_file_without_the_main_dimension_is_told_on_every_run(
    store: Store, tmp_path: Path, ffmpeg: Ffmpeg, clip: Path
) -> None:
    """One rater to a file; the second one's has no valence, and nothing but a warning can say so."""
    shutil.copyfile(clip, tmp_path / "a.mp4")
    header = "time,rater,dimension,value\n"
    for rater, dimensions in (("ann", ("valence", "arousal")), ("bob", ("arousal", "joy"))):
        rows = [f"{k * 0.04:.2f},{rater},{name},0.{k % 10}\n" for name in dimensions for k in range(50)]
        (tmp_path / f"{rater}.csv").write_text(header + "".join(rows), encoding="utf-8")
    manifest = "recording,subject,video,ratings,partition,scale\nA,s,a.mp4,ann.csv|bob.csv,train,-1:1\n"
    (tmp_path / "manifest.csv").write_text(manifest, encoding="utf-8")
    for _ in range(2):
        problems = ingest(tmp_path, store, more_dimensions=("arousal", "joy")).problems
        assert [(one.severity, one.recording_id, one.path) for one in problems] == [
            ("warning", "A", str(tmp_path / "bob.csv"))
        ]
        assert "ratings of valence" in problems[0].expected
        assert problems[0].found.startswith("arousal, joy alone")
    assert read_ratings_wide(store, "A", "valence").raters == ("ann",)
    assert read_ratings_wide(store, "A", "arousal").raters == ("ann", "bob")
    assert ingest(tmp_path, store, dimension="arousal").problems == ()


def test_an_interrupted_run_is_taken_up(recola: Recola, store: Store) -> None:
    corpus = recola("P16", "P19")
    ingest(corpus, store)
    audio, rated = store.audio("P16").stat().st_mtime_ns, store.ratings("P16").stat().st_mtime_ns
    rows = read_recordings(store)
    store.recordings.unlink()
    ingest(corpus, store)
    assert read_recordings(store) == rows
    assert (store.audio("P16").stat().st_mtime_ns, store.ratings("P16").stat().st_mtime_ns) == (audio, rated)


def test_a_part_that_was_deleted_is_made_again(recola: Recola, store: Store) -> None:
    corpus = recola("P16")
    ingest(corpus, store)
    for part in (store.index("P16"), store.ratings("P16"), store.audio("P16")):
        part.unlink()
        assert has_work(corpus, store)
        ingest(corpus, store)
        assert part.exists()
        assert not has_work(corpus, store)


def test_another_dimension_replaces_the_ratings(recola: Recola, store: Store) -> None:
    corpus = recola("P16")
    shutil.copytree(corpus / VALENCE, corpus / VALENCE.replace("valence", "arousal"))
    ingest(corpus, store)
    key = ratings_key(store, "P16", "valence")
    assert counts(ingest(corpus, store, dimension="arousal")) == (1, 1, 0, 0)
    assert read_ratings_wide(store, "P16", "valence").raters == ()
    assert ratings_key(store, "P16", "valence") is None
    assert ratings_key(store, "P16", "arousal") == key  # the same traces


def test_another_dimension_beside_it_leaves_the_first_ones_key(recola: Recola, store: Store) -> None:
    corpus = recola("P16")
    ingest(corpus, store)
    key = ratings_key(store, "P16", "valence")
    other = corpus / VALENCE.replace("valence", "arousal")
    shutil.copytree(corpus / VALENCE, other)
    traces = other / "P16.csv"
    lines = traces.read_text(encoding="utf-8").splitlines()
    changed = [lines[0], *(re.sub(r";[^;]*$", ";0.5", line) for line in lines[1:])]
    traces.write_text("\n".join(changed), encoding="utf-8")
    ingest(corpus, store, more_dimensions=("arousal",))
    assert read_ratings_wide(store, "P16", "arousal").raters == read_ratings_wide(store, "P16", "valence").raters
    assert ratings_key(store, "P16", "valence") == key
    assert ratings_key(store, "P16", "arousal") not in (key, None)


def test_nothing_ingested_yet(store: Store) -> None:
    with pytest.raises(StoreError, match="run the stage that writes it first"):
        read_recordings(store)


def test_recording_has_the_fields_of_the_table(recola: Recola, store: Store) -> None:
    ingest(recola("P16"), store)
    names = [field.name for field in dataclasses.fields(read_recordings(store)[0])]
    assert [name.replace("modified_ns", "modified") for name in names] == RECORDINGS.names


def test_plan_of_27_unchanged_recordings_is_quick_and_needs_no_torch(recola: Recola, store: Store) -> None:
    corpus = recola(*(f"P{number}" for number in range(16, 43)))
    ingest(corpus, store)
    started = time.perf_counter()
    assert not has_work(corpus, store)
    assert time.perf_counter() - started < 0.5
    code = "import sys, tasks.ingest.plan, tasks.ingest.stage; print({'torch', 'prefect', 'polars'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_pipes_folders_and_nameless_files_stop_nothing(recola: Recola, store: Store) -> None:
    corpus = recola("P16", "P17")
    (corpus / VALENCE / "P17.csv").unlink()
    os.mkfifo(corpus / VALENCE / "P17.csv")
    (corpus / VIDEOS / "P18.mp4").mkdir()
    (corpus / VIDEOS / "???.mp4").touch()
    summary = ingest(corpus, store)
    assert counts(summary) == (1, 1, 0, 2)
    assert set(failures(store)) == {"P17", "P18"}
    assert any("'???'" in one.found and one.severity == "warning" for one in summary.problems)
