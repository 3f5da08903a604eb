"""Peak memory of ingestion and of the faces stage, on a short and on a long clip: it must not grow with the length.

    uv run benchmarks/memory.py ../shared/data/videos/grid_s1_5min.mp4 --out /tmp/memory

Each clip is repeated by ffmpeg, without re-encoding, to every length asked for. Ingestion and extraction of each run in
a process of their own, whose memory, and that of all processes below it, is read several times a second. Numbers are
resident memory in MB (10^6 bytes), shared libraries included, so they are upper bounds. A worker is its Python process
and the ffmpeg that it reads from, at the same moment.

Ends with 1 if a worker ever exceeds 700 MB, or if anything needs over 10 % more for the longest clip than for the
shortest.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
from rich.console import Console
from rich.table import Table

from schemas.settings import FacesSettings, IngestSettings
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.layout import Store

MOST_WORKER_MB = 700
MOST_GROWTH = 1.10
SAMPLE_SECONDS = 0.15


@dataclass
class Peaks:
    """Peak memory, MB: of the process watched, and of the largest worker as a whole and by its two halves."""

    parent: float = 0.0
    worker: float = 0.0
    python: float = 0.0
    ffmpeg: float = 0.0

    def see(self, parent: int) -> None:
        """Read the memory of a process and of all below it now."""
        children = children_of_all()
        self.parent = max(self.parent, resident_mb(parent))
        for worker in children[parent]:
            own = command_of(worker)
            if own == command_of(parent):
                continue  # it has not become another program yet, and shows its parent's memory
            python = resident_mb(worker)
            ffmpeg = sum(resident_mb(child) for child in children[worker] if command_of(child) != own)
            self.python, self.ffmpeg = max(self.python, python), max(self.ffmpeg, ffmpeg)
            self.worker = max(self.worker, python + ffmpeg)


@dataclass
class Measured:
    """One clip at one length."""

    clip: str
    minutes: float
    frames: int
    frames_per_second: float
    ingest: Peaks
    faces: Peaks


def children_of_all() -> dict[int, list[int]]:
    """Children of every process on this machine."""
    found: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            after_name = entry.read_bytes().rpartition(b")")[2].split()
            found[int(after_name[1])].append(int(entry.parent.name))
    return found


def resident_mb(process: int) -> float:
    """Resident memory; 0 of a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Rss:")), 0.0)


def command_of(process: int) -> bytes:
    """Command line; empty of a process that has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def watched(work: Callable[..., Any], *arguments: Any) -> tuple[Any, Peaks]:
    """Run `work(*arguments)` in a new process; what it returns, and its peaks."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, arguments))
    peaks = Peaks()
    process.start()
    theirs.close()
    assert process.pid is not None
    while not ours.poll(SAMPLE_SECONDS):
        peaks.see(process.pid)
    try:
        result = ours.recv()
    except EOFError:
        process.join()
        raise SystemExit(
            f"{work.__name__}: its process ended with status {process.exitcode}; why stands above"
        ) from None
    process.join()
    return result, peaks


def _answer(pipe: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(work(*arguments))


def ingest(corpus: Path, store: Path) -> int:
    """Ingest; how many recordings are in the store then."""
    return ingest_corpus(corpus, Store(store), IngestSettings()).recordings


def faces(store: Path, workers: int) -> tuple[int, float]:
    """Extract the faces of the store's one recording: frames, and seconds that it took."""
    (recording,) = read_recordings(Store(store))
    summary = extract_faces(Store(store), recording, FacesSettings(), workers=workers)
    return summary.num_frames, summary.seconds


def repeated(clip: Path, minutes: float, out: Path) -> Path:
    """`clip` over and over until it is that long, packets copied as they are."""
    with av.open(str(clip)) as container:
        if container.duration is None:
            raise SystemExit(f"{clip}: expected a clip whose container states its duration, found none; take another")
        times = int(minutes * 60 * av.time_base / container.duration)
    target = out / f"{clip.stem}-{minutes:g}min{clip.suffix}"
    seconds = f"{minutes * 60:.3f}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-stream_loop", str(times), "-i", str(clip)]
    subprocess.run([*command, "-map", "0:v:0", "-map", "0:a?", "-c", "copy", "-t", seconds, str(target)], check=True)
    return target


def measure(clip: Path, minutes: float, out: Path, workers: int) -> Measured:
    """Ingest and extract one clip at one length."""
    folder = out / f"{clip.stem}-{minutes:g}-{time.time_ns()}"
    corpus, store = folder / "corpus", folder / "store"
    corpus.mkdir(parents=True)
    film = repeated(clip, minutes, corpus)
    text = f"recording,subject,video,ratings,partition,scale\nA,A,{film.name},,,\n"
    (corpus / "manifest.csv").write_text(text, encoding="utf-8")
    count, ingest_peaks = watched(ingest, corpus, store)
    if count != 1:
        raise SystemExit(f"{film}: expected a recording that can be ingested; the lines above say what is wrong")
    (frames, seconds), faces_peaks = watched(faces, store, workers)
    return Measured(clip.name, minutes, frames, frames / seconds, ingest_peaks, faces_peaks)


def complaints(rows: list[Measured]) -> list[str]:
    """What breaks the bounds."""
    found = [
        f"{row.clip}, {row.minutes:g} min: a worker needed {row.faces.worker:.0f} MB, expected at most {MOST_WORKER_MB}"
        for row in rows
        if row.faces.worker > MOST_WORKER_MB
    ]
    for clip in dict.fromkeys(row.clip for row in rows):
        same = sorted((row for row in rows if row.clip == clip), key=lambda row: row.minutes)
        short, long = same[0], same[-1]
        for name, before, after in (
            ("a worker", short.faces.worker, long.faces.worker),
            ("the parent", short.faces.parent, long.faces.parent),
            ("ingestion", short.ingest.parent, long.ingest.parent),
        ):
            if after > MOST_GROWTH * before:
                found.append(
                    f"{clip}: {name} needed {after:.0f} MB for {long.minutes:g} min and {before:.0f} MB for "
                    f"{short.minutes:g} min, expected at most {100 * (MOST_GROWTH - 1):.0f} % more"
                )
    return found


def table_of(rows: list[Measured], workers: int) -> Table:
    """One line per clip and length."""
    table = Table(title=f"Peak resident memory in MB, {workers} workers", title_justify="left")
    table.add_column("clip")
    for heading in ("minutes", "frames", "frames/s", "worker", "its python", "its ffmpeg", "parent", "ingest"):
        table.add_column(heading, justify="right")
    for row in rows:
        halves = (row.faces.worker, row.faces.python, row.faces.ffmpeg, row.faces.parent, row.ingest.parent)
        table.add_row(
            row.clip,
            f"{row.minutes:g}",
            f"{row.frames:,}",
            f"{row.frames_per_second:,.0f}",
            *(f"{number:.0f}" for number in halves),
        )
    return table


def main() -> None:
    """Make the clips, measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+", help="clips to repeat")
    parser.add_argument("--out", type=Path, required=True, help="where the long clips and the stores go")
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60], help="lengths to compare")
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    arguments = parser.parse_args()
    rows = [
        measure(clip, minutes, arguments.out, arguments.workers)
        for clip in arguments.clips
        for minutes in arguments.minutes
    ]
    console = Console(width=120)
    console.print(table_of(rows, arguments.workers))
    found = complaints(rows)
    for complaint in found:
        console.print(complaint, soft_wrap=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
