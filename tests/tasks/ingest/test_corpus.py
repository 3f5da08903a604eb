"""What a corpus names: RECOLA's tree, manifests, and their contradictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import CorpusError, Problem
from schemas.settings import IngestSettings
from tasks.ingest.corpus import CorpusListing
from tasks.ingest.discover import list_corpus
from tasks.ingest.recola import BUILT_IN, PARTITION_OF

PUBLIC = [16, 17, 19, 21, 23, 25, 26, 28, 30, 34, 37, 39, 41, 42, 43, 45, 46, 48, 56, 58, 62, 64, 65]

COLUMNS = "recording,subject,video,ratings,partition,scale"


def listed(corpus: Path, **settings: object) -> CorpusListing:
    return list_corpus(corpus, IngestSettings.model_validate(settings))


def of(listing: CorpusListing, severity: str) -> list[Problem]:
    return [found for found in listing.problems if found.severity == severity]


def manifest(folder: Path, *rows: str, header: str = COLUMNS, files: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    if files:
        for name in ("a.mp4", "b.mp4", "a.csv"):
            (folder / name).touch()
    return folder


def test_built_in_table() -> None:
    """The counts that stand in shared/spec/ratings-and-protocols.md."""
    counts = [list(PARTITION_OF.values()).count(name) for name in ("train", "dev", "test")]
    public = [[PARTITION_OF[f"P{number}"] for number in PUBLIC].count(name) for name in ("train", "dev", "test")]
    assert counts == [16, 15, 15]
    assert public == [10, 10, 3]


def test_recola_is_detected(recola: Callable[..., Path]) -> None:
    corpus = recola("P16", "P19", "P13")
    sound = corpus / "RECOLA-Audio-recordings" / "P16.wav"
    sound.parent.mkdir()
    sound.touch()
    listing = listed(corpus)
    assert (listing.layout, listing.partitions_from, listing.problems) == ("recola", BUILT_IN, ())
    assert [(one.recording_id, one.subject_id, one.partition, one.scale) for one in listing.recordings] == [
        ("P13", "P13", "test", (-1, 1)),
        ("P16", "P16", "train", (-1, 1)),
        ("P19", "P19", "dev", (-1, 1)),
    ]
    assert [one.audio for one in listing.recordings] == [None, sound, None]


def test_recola_unlisted_unrated_and_without_video(recola: Callable[..., Path]) -> None:
    corpus = recola("P16", "P99", "P17")
    rated = corpus / "RECOLA-Annotation/emotional_behaviour/valence"
    (rated / "P17.csv").rename(rated / "P18.csv")
    (corpus / "RECOLA-Video-recordings" / "P21.mkv").touch()
    (corpus / "RECOLA-Video-recordings" / ".DS_Store").touch()
    listing = listed(corpus)
    assert {one.recording_id: one.partition for one in listing.recordings} == {
        "P16": "train",
        "P17": "train",
        "P99": None,
    }
    assert [(one.recording_id, Path(one.path).name) for one in of(listing, "failed")] == [("P18", "P18.csv")]
    warned = {(one.recording_id, Path(one.path).name) for one in of(listing, "warning")}
    assert warned == {(None, "P21.mkv"), ("P99", "P99.mp4"), ("P17", "P17.mp4")}


def test_recola_partitions_file(recola: Callable[..., Path], tmp_path: Path) -> None:
    corpus = recola("P16", "P17")
    table = tmp_path / "mine.csv"
    table.write_text("Subject;Partition\nP16;Dev\nP17;\nP40;test\n", encoding="utf-8")
    listing = listed(corpus, partitions=table)
    assert [one.partition for one in listing.recordings] == ["dev", None]
    assert listing.partitions_from == str(table)
    assert any("no video of P40" in one.found for one in of(listing, "warning"))
    table.write_text("subject,partition\nP16,dev\nP16,train\nP17,testing\n,dev\n", encoding="utf-8")
    assert [one.line for one in of(listed(corpus, partitions=table), "fatal")] == [3, 4, 5]
    table.write_text("subject\nP16\n", encoding="utf-8")
    assert "missing: partition" in of(listed(corpus, partitions=table), "fatal")[0].found


def test_recola_unknown_dimension(recola: Callable[..., Path]) -> None:
    fatal = of(listed(recola("P16"), dimension="joy"), "fatal")
    assert [(("'joy'" in one.expected), one.found) for one in fatal] == [(True, "folders valence")]


def test_ids_that_are_no_ids(recola: Callable[..., Path]) -> None:
    listing = listed(recola("016 é"))
    assert [(one.recording_id, one.recording_id_original) for one in listing.recordings] == [("r016-e", "016 é")]


@pytest.mark.parametrize("make", ["nothing", "file", "empty", "other", "no videos", "no named videos"])
def test_empty_corpora(tmp_path: Path, make: str) -> None:
    corpus = tmp_path / "corpus"
    if make == "file":
        corpus.touch()
    elif make == "other":
        (corpus / "videos").mkdir(parents=True)
    elif make == "no videos":
        (corpus / "RECOLA-Video-recordings").mkdir(parents=True)
        assert "at least one .mp4" in of(listed(corpus), "fatal")[0].expected
        return
    elif make == "no named videos":
        (corpus / "ratings_individual" / "valence").mkdir(parents=True)
        (corpus / "P16.mp4").touch()
        assert "train_*, dev_* or test_*" in of(listed(corpus), "fatal")[0].expected
        return
    elif make == "empty":
        corpus.mkdir()
    with pytest.raises(CorpusError, match=r"folder of a corpus|RECOLA-Video-recordings.*manifest\.csv"):
        listed(corpus)


def test_manifest(tmp_path: Path) -> None:
    rows = ("take 1;Anna;a.mp4;a.csv;train;1:9;a.csv", "", "B2;Ben;b.mp4;;;;", "C3;Cleo;b.mp4;a.csv;;1:9;")
    corpus = manifest(tmp_path / "c", *rows, header="Recording ; subject;video;ratings;partition;scale;audio")
    listing = listed(corpus)
    first, second, _ = listing.recordings
    assert (first.recording_id, first.recording_id_original, first.line) == ("take-1", "take 1", 2)
    assert (first.video, first.audio) == (corpus / "a.mp4", corpus / "a.csv")
    assert [file.path for file in first.ratings] == [corpus / "a.csv"]
    assert (first.partition, first.scale, first.subject_id) == ("train", (1, 9), "Anna")
    assert (second.partition, second.ratings, second.audio, second.line) == (None, (), None, 4)
    assert [(one.recording_id, one.severity, one.line) for one in listing.problems] == [("C3", "warning", 5)]


def test_a_synthetic_corpus_says_so_in_the_store(recola: Callable[..., Path], tmp_path: Path) -> None:
    corpus = recola("P16")
    assert listed(corpus).note == ""
    (corpus / "SYNTHETIC.txt").write_text("Made by a program.\nMore of it.\n", encoding="utf-8")
    assert listed(corpus).note == "Synthetic corpus. Made by a program."


def test_manifest_elsewhere(tmp_path: Path) -> None:
    here = manifest(tmp_path / "m", "A,s,a.mp4,,,")
    (tmp_path / "c").mkdir()
    assert listed(tmp_path / "c", manifest=here / "manifest.csv").recordings[0].video == here / "a.mp4"


@pytest.mark.parametrize(
    ("rows", "line", "expected", "found"),
    [
        (("A,,a.mp4,,train,",), 2, "a subject", "empty"),
        ((",s,a.mp4,,train,",), 2, "a recording", "empty"),
        (("A,s,,,train,",), 2, "a video", "empty"),
        (("???,s,a.mp4,,train,",), 2, "letter or digit", "'???'"),
        (("A,s,a.mp4,,training,",), 2, "train, dev, test", "'training'"),
        (("A,s,a.mp4,a.csv,train,",), 2, "min:max", "''"),
        (("A,s,a.mp4,a.csv,train,9:1",), 2, "min:max", "'9:1'"),
        (("A,s,a.mp4,a.csv,train,1-9",), 2, "min:max", "'1-9'"),
        (("A,s,a.mp4,a.csv,train,0:inf",), 2, "min:max", "'0:inf'"),
        (("A,s,a.mp4,,train,", "A,t,b.mp4,,dev,"), 3, "every recording once", "line 2"),
        (("a b,s,a.mp4,,train,", "a-b,t,b.mp4,,dev,"), 3, "every recording once", "'a b'"),
        (("A,s,a.mp4,,train,", "a,t,b.mp4,,dev,"), 3, "every recording once", "line 2"),
        (("A,s,a.mp4,,train,", "B,s,b.mp4,,dev,"), 3, "'s' in one partition", "line 2"),
        (("A,s,a.mp4,,train,x,y",), 2, "6 cells", "7"),
        ((), None, "at least one recording", "none"),
    ],
)
def test_manifest_contradictions(
    tmp_path: Path, rows: tuple[str, ...], line: int | None, expected: str, found: str
) -> None:
    corpus = manifest(tmp_path / "c", *rows)
    fatal = of(listed(corpus), "fatal")
    assert [(one.path, one.line) for one in fatal] == [(str(corpus / "manifest.csv"), line)]
    assert expected in fatal[0].expected
    assert found in fatal[0].found


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("recording,subject,video,ratings,scale", "missing: partition"),
        ("recording,subject,video,ratings,partition,scale,subject", "twice: subject"),
        ("", "missing: recording"),
    ],
)
def test_manifest_headers(tmp_path: Path, header: str, found: str) -> None:
    fatal = of(listed(manifest(tmp_path / "c", header=header)), "fatal")
    assert found in fatal[0].found


def test_manifest_unknown_column_and_files_that_are_missing(tmp_path: Path) -> None:
    header = COLUMNS + ",audoi"
    listing = listed(manifest(tmp_path / "c", "A,s,no.mp4,no.csv,train,0:1,", "B,t,b.mp4,,,,", header=header))
    assert "audoi" in of(listing, "warning")[0].found
    assert [(one.recording_id, one.line) for one in of(listing, "failed")] == [("A", 2), ("A", 2)]


def test_manifest_and_partitions_file_at_once(tmp_path: Path) -> None:
    corpus = manifest(tmp_path / "c", "A,s,a.mp4,,,")
    assert "leave out" in of(listed(corpus, partitions=tmp_path / "p.csv"), "fatal")[0].expected


def test_manifest_wins_over_recola_and_says_so(recola: Callable[..., Path]) -> None:
    corpus = recola("P16")
    manifest(corpus, "A,s,RECOLA-Video-recordings/P16.mp4,,,", files=False)
    listing = listed(corpus)
    assert listing.layout == "manifest"
    assert any("both" in one.found for one in of(listing, "warning"))


def test_unreadable_manifests(tmp_path: Path) -> None:
    corpus = manifest(tmp_path / "c")
    (corpus / "manifest.csv").write_bytes(f"{COLUMNS}\nA,s\xe9,a.mp4,,,\n".encode("latin-1"))
    assert [(one.line, one.found) for one in of(listed(corpus), "fatal")] == [(2, "byte 0xe9")]
    (corpus / "manifest.csv").unlink()
    assert "No such file" in of(listed(corpus, manifest=corpus / "manifest.csv"), "fatal")[0].found
