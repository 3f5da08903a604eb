"""Hostile names and hostile files, from the corpus to the table: processed whole or refused by name, never misread."""

from __future__ import annotations

import csv
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.errors import DecodeError, ProbeError
from schemas.settings import FacesSettings, IngestSettings
from schemas.tables import frames_schema
from tasks.faces.decode import FrameStream
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.ingest.probe import probe_video
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.parts import read_table

from .conftest import run_ffmpeg, write_portrait

NUM_FRAMES = 4
NAMES = [
    "a b.mp4",
    "-i.mp4",
    "-.mp4",
    "q'\"`.mp4",
    "line\nbreak.mp4",
    "%03d.mp4",
    "file:x.mp4",
    "http:y.mp4",
    "concat:a|b.mp4",
    "pipe:0.mp4",
    "back\\slash.mp4",
    "$(z);&.mp4",
    "[0:v],é#?*.mp4",
    "日本.mp4",
]
NOT_UTF8 = os.fsdecode(b"caf\xe9.mp4")


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_portrait(tmp_path_factory.mktemp("film") / "film.mp4", list(range(NUM_FRAMES)))


def extract_all(corpus: Path, store: Store) -> dict[str, int]:
    """Ingest and extract; rows by the video's file name."""
    ingest_corpus(corpus, store, IngestSettings())
    rows = {}
    with worker_pool():
        for one in read_recordings(store):
            extract_faces(store, one, FacesSettings(workers=1), workers=1)
            table = read_table(store.frames(one.recording_id), frames_schema("rgb96"), ["recording_id", "face_valid"])
            assert set(table["recording_id"].to_pylist()) == {one.recording_id}
            assert all(table["face_valid"].to_pylist())
            rows[Path(one.path).name] = table.num_rows
    return rows


def test_names_in_a_manifest(tmp_path: Path, film: Path) -> None:
    corpus = tmp_path / "co 'r%p:u\ns"
    corpus.mkdir()
    with (corpus / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "subject", "video", "ratings", "partition", "scale"])
        for number, name in enumerate(NAMES):
            shutil.copyfile(film, corpus / name)
            writer.writerow([f"n{number}", f"n{number}", name, "", "", ""])
    store = Store(tmp_path / "st 'o%r:e\n")
    assert extract_all(corpus, store) == dict.fromkeys(NAMES, NUM_FRAMES)
    assert read_failures(store).num_rows == 0


def test_names_in_a_recola_tree(tmp_path: Path, film: Path) -> None:
    """`-` and the Japanese name have no letter or digit to make an id of: a warning names each."""
    videos = tmp_path / "RECOLA-Video-recordings"
    videos.mkdir()
    for name in (*NAMES, NOT_UTF8):
        shutil.copyfile(film, videos / name)
    store = Store(tmp_path / "store")
    summary = ingest_corpus(tmp_path, store, IngestSettings())
    done = {one.path: one.num_frames for one in read_recordings(store)}
    refused = {found.path for found in summary.problems if "letter or digit" in found.expected}
    assert {*done, *refused} == {str(videos / name) for name in NAMES}
    assert set(done.values()) == {NUM_FRAMES}
    assert {Path(path).name for path in refused} == {"-.mp4", "日本.mp4"}
    [failure] = read_failures(store).to_pylist()
    assert failure["path"].endswith(r"caf\udce9.mp4")
    assert "UTF-8" in failure["message"]


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A web server on the loopback: its address, and every request that it got."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
        server.shutdown()
        thread.join()


def with_outside_reference(film: Path, address: str) -> bytes:
    """A QuickTime file whose media are said to lie elsewhere (ISO 14496-12, 8.7.2: `url `, flags 0)."""
    data = film.read_bytes()
    place = data.index(b"dref")
    old = data[place + 12 : place + 24]
    assert old[4:8] == b"url "
    name = f"{address}/media".encode() + b"\0"
    entry = (12 + len(name)).to_bytes(4, "big") + b"url " + bytes(4) + name
    grown = bytearray(data[: place + 12] + entry + data[place + 24 :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = grown.index(box) - 4
        grown[at : at + 4] = (int.from_bytes(grown[at : at + 4], "big") + len(entry) - 12).to_bytes(4, "big")
    return bytes(grown)


LISTS: dict[str, Callable[[str], str]] = {
    "web.m3u8": lambda where: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{where}/a.ts\n#EXT-X-ENDLIST\n",
    "web.mp4": lambda where: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{where}/a.ts\n#EXT-X-ENDLIST\n",
    "local.m3u8": lambda _: "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.ts\n#EXT-X-ENDLIST\n",
    "web.ffconcat": lambda where: f"ffconcat version 1.0\nfile '{where}/a.mp4'\n",
    "local.mkv": lambda _: "ffconcat version 1.0\nfile 'film.mp4'\n",
    "web.mpd": lambda where: (
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" '
        f'bandwidth="1"><BaseURL>{where}/d.mp4</BaseURL><SegmentBase/></Representation></AdaptationSet></Period></MPD>'
    ),
    "web.sdp": lambda _: (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\n"
        "c=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
    ),
    "web.asx": lambda where: f'<asx version="3.0"><entry><ref href="{where}/a.wmv"/></entry></asx>',
    "web.ram": lambda where: f"{where}/a.rm\n",
    "frames.ffmetadata": lambda _: ";FFMETADATA1\ntitle=x\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_name_other_files_are_refused(
    tmp_path: Path, film: Path, asked: tuple[str, list[str]], name: str
) -> None:
    """By the probe, and by the decoder too: a list may take the video's place once it is ingested."""
    shutil.copyfile(film, tmp_path / "film.mp4")
    run_ffmpeg("-i", film, "-c", "copy", tmp_path / "film.ts")
    address, requests = asked
    path = tmp_path / name
    path.write_text(LISTS[name](address), encoding="utf-8")
    with pytest.raises(ProbeError):
        probe_video(path)
    with FrameStream(path, size=(320, 240)) as stream, pytest.raises(DecodeError):
        next(iter(stream))
    assert requests == []


def test_media_elsewhere_are_not_fetched(tmp_path: Path, film: Path, asked: tuple[str, list[str]]) -> None:
    address, requests = asked
    path = tmp_path / "outside.mp4"
    path.write_bytes(with_outside_reference(film, address))
    probe = probe_video(path)  # what is read is this file's own bytes
    with FrameStream(path, size=(320, 240)) as stream:
        assert len(list(stream)) == probe.num_frames == NUM_FRAMES
    assert requests == []


@pytest.mark.parametrize("name", ["subfile,,start,0,end,0,,:film.mp4", "data:video", "fd:0", "crypto:film.mp4"])
def test_names_that_are_protocols_are_files(tmp_path: Path, film: Path, name: str) -> None:
    with pytest.raises(ProbeError, match="found none"):
        probe_video(tmp_path / name)
    shutil.copyfile(film, tmp_path / name)
    assert probe_video(tmp_path / name).num_frames == NUM_FRAMES
    with FrameStream(tmp_path / name, size=(320, 240)) as stream:
        assert len(list(stream)) == NUM_FRAMES


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "."])
def test_links_to_no_file_are_refused(tmp_path: Path, target: str) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(target)
    with pytest.raises(ProbeError):
        probe_video(link)


def test_a_link_to_a_film_is_the_film(tmp_path: Path, film: Path) -> None:
    link = tmp_path / "link.mp4"
    link.symlink_to(film)
    assert probe_video(link).num_frames == NUM_FRAMES
