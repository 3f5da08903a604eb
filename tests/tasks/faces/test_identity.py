"""Who is who: the persons of a film of two public-domain portraits, beside dlib's own chips and scipy's clustering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dlib
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy.cluster.hierarchy import fcluster, linkage
from skimage import data

from schemas.errors import DecodeError, StoreError
from schemas.settings import FacesSettings, IdentitySettings
from schemas.tables import EMBEDDING_SIZE, IDENTITIES, SIGNATURE_SIZE
from tasks.faces.decode import FrameStream, Picture
from tasks.faces.detect import landmark_model_path
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import (
    Embedding,
    Identities,
    Sighting,
    cluster,
    identities_key,
    identities_of,
    read_identities,
    write_identities,
)
from tasks.faces.settle import IdentitiesJob, is_settled, settle_identities, spread_order
from tasks.ingest.probe import probe_video
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, read_table

from .conftest import Films, Ingester, portrait, run_ffmpeg

ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

SETTINGS = FacesSettings(identity=IdentitySettings(interval_seconds=1.0))
THRESHOLD = SETTINGS.identity.threshold
NEVER = IdentitySettings(decisive_lead=99, lone_lead=99)  # settled by what is left alone
SIZE = (320, 240)
NO_SIGNATURE = np.zeros(SIGNATURE_SIZE, dtype=np.float32)
RATE = 25


def astronaut() -> Image.Image:
    """Eileen Collins, a public-domain photograph that skimage ships; her face is 91 pixels wide."""
    return Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]


def hopper() -> Image.Image:
    return portrait().convert("RGB")


def picture_of(image: Image.Image, folder: Path) -> Picture:
    """The image as ffmpeg decodes it from a lossless film of one frame."""
    even = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{even.width}x{even.height}", "-i", "-")
    lossless = ("-c:v", "ffv1", "-pix_fmt", "yuv420p", "-color_range", "tv", "-colorspace", "smpte170m")
    scaled = ("-vf", "scale=out_color_matrix=bt601:out_range=limited")
    film = run_ffmpeg(*source, *scaled, *lossless, folder / "one.mkv", data=np.asarray(even).tobytes())
    with FrameStream(film, size=even.size) as stream:
        return next(iter(stream))


def landmarks_in(gray: ByteArray) -> tuple[dlib.full_object_detection, FloatArray]:
    detector = dlib.get_frontal_face_detector()
    boxes, scores, _ = detector.run(gray, 0)
    if not boxes:
        boxes, scores, _ = detector.run(gray, 1)
    shape = dlib.shape_predictor(str(landmark_model_path()))(gray, boxes[int(np.argmax(scores))])
    return shape, np.array([[point.x, point.y] for point in shape.parts()], dtype=np.float64)


def embedding_of(image: Image.Image, folder: Path) -> Embedding:
    picture = picture_of(image, folder)
    return embed([recognition_chip(picture, landmarks_in(picture.y)[1])])[0]


def distance(one: Embedding, other: Embedding) -> float:
    return float(np.linalg.norm(one - other))


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("image", [hopper(), astronaut()], ids=["hopper", "astronaut"])
def test_the_chip_is_dlibs_own(image: Image.Image, scale: float, tmp_path: Path) -> None:
    resized = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    picture = picture_of(resized, tmp_path)
    shape, landmarks = landmarks_in(picture.y)
    theirs = dlib.get_face_chip(np.asarray(resized), shape, size=150, padding=0.25)
    ours = recognition_chip(picture, landmarks)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).mean() < 3.5  # 4:2:0 halves the colours of small faces
    assert distance(embed([ours])[0], embed([theirs])[0]) < 0.06


def test_landmarks_between_pixels_are_kept(tmp_path: Path) -> None:
    picture = picture_of(hopper(), tmp_path)
    _, landmarks = landmarks_in(picture.y)
    shifts = [recognition_chip(picture, landmarks + step).astype(float) for step in (0.0, 0.25, 0.5)]
    assert 0 < np.abs(shifts[1] - shifts[0]).mean() < np.abs(shifts[2] - shifts[0]).mean()


def test_one_person_stays_near_and_two_are_far(tmp_path: Path) -> None:
    image = hopper()
    base = embedding_of(image, tmp_path)
    assert base.shape == (EMBEDDING_SIZE,)
    assert base.dtype == np.float32
    variants = [
        image.crop((40, 25, 500, 560)),
        image.resize((256, 303), Image.Resampling.LANCZOS),
        ImageEnhance.Brightness(image).enhance(0.5),
        ImageEnhance.Contrast(image).enhance(1.4),
        image.rotate(8, Image.Resampling.BILINEAR),
    ]
    assert max(distance(base, embedding_of(one, tmp_path)) for one in variants) < 0.3
    assert distance(base, embedding_of(astronaut(), tmp_path)) > 0.65


def points(count: int, seed: int, groups: int) -> Embedding:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 0.06, (groups, EMBEDDING_SIZE))
    found: FloatArray = centres[rng.integers(0, groups, count)] + rng.normal(0, 0.025, (count, EMBEDDING_SIZE))
    return found.astype(np.float32)


@given(count=st.integers(2, 30), seed=st.integers(0, 1000), groups=st.integers(1, 5), threshold=st.floats(0.2, 1.1))
def test_clusters_are_scipys_average_linkage(count: int, seed: int, groups: int, threshold: float) -> None:
    embeddings = points(count, seed, groups)
    ours = cluster(embeddings, range(count), threshold=threshold)
    theirs = fcluster(linkage(embeddings.astype(np.float64), "average"), threshold, "distance")
    together = np.equal.outer(np.array(ours), np.array(ours))
    np.testing.assert_array_equal(together, np.equal.outer(theirs, theirs))
    assert all(ours[label] == label for label in ours)


def test_faces_of_one_moment_are_different_persons() -> None:
    same = np.zeros((4, EMBEDDING_SIZE), dtype=np.float32)
    labels = cluster(same, [0.0, 0.0, 5.0, 5.0], threshold=0.5)
    assert labels[0] != labels[1]
    assert labels[2] != labels[3]
    assert set(labels[2:]) == set(labels[:2])
    assert cluster(same[:0], [], threshold=0.5) == []


def sighting(axis: int, time_seconds: float, *, side: float = 100.0) -> Sighting:
    """A face of the made-up person `axis`; persons are 1.4 apart."""
    embedding = np.zeros(EMBEDDING_SIZE, dtype=np.float32)
    embedding[axis] = 1
    return Sighting(time_seconds=time_seconds, box_side=side, embedding=embedding, signature=NO_SIGNATURE)


def main_axis(sightings: list[Sighting]) -> int:
    return int(identities_of(sightings, threshold=THRESHOLD).persons[0].reference.argmax())


def test_the_main_person_is_seen_most_then_largest_then_first() -> None:
    assert main_axis([sighting(0, 1, side=300), sighting(1, 2), sighting(1, 3)]) == 1
    assert main_axis([sighting(0, 1), sighting(1, 2, side=101)]) == 1
    assert main_axis([sighting(1, 2), sighting(0, 1)]) == 0
    found = identities_of([sighting(0, 4), sighting(1, 1), sighting(0, 2, side=50)], threshold=THRESHOLD)
    first = found.persons[0]
    assert (first.num_sightings, first.first_seen_seconds, first.last_seen_seconds) == (2, 2.0, 4.0)
    assert first.median_box_side == 75.0


@given(st.permutations(range(12)))
def test_identities_do_not_depend_on_the_order_of_sightings(order: list[int]) -> None:
    faces = points(12, 5, 3)
    seen = [
        Sighting(time_seconds=number // 2, box_side=90.0, embedding=face, signature=NO_SIGNATURE)
        for number, face in enumerate(faces)
    ]
    expected, found = (
        identities_of(some, threshold=THRESHOLD).persons for some in (seen, [seen[number] for number in order])
    )
    assert len(expected) == len(found)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one.reference, other.reference)
        assert one.num_sightings == other.num_sightings


def test_whose_face_it_is() -> None:
    known = identities_of([sighting(0, 1), sighting(0, 2), sighting(1, 3)], threshold=THRESHOLD)
    near = sighting(1, 0).embedding * np.float32(0.7)
    assert known.whose(near, threshold=THRESHOLD).person == 1
    assert known.whose(near, threshold=THRESHOLD).distance == pytest.approx(0.3)
    stranger = known.whose(sighting(2, 0).embedding, threshold=THRESHOLD)
    assert stranger.person is None
    assert stranger.distance == pytest.approx(2**0.5)
    assert Identities(()).whose(near, threshold=THRESHOLD).person is None


@given(seen=st.lists(st.sampled_from([0, 1, 2, None]), min_size=1, max_size=14))
def test_what_is_settled_stays_so(seen: list[int | None]) -> None:
    """Looking at every sample names the same main person as stopping early, unless only a lead stopped it."""
    sightings: list[Sighting] = []
    early: int | None = None
    for taken, axis in enumerate(seen, start=1):
        sightings += [] if axis is None else [sighting(axis, taken)]
        found = identities_of(sightings, threshold=THRESHOLD)
        if early is None and is_settled(
            found, left=len(seen) - taken, settings=IdentitySettings(decisive_lead=99, lone_lead=99)
        ):
            early = int(found.persons[0].reference.argmax())
    if early is not None:
        assert early == main_axis(sightings)


def test_a_decisive_lead_ends_the_search() -> None:
    ahead = identities_of([*(sighting(0, time) for time in range(5)), sighting(1, 9)], threshold=THRESHOLD)
    assert is_settled(ahead, left=1000, settings=IdentitySettings(decisive_lead=4, lone_lead=9))
    assert not is_settled(ahead, left=1000, settings=IdentitySettings(decisive_lead=5, lone_lead=1))
    assert not is_settled(Identities(()), left=0, settings=IdentitySettings(decisive_lead=1, lone_lead=1))


@pytest.mark.parametrize("number", [0, 1, 2, 7, 64, 100])
def test_the_order_is_spread_from_the_start(number: int) -> None:
    order = spread_order(number)
    assert sorted(order) == list(range(number))
    for taken in (8, 16):
        if taken <= number // 2:
            gaps = np.diff([-1, *sorted(order[:taken]), number])
            assert gaps.max() <= 2 * 2 ** np.ceil(np.log2(number)) / taken


@pytest.fixture(scope="module")
def duo(films: Films) -> Path:
    """12 s: Hopper, large, for 4 s; then Collins, smaller, for 8 s with half a second of wall in the middle."""
    target = films.path("duo.mp4")
    first = np.asarray(hopper().resize((360, 422)))
    second = np.asarray(astronaut())
    wall = np.random.default_rng(1).normal(110, 6, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    frames = []
    for step in range(12 * RATE):
        sway = round(8 * np.sin(step / 9))
        frame = first[20:260, 20 + sway : 340 + sway] if step < 4 * RATE else second[:240, 80 + sway : 400 + sway]
        frames.append(wall if 200 <= step < 212 else frame)
    raw = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    source = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "320x240", "-r", str(RATE), "-i", "-")
    return run_ffmpeg(*source, "-c:v", "libx264", "-g", "20", "-bf", "2", "-pix_fmt", "yuv420p", target, data=raw)


def with_identity(**changes: float) -> FacesSettings:
    return SETTINGS.model_copy(update={"identity": SETTINGS.identity.model_copy(update=changes)})


def first_pass(path: Path, settings: FacesSettings = SETTINGS, *, seekable: bool = True) -> IdentitiesJob:
    return IdentitiesJob(
        recording_id="film",
        path=str(path),
        source_sha256="",
        index_path="",
        identities_path="",
        stage_key="",
        width=SIZE[0],
        height=SIZE[1],
        seekable=seekable,
        settings=settings.model_dump(mode="json"),
    )


def settle(
    path: Path, settings: FacesSettings = SETTINGS, *, seekable: bool = True, all_persons: bool = False
) -> Identities:
    index = probe_video(path, declared_frame_rate=RATE).index_table("film")
    return settle_identities(first_pass(path, settings, seekable=seekable), index, all_persons=all_persons)


@pytest.fixture(scope="module")
def collins(tmp_path_factory: pytest.TempPathFactory) -> Embedding:
    return embedding_of(astronaut(), tmp_path_factory.mktemp("collins"))


def test_the_main_person_is_the_one_seen_most(duo: Path, collins: Embedding, tmp_path: Path) -> None:
    found = settle(duo)
    assert found.whose(collins, threshold=THRESHOLD).person == 0
    everyone = settle(duo, all_persons=True)
    assert len(everyone.persons) == 2
    assert everyone.whose(collins, threshold=THRESHOLD).person == 0
    assert everyone.whose(embedding_of(hopper(), tmp_path), threshold=THRESHOLD).person == 1
    main, other = everyone.persons
    assert main.num_sightings > other.num_sightings
    assert main.median_box_side < other.median_box_side
    assert main.first_seen_seconds >= 4 > other.last_seen_seconds
    assert found.persons[0].num_sightings <= main.num_sightings


def test_the_same_film_gives_the_same_persons(duo: Path) -> None:
    one, other = settle(duo), settle(duo)
    assert len(one.persons) == len(other.persons)
    for a, b in zip(one.persons, other.persons, strict=True):
        np.testing.assert_array_equal(a.reference, b.reference)


@pytest.mark.parametrize("name", ["duo.h264", "duo.mpg", "duo.mp4"])
def test_streams_that_cannot_be_sought(duo: Path, films: Films, name: str, collins: Embedding) -> None:
    path = films.path(name)
    if name == "duo.h264":
        run_ffmpeg("-i", duo, "-c", "copy", "-bsf:v", "h264_mp4toannexb", path)
    elif name == "duo.mpg":
        run_ffmpeg("-i", duo, "-c:v", "mpeg1video", "-q:v", "3", "-g", "12", path)
    for seekable in (False,) if name == "duo.h264" else (False, True):
        found = settle(path, with_identity(interval_seconds=2.0), seekable=seekable)
        assert found.whose(collins, threshold=THRESHOLD).person == 0


def test_a_film_without_faces_has_nobody(films: Films, collins: Embedding) -> None:
    path = films.path("wall.mp4")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=3", "-pix_fmt", "yuv420p", path)
    found = settle(path)
    assert found == Identities(())
    assert found.whose(collins, threshold=THRESHOLD).person is None


def test_damage_inside_is_no_evidence_and_a_missing_file_an_error(duo: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(duo.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    damaged.write_bytes(content)
    index = probe_video(duo).index_table("film")
    for seekable in (True, False):
        settle_identities(first_pass(damaged, seekable=seekable), index)
    with pytest.raises(DecodeError, match=r"none\.mp4"):
        settle_identities(first_pass(tmp_path / "none.mp4"), index)


def test_the_table_says_what_was_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.identities("P16")
    assert path == tmp_path / "identities" / "P16.parquet"
    known = identities_of([sighting(0, 1), sighting(0, 2), sighting(1, 3)], threshold=THRESHOLD)
    for persons in (known, Identities(())):
        write_identities(path, persons, recording_id="P16", key="k", source_sha256="s", decoder_version="9")
        back = read_identities(path)
        assert len(back.persons) == len(persons.persons)
        for one, other in zip(back.persons, persons.persons, strict=True):
            np.testing.assert_array_equal(one.reference, other.reference)
            np.testing.assert_array_equal(one.signatures, other.signatures)
            assert replace(one, reference=other.reference, signatures=other.signatures) == other
        assert read_table(path, IDENTITIES).schema.equals(IDENTITIES)
        assert pl.read_parquet(path)["person"].to_list() == list(range(len(persons.persons)))
    found = read_provenance(path)
    assert found is not None
    assert (found["stage"], found["stage_key"], found["source_sha256"]) == ("identities", "k", "s")
    with pytest.raises(StoreError, match="P17"):
        read_identities(store.identities("P17"))


def test_the_key_changes_with_the_rules_and_the_file(films: Films, duo: Path, ingested: Ingester) -> None:
    recordings = ingested(a=films.portrait(), b=duo).recordings
    first, second = recordings["a"], recordings["b"]
    key = identities_key(first, SETTINGS)
    changed = {
        identities_key(second, SETTINGS),
        identities_key(first, with_identity(threshold=0.5)),
        identities_key(first, with_identity(decisive_lead=3)),
    }
    assert len({key, *changed}) == 4
    assert identities_key(first, SETTINGS.model_copy(update={"chip_format": "gray96", "workers": 3})) == key
