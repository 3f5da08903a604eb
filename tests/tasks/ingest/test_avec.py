"""AVEC's tree, and ratings of several kinds through a manifest, into the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.errors import Problem
from schemas.settings import IngestSettings
from tasks.ingest.discover import list_corpus
from tasks.ingest.plan import plan_ingest
from tasks.ingest.recordings import read_gold_standard, read_ratings_wide, read_recordings
from tasks.ingest.stage import IngestSummary, ingest_corpus
from tasks.store.layout import Store

NAMES = ("train_1", "train_2", "dev_1", "test_1")
RATED = NAMES[:3]
TIMES = np.round(np.arange(51) * 0.04, 2)


def settings(**values: object) -> IngestSettings:
    return IngestSettings.model_validate(values)


def curve(name: str, rater: int) -> list[float]:
    return [round(float(v), 4) for v in np.sin(TIMES * (rater + 1) + len(name)) / 2]


def arff(names: tuple[str, ...]) -> str:
    names_and_times = "@attribute Instance_name string\n@attribute frameTime numeric"
    head = f"@relation gold\n{names_and_times}\n@attribute GoldStandard numeric"
    rows = [f"'{name}',{t:.2f},{v}" for name in names for t, v in zip(TIMES, curve(name, 9), strict=True)]
    return "\n".join([head, "@data", *rows]) + "\n"


@pytest.fixture
def avec(tmp_path: Path, clip: Path) -> Path:
    root = tmp_path / "avec"
    for name in NAMES:
        video = root / "recordings_video" / f"{name}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, video)
        with video.open("ab") as file:  # an empty box: same film, other bytes
            file.write((8 + len(name)).to_bytes(4, "big") + b"free" + name.encode())
    for dimension in ("arousal", "valence"):
        for name in RATED:
            path = root / "ratings_individual" / dimension / f"{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = zip(TIMES, *(curve(name, rater) for rater in range(3)), strict=True)
            lines = ["time;FM1;FM2;FF1", *(";".join(f"{cell:g}" for cell in row) for row in rows)]
            path.write_text("\n".join(lines), encoding="utf-8")
        gold = root / "ratings_gold_standard" / dimension
        gold.mkdir(parents=True)
        (gold / "dev_1.arff").write_text(arff(("dev_1",)), encoding="utf-8")
        (gold / "train.arff").write_text(arff(("train_2", "train_1")), encoding="utf-8")
    return root


def of(problems: tuple[Problem, ...], severity: str) -> list[Problem]:
    return [found for found in problems if found.severity == severity]


def counts(summary: IngestSummary) -> tuple[int, int, int, int]:
    return summary.recordings, summary.ingested, summary.unchanged, summary.failed


def test_the_tree_is_listed(avec: Path) -> None:
    listing = list_corpus(avec, settings())
    assert (listing.layout, listing.partitions_from) == ("avec", "the names of the recordings")
    assert [(one.recording_id, one.partition, one.subject_id) for one in listing.recordings] == [
        ("dev_1", "dev", "dev_1"),
        ("test_1", "test", "test_1"),
        ("train_1", "train", "train_1"),
        ("train_2", "train", "train_2"),
    ]
    assert [(one.recording_id, one.severity) for one in listing.problems] == [("test_1", "warning")]


def test_raters_and_gold_standards_are_ingested_apart(avec: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert counts(ingest_corpus(avec, store, settings(more_dimensions=("arousal",)))) == (4, 4, 0, 0)
    for name in RATED:
        for dimension in ("valence", "arousal"):
            wide = read_ratings_wide(store, name, dimension)
            assert wide.raters == ("FM1", "FM2", "FF1")
            np.testing.assert_array_equal(wide.values, np.column_stack([curve(name, rater) for rater in range(3)]))
            gold = read_gold_standard(store, name, dimension)
            assert gold is not None
            assert gold.raters == ("GoldStandard",)
            np.testing.assert_array_equal(gold.values[:, 0], curve(name, 9))
            np.testing.assert_array_equal(gold.times, TIMES)
    assert read_gold_standard(store, "test_1", "valence") is None
    assert "GoldStandard" not in pl.read_parquet(store.ratings("dev_1"))["rater"].unique().to_list()
    assert not plan_ingest(avec, store, settings(more_dimensions=("arousal",))).has_work
    shared = avec / "ratings_gold_standard/valence/train.arff"
    shared.write_text(shared.read_text(encoding="utf-8").replace("GoldStandard", "Gold"), encoding="utf-8")
    assert counts(ingest_corpus(avec, store, settings(more_dimensions=("arousal",)))) == (4, 2, 2, 0)
    assert counts(ingest_corpus(avec, store, settings(more_dimensions=("arousal",)))) == (4, 0, 4, 0)


def test_what_a_tree_can_lack(avec: Path) -> None:
    (avec / "elsewhere").mkdir()
    shutil.copyfile(avec / "recordings_video/dev_1.mp4", avec / "elsewhere/dev_1.mp4")
    (avec / "recordings_video/train_2.mp4").unlink()
    listing = list_corpus(avec, settings(dimension="joy", more_dimensions=("valence",)))
    fatal = of(listing.problems, "fatal")
    assert ["another; move one" in one.found for one in fatal] == [True, False]
    assert fatal[1].found == "folders arousal, valence"
    assert [one.recording_id for one in of(listing.problems, "failed")] == ["train_2"]
    table = avec / "p.csv"
    table.write_text("subject,partition\ndev_1,test\n", encoding="utf-8")
    listing = list_corpus(avec, settings(partitions=table))
    assert {one.recording_id: one.partition for one in listing.recordings} == {
        "dev_1": "test",
        "test_1": None,
        "train_1": None,
    }


HEADER = "recording,subject,video,ratings,partition,scale,gold_standard,time_unit,rate"


def through_manifest(folder: Path, clip: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copyfile(clip, folder / "a.mp4")
    (folder / "manifest.csv").write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    return folder


def test_a_manifest_names_kinds(tmp_path: Path, clip: Path) -> None:
    corpus = through_manifest(
        tmp_path / "c",
        clip,
        "A,s,a.mp4,{dimension}.csv | ben.parquet,train,1:9,gold-{dimension}.csv,ms,25",
    )
    times = np.sort(np.random.default_rng(0).uniform(0, 2000, 80))
    for dimension, add in (("valence", 0.0), ("arousal", 2.0)):
        pl.DataFrame({"time": times, "anna": 3 + add + times / 1000}).write_csv(corpus / f"{dimension}.csv")
        pl.DataFrame({"time": TIMES * 1000, "value": 5 + 0 * TIMES}).write_csv(corpus / f"gold-{dimension}.csv")
    rows = {"time": [*TIMES * 1000] * 2, "rater": ["ben"] * 102, "value": [4.0] * 51 + [6.0] * 51}
    pl.DataFrame(rows | {"dimension": ["valence"] * 51 + ["arousal"] * 51}).write_parquet(corpus / "ben.parquet")
    store = Store(tmp_path / "store")
    summary = ingest_corpus(corpus, store, settings(more_dimensions=("arousal",)))
    assert counts(summary) == (1, 1, 0, 0)
    assert sorted(one.expected.split()[0] for one in of(summary.problems, "warning")) == ["arousal", "valence"]
    for dimension, anna, ben in (("valence", 3.0, 4.0), ("arousal", 5.0, 6.0)):
        wide = read_ratings_wide(store, "A", dimension)
        assert wide.raters == ("anna", "ben")
        np.testing.assert_allclose(wide.times, TIMES, atol=1e-12)
        np.testing.assert_allclose(wide.values[:, 1], ben / 4 - 1.25)
        inside = ~np.isnan(wide.values[:, 0])
        np.testing.assert_allclose(wide.values[inside, 0], (anna + TIMES[inside]) / 4 - 1.25, atol=0.011)
        assert inside.mean() > 0.9
        gold = read_gold_standard(store, "A", dimension)
        assert gold is not None
        assert (gold.values == 0).all()
    assert not plan_ingest(corpus, store, settings(more_dimensions=("arousal",))).has_work
    assert read_recordings(store)[0].partition == "train"


def test_a_rater_in_two_files_is_an_error(tmp_path: Path, clip: Path) -> None:
    corpus = through_manifest(tmp_path / "c", clip, "A,s,a.mp4,x.csv|y.csv,train,1:9,,,")
    for name in ("x", "y"):
        (corpus / f"{name}.csv").write_text("time,anna\n0,1\n1,2\n", encoding="utf-8")
    summary = ingest_corpus(corpus, Store(tmp_path / "store"), settings())
    failed = of(summary.problems, "failed")
    assert [(one.recording_id, Path(one.path).name, one.found) for one in failed] == [("A", "y.csv", "'anna' again")]


@pytest.mark.parametrize(
    ("cells", "expected"), [(",,minutes,", "time_unit: one of s, ms"), (",,,fast", "rate: labels/s")]
)
def test_options_that_are_none(tmp_path: Path, clip: Path, cells: str, expected: str) -> None:
    corpus = through_manifest(tmp_path / "c", clip, f"A,s,a.mp4,x.csv,train,1:9{cells}")
    fatal = of(list_corpus(corpus, settings()).problems, "fatal")
    assert [(one.line, expected in one.expected) for one in fatal] == [(2, True)]


def test_a_gold_standard_alone_is_told_once(avec: Path, tmp_path: Path) -> None:
    for name in ("dev_1", "train_1"):
        for dimension in ("valence", "arousal"):
            (avec / f"ratings_individual/{dimension}/{name}.csv").unlink()
    store = Store(tmp_path / "store")
    for _ in range(2):  # whenever ingestion runs
        told = [one for one in ingest_corpus(avec, store, settings()).problems if "gold standard" in one.expected]
        assert [(one.severity, one.recording_id) for one in told] == [("warning", None)]
        assert told[0].found.startswith('none in dev_1, train_1: scored by a protocol with gold = ["corpus"]')
