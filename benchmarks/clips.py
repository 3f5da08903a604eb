"""Ingest and `faces` over a folder of clips: frames, faces and seconds of each, against an independent decoder.

    uv run benchmarks/clips.py --videos ../shared/data/videos --out /tmp/clips

`--detector cnn` shows what dlib's CNN detector finds instead (minutes where there is no face to follow), `--only`
names clips. Frames are compared with what PyAV decodes: number, and every presentation time. Raw streams are read at
a declared 25 frames/s.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from pathlib import Path

import av
import polars as pl
from rich.console import Console
from rich.table import Table

from schemas.errors import AffectFlowError
from schemas.settings import FacesSettings, IngestSettings
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces, num_workers
from tasks.ingest.recordings import Recording, read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store


def write_manifest(videos: Path, out: Path, only: list[str]) -> Path:
    """A manifest of the files in a folder, all or only some, without ratings or partitions."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "subject", "video", "ratings", "partition", "scale"])
        for path in sorted(videos.iterdir()):
            if only and path.name not in only:
                continue
            writer.writerow([path.name, path.name, path.resolve(), "", "", ""])
    return out


def measure(store: Store, recording: Recording, settings: FacesSettings) -> list[str]:
    """One row of the table."""
    started = time.monotonic()
    try:
        extract_faces(store, recording, settings, workers=num_workers(settings))
    except AffectFlowError as error:
        return [recording.recording_id_original, "failed", *[""] * 6, str(error)]
    seconds = time.monotonic() - started
    columns = ["time_seconds", "face_source", "box_left", "box_right", "num_other_faces"]
    frames = pl.read_parquet(store.frames(recording.recording_id) / "part-*.parquet", columns=columns)
    by_source = dict(frames["face_source"].value_counts().iter_rows())
    side = (frames["box_right"] - frames["box_left"]).cast(pl.Float64).median()
    others = int((frames.filter(pl.col("face_source") == "none")["num_other_faces"] > 0).sum())
    return [
        recording.recording_id_original,
        f"{recording.width}x{recording.height}",
        str(frames.height),
        f"{by_source.get('detected', 0)} + {by_source.get('tracked', 0)}",
        f"{by_source.get('none', 0)} ({others})",
        f"{side:.0f} px" if isinstance(side, float) else "",
        f"{seconds:.1f}",
        f"{frames.height / seconds:,.0f}",
        compare(frames["time_seconds"].to_list(), recording),
    ]


def compare(times: list[float], recording: Recording) -> str:
    """What PyAV says about the number of frames and their times."""
    with av.open(recording.path) as container:
        start = (container.start_time or 0) / av.time_base
        decoded = [frame.time for frame in container.decode(video=0)]
    if len(decoded) != len(times):
        return f"PyAV decodes {len(decoded)}"
    if recording.time_source == "declared_rate" or None in decoded:
        return "same number; times declared"
    off = max(abs(ours - (theirs - start)) for ours, theirs in zip(times, decoded, strict=True) if theirs is not None)
    return f"same number; times within {off:.0e} s"


def main() -> None:
    """Ingest, extract, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder of clips")
    parser.add_argument("--out", type=Path, required=True, help="where manifest and store go, in place of older ones")
    parser.add_argument("--detector", choices=["hog", "cnn"], default="hog")
    parser.add_argument("--only", nargs="+", default=[], metavar="CLIP")
    arguments = parser.parse_args()
    settings = FacesSettings(detector=arguments.detector)
    store = Store(arguments.out / "store")
    shutil.rmtree(store.root, ignore_errors=True)  # what is there already would take no time
    corpus = write_manifest(arguments.videos, arguments.out / "corpus", arguments.only)
    summary = ingest_corpus(corpus, store, IngestSettings(declared_frame_rate=25))
    table = Table(title=f"faces, {arguments.detector} detector", title_justify="left")
    for heading in (
        "clip", "stored", "frames", "detected + tracked", "none (other people)", "median box", "seconds", "frames/s",
        "against PyAV",
    ):  # fmt: skip
        table.add_column(heading, overflow="fold")
    with worker_pool():
        rows = [measure(store, recording, settings) for recording in read_recordings(store)]
    failed = {problem.recording_id: problem for problem in summary.problems if problem.severity == "failed"}
    rows += [[str(name), "failed", *[""] * 6, str(problem.found)] for name, problem in failed.items()]
    for row in sorted(rows):
        table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
