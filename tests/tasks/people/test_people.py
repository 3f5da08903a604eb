"""Everybody in films of two portraits: who is where is known by construction, and the main person from `frames`."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from schemas.errors import SourceError, StoreError
from schemas.settings import FacesSettings, PeopleSettings
from schemas.tables import PEOPLE
from tasks.faces.plan import frames_key
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.overlay.people import OtherPeople
from tasks.people import stage
from tasks.people.plan import has_people, pending, people_key, unjoined
from tasks.people.stage import extract_people, frames_looked_at
from tasks.store.failures import read_failures
from tasks.store.layout import Store, part_name
from tasks.store.parts import Provenance, read_provenance, write_part

from ..faces.conftest import REPOSITORY, Ingested, run_ffmpeg
from ..faces.test_worker import alive, children, wait_until
from .conftest import ABSENT, NUM_FRAMES, SETTINGS, SHOT, People, with_frames

SHARED_COLUMNS = [name for name in PEOPLE.names if name not in ("person", "track")]
BEFORE_FOUND = 5
"""Frames within which somebody who comes in is found, where a cut or a loss says that something has changed."""


def rows_of(people: People) -> pl.DataFrame:
    found = pl.from_arrow(people.table())
    assert isinstance(found, pl.DataFrame)
    return found


def without_people(people: People, folder: Path) -> People:
    """The same recording with its frames, and nobody else looked for yet."""
    shutil.copytree(people.store.root, folder / "store")
    shutil.rmtree(folder / "store" / "people")
    return People(Ingested(Store(folder / "store"), people.made.recordings), people.recording)


def test_the_main_person_s_rows_are_those_of_frames(pair: People) -> None:
    frames = pl.read_parquet(pair.store.frames("A") / "part-*.parquet").filter("face_valid").select(SHARED_COLUMNS)
    main = rows_of(pair).filter(pl.col("person") == 0)
    assert main.select(SHARED_COLUMNS).equals(frames)
    assert main.height == NUM_FRAMES


def test_somebody_who_leaves_and_comes_back_keeps_the_number(pair: People) -> None:
    rows = rows_of(pair)
    assert rows["person"].unique().sort().to_list() == [0, 1]
    other = rows.filter(pl.col("person") == 1)
    expected = {frame for frame in range(NUM_FRAMES) if frame not in ABSENT}
    seen = set(other["frame_index"].to_list())
    assert seen <= expected
    assert expected - seen <= set(range(ABSENT.stop, ABSENT.stop + BEFORE_FOUND))
    centre = (other["box_left"] + other["box_right"]) / 2
    assert bool((centre > 320).all())
    assert rows.select("frame_index", "person").is_unique().all()
    assert other["track"].n_unique() >= 4  # segment borders, and the absence, end tracks


def test_rows_are_in_order_and_say_how_good_they_are(pair: People) -> None:
    rows = rows_of(pair)
    assert rows.select("frame_index", "person").equals(
        rows.select("frame_index", "person").sort("frame_index", "person")
    )
    assert rows.group_by("track").agg(pl.col("person").n_unique())["person"].to_list() == [1] * rows["track"].n_unique()
    firsts = rows.group_by("track").agg(pl.col("frame_index").min()).sort("track")["frame_index"]
    assert firsts.is_sorted()
    other = rows.filter(pl.col("person") == 1)
    assert other["face_source"].unique().sort().to_list() == ["detected", "tracked"]
    assert (other["detection_score"].is_null() == (other["face_source"] == "tracked")).all()
    assert (other["tracking_score"].is_null() == (other["face_source"] == "detected")).all()
    for column in ("sharpness", "brightness", "yaw", "pitch", "roll"):
        assert other[column].null_count() == 0
    assert other["yaw"].abs().max() < 30  # type: ignore[operator]  # the portrait looks at the camera
    assert people_parts(pair)[-1][1]["is_last"] == "true"
    assert [found["is_last"] for _, found in people_parts(pair)[:-1]] == ["false"] * 4


def people_parts(people: People) -> list[tuple[Path, dict[str, str]]]:
    paths = sorted(people.store.people("A").glob("part-*.parquet"))
    return [(path, read_provenance(path) or {}) for path in paths]


def test_cuts_from_one_to_the_other_do_not_swap_them(cuts: People) -> None:
    rows = rows_of(cuts)
    assert rows["person"].unique().sort().to_list() == [0, 1]
    shots = rows.with_columns((pl.col("frame_index") // SHOT % 2).alias("shot"))
    assert shots.group_by("shot").agg(pl.col("person").n_unique())["person"].to_list() == [1, 1]
    missing = set(range(NUM_FRAMES)) - set(rows["frame_index"].to_list())
    assert all(frame % SHOT < BEFORE_FOUND for frame in missing)
    assert rows["frame_index"].is_unique().all()


def test_the_number_of_workers_makes_no_difference(pair: People, tmp_path: Path) -> None:
    assert without_people(pair, tmp_path).extract(workers=1).equals(pair.table())


def test_a_stream_that_cannot_be_sought_gives_the_same(pair: People, pair_film: Path, tmp_path: Path) -> None:
    raw = run_ffmpeg("-i", pair_film, "-c", "copy", "-bsf:v", "h264_mp4toannexb", tmp_path / "pair.h264")
    people = with_frames(tmp_path, raw, declared_frame_rate=25)
    assert people.extract().equals(pair.table())


def test_a_recording_whose_index_is_wrong_is_decoded_as_one(pair: People, tmp_path: Path) -> None:
    """As `frames` are: here the index says that the third segment's times are others."""
    people = without_people(pair, tmp_path)
    path = people.store.index("A")
    index = pl.read_parquet(path)
    metadata = read_provenance(path)
    assert metadata is not None
    shifted = index.with_columns(
        pl.when(pl.col("frame_index") < 80).then(pl.col("pts")).otherwise(pl.col("pts") + 1).alias("pts")
    ).to_arrow()
    schema = pa.schema([field.with_type(shifted.schema.field(field.name).type) for field in shifted.schema])
    provenance = Provenance(stage="ingest", stage_key=metadata["stage_key"])
    write_part(path, shifted.cast(schema), provenance)
    assert people.extract().equals(pair.table())


def test_nothing_stays_of_what_is_biometric_and_nothing_is_done_twice(pair: People, tmp_path: Path) -> None:
    people = without_people(pair, tmp_path)
    assert [one.recording_id for one in pending(people.store, [people.recording], SETTINGS)] == ["A"]
    people.extract()
    assert not unjoined(people.store, "A").exists()
    assert pending(people.store, [people.recording], SETTINGS) == []
    before = [path.stat().st_mtime_ns for path, _ in people_parts(people)]
    people.extract()
    assert [path.stat().st_mtime_ns for path, _ in people_parts(people)] == before
    assert all("embedding" not in pl.read_parquet_schema(path) for path, _ in people_parts(people))


def test_frames_do_not_depend_on_anybody_else(pair: People) -> None:
    recording = pair.recording
    other = SETTINGS.model_copy(update={"all_faces": False, "people": PeopleSettings(interval=3)})
    assert frames_key(recording, other) == frames_key(recording, SETTINGS)
    assert people_key(recording, other) != people_key(recording, SETTINGS)
    assert has_people(pair.store, recording, SETTINGS)
    assert not has_people(pair.store, recording, other)
    assert pending(pair.store, [recording], other) == []  # not asked for
    changed = FacesSettings(**{**SETTINGS.model_dump(), "tracking_threshold": 0.7})
    assert people_key(recording, changed) != people_key(recording, SETTINGS)
    assert pending(pair.store, [recording], changed) == []  # its frames come first


def test_frames_come_first(pair: People, tmp_path: Path) -> None:
    people = without_people(pair, tmp_path)
    (people.store.frames("A") / part_name(2)).unlink()
    with pytest.raises(StoreError, match="affectflow faces"):
        people.extract()


def test_a_changed_file_is_a_failure_of_this_stage(tmp_path: Path, pair_film: Path) -> None:
    film = Path(shutil.copy(pair_film, tmp_path / "film.mp4"))
    people = with_frames(tmp_path, film)
    film.write_bytes(film.read_bytes() + b"\0")
    with pytest.raises(SourceError, match="found another"):
        people.extract()
    assert [(row["recording_id"], row["stage"]) for row in read_failures(people.store).to_pylist()] == [("A", "people")]
    assert not list(people.store.people("A").glob("*"))


_RUN = """
import sys
from pathlib import Path
from schemas.settings import FacesSettings
from tasks.faces.pool import worker_pool
from tasks.ingest.recordings import read_recordings
from tasks.people.stage import extract_people
from tasks.store.layout import Store

store = Store(Path(sys.argv[1]))
with worker_pool():
    extract_people(store, read_recordings(store)[0], FacesSettings.model_validate_json(sys.argv[2]), workers=2)
"""


def start(people: People) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _RUN, str(people.store.root), SETTINGS.model_dump_json()]
    return subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def segments(people: People) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in unjoined(people.store, "A").glob("part-*.parquet")}


def has_grown(people: People, before: int, process: subprocess.Popen[bytes]) -> bool:
    return len(segments(people)) > before or process.poll() is not None


def test_killed_runs_go_on_where_they_were(pair: People, tmp_path: Path) -> None:
    people = without_people(pair, tmp_path)
    chance = random.Random(3)
    for _ in range(2):
        process = start(people)
        before = segments(people)
        assert wait_until(partial(has_grown, people, len(before), process), 120)
        time.sleep(chance.uniform(0, 0.1))
        family = children(process.pid)
        process.kill()
        process.wait()
        assert wait_until(lambda gone=family: not any(alive(pid) for pid in gone))  # type: ignore[misc]
        assert before.items() <= segments(people).items()
    left = segments(people)
    assert frames_looked_at(people.store, people.recording, SETTINGS) >= 40 * (len(left) - 1)
    with worker_pool():
        assert people.extract().equals(pair.table())
    assert not unjoined(people.store, "A").exists()


def test_a_killed_worker_s_segment_is_done_again(pair: People, tmp_path: Path) -> None:
    people = without_people(pair, tmp_path)
    process = start(people)
    assert wait_until(lambda: len(children(process.pid)) == 2)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert process.wait(timeout=120) == 0
    assert people.table().equals(pair.table())


def test_a_join_that_was_interrupted_is_done_again(pair: People, tmp_path: Path) -> None:
    """Segments all there, some parts in place, the last one missing."""
    people = without_people(pair, tmp_path)
    kept = tmp_path / "kept"

    def keep(path: Path) -> None:
        shutil.copytree(path, kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_clear", keep)
        people.extract()
    shutil.rmtree(unjoined(people.store, "A"))
    shutil.copytree(kept, unjoined(people.store, "A"))
    (people.store.people("A") / part_name(4)).unlink()
    started = [path.stat().st_mtime_ns for path in segments(people)]
    assert frames_looked_at(people.store, people.recording, SETTINGS) == NUM_FRAMES
    assert people.extract().equals(pair.table())
    assert started
    assert not unjoined(people.store, "A").exists()


def test_the_overlay_draws_the_others(pair: People, tmp_path: Path) -> None:
    others = OtherPeople(pair.store, "A")
    shown = [frame for frame in range(NUM_FRAMES) if [row["person"] for row in others.at(frame)] == [1]]
    assert shown == rows_of(pair).filter(pl.col("person") == 1)["frame_index"].to_list()

    stale = People(Ingested(Store(tmp_path / "store"), pair.made.recordings), pair.recording)
    shutil.copytree(pair.store.root, stale.store.root)
    changed = FacesSettings(**{**SETTINGS.model_dump(), "tracking_threshold": 0.7})
    extract_faces(stale.store, stale.recording, changed, workers=2)
    assert OtherPeople(stale.store, "A").at(0) == []


def test_extracting_again_is_free_of_workers(pair: People) -> None:
    summary = extract_people(pair.store, pair.recording, SETTINGS, workers=2)
    assert (summary.num_frames, summary.seconds) == (NUM_FRAMES, 0.0)
