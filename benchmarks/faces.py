"""How fast faces are extracted, and whether it costs anything: ours beside decoding alone and beside the usual loop.

    uv run benchmarks/faces.py --videos ../shared/data/videos --out /tmp/faces

(a) ffmpeg alone, its default threads, the stream's own yuv420p piped to a reader that throws it away.
(b) the usual loop, one process: decode (PyAV), dlib's HOG detector on every whole gray frame, five landmarks, dlib's
    aligned chip.
(c) ours: `extract_faces` from nothing to Parquet on disk, two workers, the start of the workers and the first pass for
    the main person included; ingestion is not (it is told beside the table). Python's bytecode is cached, as usual,
    under --out where the environment forbids it elsewhere.

Each round runs a, b and c one after the other; the ratios are medians over the rounds. Clips that are shorter than
--frames are looped by stream copy for (a) and (c); (b), whose cost does not change from frame to frame, sees the clip
as it is, and its first --usual frames. On those frames (c)'s landmarks are compared with (b)'s.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import dlib
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.table import Table

from schemas.settings import FacesSettings, IngestSettings
from tasks.faces.detect import landmark_model_path
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store

FloatArray = npt.NDArray[np.float64]

CLIPS = ("s18_720p.mp4", "grid_s1_5min.mp4")
WORKERS = 2


@dataclass(frozen=True)
class Rates:
    """Frames/s of one round."""

    decoding: float
    usual: float
    ours: float


def looped(clip: Path, out: Path, frames: int) -> Path:
    """The clip, repeated until it has `frames` frames, without encoding it again."""
    with av.open(str(clip)) as container:
        number = sum(1 for packet in container.demux(video=0) if packet.size)
    times = -(-frames // number)
    if times == 1:
        return clip
    target = out / f"{clip.stem}-x{times}{clip.suffix}"
    if not target.exists():
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-stream_loop", str(times - 1)]
        subprocess.run([*command, "-i", clip, "-map", "0:v:0", "-c", "copy", target], check=True)
    return target


def decode_only(video: Path) -> float:
    """(a): frames/s."""
    with av.open(str(video)) as container:
        context = container.streams.video[0].codec_context
        frame_bytes = context.width * context.height * 3 // 2
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(video), "-map", "0:v:0"]
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "pipe:1"],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        size = 0
        while block := process.stdout.read(1 << 20):
            size += len(block)
    return size / frame_bytes / (time.perf_counter() - started)


def usual_loop(clip: Path, frames: int) -> tuple[float, list[FloatArray | None]]:
    """(b): frames/s, and the landmarks of each frame's largest face, `[5, xy]`."""
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(landmark_model_path()))
    found: list[FloatArray | None] = []
    started = time.perf_counter()
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if len(found) == frames:
                break
            rgb = frame.to_ndarray(format="rgb24")
            gray = np.ascontiguousarray(frame.to_ndarray(format="gray"))
            boxes = detector(gray, 0)
            if not boxes:
                found.append(None)
                continue
            shape = predictor(gray, max(boxes, key=lambda box: box.width()))
            dlib.get_face_chip(np.ascontiguousarray(rgb), shape, size=96)
            found.append(np.array([[point.x, point.y] for point in shape.parts()], dtype=np.float64))
    return len(found) / (time.perf_counter() - started), found


def ingest_clip(video: Path, out: Path) -> Store:
    """A fresh store with one recording."""
    shutil.rmtree(out, ignore_errors=True)
    corpus, store = out / "corpus", Store(out / "store")
    corpus.mkdir(parents=True)
    (corpus / "manifest.csv").write_text(
        f"recording,subject,video,ratings,partition,scale\nclip,clip,{video.resolve()},,,\n", encoding="utf-8"
    )
    ingest_corpus(corpus, store, IngestSettings())
    return store


def ours(video: Path, out: Path, *, workers: int) -> tuple[float, float, pl.DataFrame]:
    """(c): frames/s of the extraction, seconds of the ingestion before it, and the rows."""
    started = time.perf_counter()
    store = ingest_clip(video, out)
    ingested = time.perf_counter()
    (recording,) = read_recordings(store)
    with worker_pool():
        extract_faces(store, recording, FacesSettings(), workers=workers)
    seconds = time.perf_counter() - ingested
    columns = ["frame_index", "face_valid", "face_source", "landmarks"]
    rows = pl.read_parquet(store.frames(recording.recording_id) / "part-*.parquet", columns=columns)
    return rows.height / seconds, ingested - started, rows.sort("frame_index")


def agreement(theirs: list[FloatArray | None], rows: pl.DataFrame) -> dict[str, Any]:
    """Where (b) has a face: how many of those frames ours has too, and how far each of the landmarks is apart."""
    mine = rows["landmarks"].to_list()
    distances, missed, gaps, absent = [], 0, [], False
    waiting: int | None = None
    for expected, found in zip(theirs, mine, strict=False):
        if expected is None:
            absent = True
            continue
        if absent and waiting is None:
            waiting, absent = 0, False
        if found is None:
            missed += 1
            waiting = None if waiting is None else waiting + 1
            continue
        if waiting is not None:
            gaps.append(waiting)
            waiting = None
        eyes = np.linalg.norm(expected[:2].mean(axis=0) - expected[2:4].mean(axis=0))
        points = np.array(found).reshape(5, 2)
        distances += (100 * np.linalg.norm(points - expected, axis=1) / eyes).tolist()
    gaps += [] if waiting is None else [waiting]  # never found again
    faces = sum(one is not None for one in theirs)
    return {
        "frames": len(theirs),
        "faces_usual": faces,
        "covered_percent": 100 * (faces - missed) / max(faces, 1),
        "median_percent": float(np.median(distances)),
        "p99_percent": float(np.percentile(distances, 99)),
        "most_frames_late": max(gaps, default=0),
    }


def main() -> None:
    """Run the rounds and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", nargs="+", default=list(CLIPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=7500, help="loop shorter clips up to this many frames")
    parser.add_argument("--usual", type=int, default=750, help="frames of the usual loop in each round")
    parser.add_argument("--compare", type=int, default=7500, help="frames compared with the usual loop's")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(arguments.out.resolve() / "bytecode")
    speed, truth = _table("Speed: frames/s, medians", _SPEED), _table("What (b) finds, and ours beside it", _TRUTH)
    results = {}
    for name in arguments.clips:
        clip = arguments.videos / name
        rates, ingestion = _rounds(clip, arguments)
        _, theirs = usual_loop(clip, arguments.compare)
        _, _, rows = ours(clip, arguments.out / "compare", workers=WORKERS)
        told = agreement(theirs, rows)
        results[name] = {"rates": [vars(one) for one in rates], "agreement": told}
        speed.add_row(name, *_speeds(rates), f"{ingestion:.1f} s")
        truth.add_row(
            name, f"{told['faces_usual']}/{told['frames']}", f"{told['covered_percent']:.2f} %",
            f"{told['median_percent']:.2f} %", f"{told['p99_percent']:.2f} %", str(told["most_frames_late"]),
        )  # fmt: skip
    (arguments.out / "faces.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    console = Console(width=120)
    console.print(speed, truth)


_SPEED = ("clip", "(a) decoding", "(b) usual loop", "(c) ours", "c / b", "c / a", "ingestion")
_TRUTH = ("clip", "(b)'s faces", "ours has", "landmarks, median", "99th percentile", "most frames late after a gap")


def _rounds(clip: Path, arguments: argparse.Namespace) -> tuple[list[Rates], float]:
    video = looped(clip, arguments.out, arguments.frames)
    rates, ingestion = [], 0.0
    for number in range(arguments.rounds):
        decoding = decode_only(video)
        usual, _ = usual_loop(clip, arguments.usual)
        own, ingestion, rows = ours(video, arguments.out / "speed", workers=WORKERS)
        rates.append(Rates(decoding, usual, own))
        print(f"{clip.name} round {number + 1}: {rates[-1]}, {rows.height} frames", file=sys.stderr)
    return rates, ingestion


def _speeds(rates: list[Rates]) -> list[str]:
    middle = statistics.median
    return [
        f"{middle(one.decoding for one in rates):,.0f}",
        f"{middle(one.usual for one in rates):,.0f}",
        f"{middle(one.ours for one in rates):,.0f}",
        f"{middle(one.ours / one.usual for one in rates):.1f} x",
        f"{middle(one.ours / one.decoding for one in rates):.2f}",
    ]


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading)
    return table


if __name__ == "__main__":
    main()
