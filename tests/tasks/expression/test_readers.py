"""Every public form of the data sets, against what was written into SYNTHETIC files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.errors import DatasetError
from schemas.expressions import AFFECTNET_CLASSES, FER2013_CLASSES, FERPLUS_COLUMNS
from tasks.expression.affectnet import COLUMNS
from tasks.expression.faces import load_faces
from tasks.expression.source import open_source

from .conftest import Fer, face, write_csv


def test_fer2013_csv_is_what_was_written(fer: Fer, tmp_path: Path) -> None:
    faces = load_faces(open_source(fer.path), tmp_path)
    assert np.array_equal(faces.pictures[..., 0], np.stack(fer.pictures))
    assert faces.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert faces.labels.tolist() == fer.labels
    assert faces.splits.tolist() == ["training" if usage == "Training" else "public_test" for usage in fer.usages]
    assert faces.rows.tolist() == list(range(len(fer.labels)))
    assert faces.votes is None


def test_a_set_is_read_once(fer: Fer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(fer.path)
    first = load_faces(source, tmp_path)
    monkeypatch.setattr(type(source), "faces", None)
    again = load_faces(source, tmp_path)
    assert np.array_equal(first.pictures, again.pictures)
    assert np.array_equal(first.hashes, again.hashes)


def test_icml_face_data_has_spaces_and_another_order(fer: Fer, tmp_path: Path) -> None:
    header = ("emotion", " Usage", " pixels")
    path = write_csv(tmp_path / "icml_face_data.csv", fer.pictures, fer.labels, fer.usages, header=header)
    one, other = load_faces(open_source(path), tmp_path / "a"), load_faces(open_source(fer.path), tmp_path / "b")
    assert np.array_equal(one.pictures, other.pictures)
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.splits, other.splits)


def write_votes(path: Path, usages: list[str], votes: list[list[int]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        for row, (usage, counts) in enumerate(zip(usages, votes, strict=True)):
            writer.writerow([usage, f"fer{row:07d}.png", *counts])
    return path


def test_votes_are_read_row_by_row(fer: Fer, tmp_path: Path) -> None:
    votes = [[(row + column) % 4 for column in range(10)] for row in range(len(fer.labels))]
    votes[3] = [0] * 10
    path = write_votes(tmp_path / "fer2013new.csv", fer.usages, votes)
    faces = load_faces(open_source(fer.path, votes=path), tmp_path)
    assert faces.votes is not None
    assert np.isnan(faces.votes[3]).all()
    rest = np.arange(len(votes)) != 3
    assert np.array_equal(faces.votes[rest], np.array(votes)[rest])
    assert "FER+" in faces.terms


def test_votes_of_other_rows_are_refused(fer: Fer, tmp_path: Path) -> None:
    ones = [[1] * 10 for _ in fer.labels]
    short = write_votes(tmp_path / "short.csv", fer.usages[:-1], ones[:-1])
    with pytest.raises(DatasetError, match=r"short\.csv: expected a row for"):
        load_faces(open_source(fer.path, votes=short), tmp_path)
    turned = write_votes(tmp_path / "turned.csv", fer.usages[::-1], ones)
    with pytest.raises(DatasetError, match=r"turned\.csv, row 0: expected split training .* found public_test"):
        load_faces(open_source(fer.path, votes=turned), tmp_path)
    long = write_votes(tmp_path / "long.csv", [*fer.usages, "PrivateTest"], [*ones, [1] * 10])
    with pytest.raises(DatasetError, match=r"long\.csv: expected a row for each of the 252 .* found 253"):
        load_faces(open_source(fer.path, votes=long), tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("emotion,pixels\n0,1 2 3\n", r"line 1: expected the columns emotion, pixels, Usage, found emotion, pixels"),
        ("", r"line 1: expected the columns .* found nothing"),
        ("emotion,pixels,Usage\n7,{px},Training\n", r"line 2: expected emotion 0 to 6, found '7'"),
        ("emotion,pixels,Usage\nhappy,{px},Training\n", r"line 2: expected emotion 0 to 6, found 'happy'"),
        ("emotion,pixels,Usage\n0,{px},Train\n", r"line 2: expected Usage Training.* found 'Train'"),
        ("emotion,pixels,Usage\n0,{px},Training\n0,1 2 3,Training\n", r"line 3: expected 2304 pixels, found 3"),
        ("emotion,pixels,Usage\n0,{px} 5,Training\n", r"line 2: expected 2304 pixels, found 2305"),
        ("emotion,pixels,Usage\n0,256 {less},Training\n", r"line 2: expected pixels 0 to 255, found 256"),
        ("emotion,pixels,Usage\n0,-1 {less},Training\n", r"line 2: expected pixels 0 to 255, found -1"),
        ("emotion,pixels,Usage\n0,1.5 {less},Training\n", r"line 2: expected whole numbers 0 to 255.* found '1.5'"),
        ("emotion,pixels,Usage\n0,x {less},Training\n", r"line 2: expected whole numbers 0 to 255.* found 'x'"),
        ("emotion,pixels,Usage\n0\n", r"line 2: expected at least 3 cells, found 1"),
        ("emotion,pixels,Usage\n", r"expected faces, found none"),
        ("PK\x03\x04\0\0\n", r"line 1: expected the columns .* found what is no text; is it packed\?$"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_text(text.format(px=" ".join(["1"] * 2304), less=" ".join(["1"] * 2303)), encoding="utf-8")
    with pytest.raises(DatasetError, match=told):
        load_faces(open_source(path), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("rows.parquet"))


def test_class_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    written = {}
    for split, number in (("train", 2), ("test", 1)):
        for label, name in enumerate(names):
            for turn in range(number):
                folder = root / split / name
                folder.mkdir(parents=True, exist_ok=True)
                pixels = face(label, 10 * label + turn)
                suffix = "jpg" if (split, name) == ("test", "sad") else "png"
                Image.fromarray(pixels).save(folder / f"{turn}.{suffix}")
                written[split, name, turn] = pixels
    (root / "readme.txt").write_text("synthetic", encoding="utf-8")
    faces = load_faces(open_source(root), tmp_path / "cache")
    assert faces.pictures.shape == (21, 48, 48, 1)
    assert faces.classes == FER2013_CLASSES
    assert sorted(set(faces.splits.tolist())) == ["test", "training"]
    for split, number in (("test", 1), ("training", 2)):
        for label, name in enumerate(names):
            at = np.flatnonzero((faces.splits == split) & (faces.labels == label))
            assert len(at) == number
            if (split, name) != ("test", "sad"):  # which was written with losses
                wanted = written["train" if split == "training" else "test", name, 0]
                assert np.array_equal(faces.pictures[at[0], ..., 0], wanted)


def test_what_other_programs_leave_in_class_folders_is_no_face(tmp_path: Path) -> None:
    for name in FER2013_CLASSES:
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.fromarray(face(0, 0)).save(tmp_path / "train" / name / "1.png")
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "train" / "happy" / "._1.png").write_bytes(b"\0\5\x16\7")
    assert len(load_faces(open_source(tmp_path), tmp_path / "cache").labels) == 7


def test_pictures_of_sixteen_bits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / "happy").mkdir(parents=True)
    Image.fromarray(face(3, 0).astype(np.uint16) * 256).save(tmp_path / "train" / "happy" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png: expected 8 bits for each colour, found mode I"):
        open_source(tmp_path)


def test_class_folders_have_the_classes_that_they_hold(tmp_path: Path) -> None:
    for number, name in enumerate(("train/contempt", "train/Happy", "test/0")):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(face(number, number)).save(tmp_path / name / "a.png")
    (tmp_path / "train" / "sad").mkdir()
    faces = load_faces(open_source(tmp_path), tmp_path / "cache")
    assert faces.classes == ("angry", "happy", "contempt")
    assert [faces.classes[label] for label in faces.labels] == ["angry", "happy", "contempt"]
    assert faces.splits.tolist() == ["test", "training", "training"]


def test_damaged_class_folders_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "angry"
    folder.mkdir(parents=True)
    with pytest.raises(DatasetError, match="expected pictures in train"):
        open_source(tmp_path)
    Image.fromarray(face(0, 0)).save(folder / "a.png")
    Image.fromarray(face(0, 0)[:40]).save(folder / "b.png")
    with pytest.raises(DatasetError, match=r"b\.png: expected 48x48 like a\.png, found 48x40"):
        load_faces(open_source(tmp_path), tmp_path / "cache")
    (folder / "b.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"b\.png: expected a picture"):
        load_faces(open_source(tmp_path), tmp_path / "cache")
    (tmp_path / "train" / "bored").mkdir()
    with pytest.raises(DatasetError, match=r"expected a folder named after a class.* found 'bored'"):
        open_source(tmp_path)
    (tmp_path / "train" / "bored").rmdir()
    (tmp_path / "tset" / "happy").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"tset: expected a folder of classes to be named after a split .*'tset'"):
        open_source(tmp_path)


def affectnet(root: Path, *, header: bool, rows: list[list[str]], table: str = "training.csv") -> None:
    with (root / table).open("w", newline="") as file:
        writer = csv.writer(file)
        if header:
            writer.writerow(COLUMNS)
        writer.writerows(rows)


def test_affectnet(tmp_path: Path) -> None:
    """Two tables, one without a header, boxes that are cut out, one not given; codes in the documented order."""
    pictures = tmp_path / "Manually_Annotated_Images" / "1"
    pictures.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for code in range(11):
        pixels = np.zeros((60, 70, 3), dtype=np.uint8)
        pixels[10:42, 20:52] = rng.integers(0, 256, size=(32, 32, 3))
        Image.fromarray(pixels).save(pictures / f"{code}.png")
        box = ["NULL"] * 4 if code == 10 else ["20", "10", "32", "32"]
        rows.append([f"1/{code}.png", *box, "1;2", str(code), "-2", "-2"])
    affectnet(tmp_path, header=True, rows=rows)
    affectnet(tmp_path, header=False, rows=rows[:3], table="validation.csv")
    faces = load_faces(open_source(tmp_path, picture_size=32), tmp_path / "cache")
    documented = ["neutral", "happy", "sad", "surprise", "fear", "disgust"]
    documented += ["angry", "contempt", "none", "uncertain", "no-face"]
    assert list(faces.classes) == documented == list(AFFECTNET_CLASSES)
    assert faces.pictures.shape == (14, 32, 32, 3)
    assert faces.labels.tolist() == [*range(11), 0, 1, 2]
    assert faces.splits.tolist() == ["training"] * 11 + ["validation"] * 3
    for code in range(10):
        whole = np.asarray(Image.open(pictures / f"{code}.png"))
        assert np.array_equal(faces.pictures[code], whole[10:42, 20:52])
    small = Image.open(pictures / "10.png").resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(faces.pictures[10], np.asarray(small))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (["a.png", "0", "0", "9", "9", "", "11", "0", "0"], r"line 2: expected expression 0 to 10, found '11'"),
        (["a.png", "0", "0", "0", "9", "", "1", "0", "0"], r"line 2: expected a face of at least one pixel, found 0x9"),
        (["a.png", "x", "0", "9", "9", "", "1", "0", "0"], r"line 2: expected whole numbers in face_x"),
        (["b.png", "0", "0", "9", "9", "", "1", "0", "0"], r"line 2: expected the picture 'b.png' in"),
        (["a.png", "0", "0"], r"line 2: expected 9 cells .* found 3"),
    ],
)
def test_a_damaged_affectnet_is_named(tmp_path: Path, row: list[str], told: str) -> None:
    Image.fromarray(face(0, 0)).save(tmp_path / "a.png")
    affectnet(tmp_path, header=True, rows=[row])
    with pytest.raises(DatasetError, match=told):
        load_faces(open_source(tmp_path), tmp_path / "cache")


def test_nothing_of_the_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"missing\.csv: expected fer2013\.csv.* found nothing"):
        open_source(tmp_path / "missing.csv")
    with pytest.raises(DatasetError, match="found a folder with none of these"):
        open_source(tmp_path)
    with pytest.raises(DatasetError, match=r"votes are on the rows of fer2013\.csv"):
        open_source(tmp_path, votes=tmp_path / "fer2013new.csv")
