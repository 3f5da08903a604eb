"""Ingest and `faces` over a folder of clips: frames, faces and seconds of each, against an independent decoder.

    uv run benchmarks/clips.py --videos ../shared/data/videos --out /tmp/clips

Frames are compared with what PyAV decodes: number, and every presentation time. Raw streams without time stamps are
read at a declared 25 frames/s.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import av
import polars as pl
from rich.console import Console
from rich.table import Table

from schemas.errors import AffectFlowError
from schemas.settings import FacesSettings, IngestSettings
from tasks.faces.stage import extract_faces, num_workers
from tasks.ingest.recordings import Recording, read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store

SETTINGS = FacesSettings()


def write_manifest(videos: Path, out: Path) -> Path:
    """A manifest of every file in a folder, without ratings or partitions."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "subject", "video", "ratings", "partition", "scale"])
        for path in sorted(videos.iterdir()):
            writer.writerow([path.name, path.name, path.resolve(), "", "", ""])
    return out


def measure(store: Store, recording: Recording) -> list[str]:
    """One row of the table."""
    started = time.monotonic()
    try:
        extract_faces(store, recording, SETTINGS, workers=num_workers(SETTINGS))
    except AffectFlowError as error:
        return [recording.recording_id_original, "failed", "", "", "", str(error)]
    seconds = time.monotonic() - started
    frames = pl.read_parquet(
        store.frames(recording.recording_id) / "part-*.parquet", columns=["time_seconds", "face_valid"]
    )
    faces = int(frames["face_valid"].sum())
    return [
        recording.recording_id_original,
        str(frames.height),
        str(faces),
        f"{100 * faces / frames.height:.1f} %",
        f"{seconds:.1f}",
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
    parser.add_argument("--out", type=Path, required=True, help="where manifest and store go")
    arguments = parser.parse_args()
    store = Store(arguments.out / "store")
    summary = ingest_corpus(
        write_manifest(arguments.videos, arguments.out / "corpus"), store, IngestSettings(declared_frame_rate=25)
    )
    table = Table()
    for heading in ("clip", "frames", "with a face", "share", "seconds", "against PyAV"):
        table.add_column(heading, overflow="fold")
    rows = [measure(store, recording) for recording in read_recordings(store)]
    failed = {problem.recording_id: problem for problem in summary.problems if problem.severity == "failed"}
    rows += [[str(name), "failed", "", "", "", str(problem.found)] for name, problem in failed.items()]
    for row in sorted(rows):
        table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
