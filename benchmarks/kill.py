"""Kills an extraction at random moments: the run, a worker or an ffmpeg, and checks what is left and what follows.

    uv run benchmarks/kill.py --videos ../shared/data/videos --out /tmp/kill

Each round starts from empty `frames` and `identities`, sends SIGKILL at a moment drawn from a seed, and checks that

- every visible part can be read to its end, and no process of the run lives on (a worker's or an ffmpeg's death must
  not end the run);
- the run that follows writes no finished part again, and had at most one segment per worker to redo;
- the table is then the uninterrupted one, in every row and column.

Some rounds go through `affectflow faces`, the others drive the stage directly, which starts faster. Exits with 1 if
anything else happens. Linux only: processes are found in /proc.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from schemas.settings import FacesSettings, IngestSettings
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.progress import track
from tasks.store.layout import Store
from tasks.store.lock import writing

REPOSITORY = Path(__file__).parents[1]
CLIPS = ("d20.mp4", "face_noface.mov", "obama_speech.mp4", "id2_vcd_swwp2s.mpg")  # the last one is one stretch
WORKERS = 2
SETTINGS = FacesSettings(segment_frames=50, workers=WORKERS)
MARK = "AFFECTFLOW_KILL_BENCHMARK"
GRACE_SECONDS = 5.0

Stamps = dict[Path, int]


@dataclass
class Tally:
    """What happened in the rounds of one kind."""

    rounds: int = 0
    missed: int = 0
    redone: Counter[int] = field(default_factory=Counter)
    slowest_end: float = 0.0
    violations: list[str] = field(default_factory=list)


def drive(root: Path) -> None:
    """What the flow does, without Prefect: one recording after the other, each with every worker."""
    store = Store(root)
    with writing(store.root), worker_pool():
        for recording in read_recordings(store):
            extract_faces(store, recording, SETTINGS, workers=WORKERS)


def start(store: Store, *, through_cli: bool, mark: str) -> subprocess.Popen[bytes]:
    """Start an extraction; every process of it can be found by `mark` in its environment."""
    command = [sys.executable, str(Path(__file__)), "--drive", str(store.root)]
    if through_cli:
        config = store.root.parent / "kill.toml"
        config.write_text(f"[faces]\nsegment_frames = {SETTINGS.segment_frames}\nworkers = {WORKERS}\n")
        command = [sys.executable, "-m", "flows.cli", "faces", "--store", str(store.root), "--config", str(config)]
    with (store.root.parent / "run.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, MARK: mark}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def family(mark: str) -> dict[int, str]:
    """Every living process with the mark: its id and what it is."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or f"{MARK}={mark}".encode() not in (entry / "environ").read_bytes():
                continue
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            words = (entry / "cmdline").read_text()
        except (OSError, ValueError):
            continue
        if state != "Z":
            worker = "worker" if "tasks.faces.worker" in words else "run"
            found[int(entry.name)] = "ffmpeg" if "ffmpeg" in words.partition("\0")[0] else worker
    return found


def wait_gone(mark: str) -> float:
    """Seconds until no process with the mark is left; `inf` after the time of grace."""
    started = time.monotonic()
    while family(mark):
        if time.monotonic() - started > GRACE_SECONDS:
            return float("inf")
        time.sleep(0.01)
    return time.monotonic() - started


def empty(store: Store) -> None:
    """Back to what ingestion left: the first pass for the main person is to be killed too."""
    for folder in ("frames", "identities"):
        shutil.rmtree(store.root / folder, ignore_errors=True)


def parts(store: Store) -> Stamps:
    """Every visible part and its time of writing."""
    return {path: path.stat().st_mtime_ns for path in (store.root / "frames").glob("*/part-*.parquet")}


def unreadable(found: Stamps) -> list[str]:
    """Visible parts that are not whole."""
    bad = []
    for path in found:
        try:
            rows = pq.read_table(path).num_rows
            metadata = pq.read_metadata(path).metadata or {}
        except (OSError, ValueError) as error:
            bad.append(f"{path.name} of {path.parent.name}: {error}")
        else:
            if rows == 0 or b"affectflow.is_last" not in metadata:
                bad.append(f"{path.name} of {path.parent.name}: {rows} rows, unfinished metadata")
    return bad


def tables(store: Store) -> dict[str, pl.DataFrame]:
    """The frames of every recording, all columns."""
    return {
        one.recording_id: pl.read_parquet(sorted(store.frames(one.recording_id).glob("part-*.parquet")))
        for one in read_recordings(store)
    }


def kill_at(process: subprocess.Popen[bytes], kind: str, moment: float, mark: str, dice: random.Random) -> bool:
    """Wait for the moment, then kill one process of the kind; False if there was none before the run's end."""
    time.sleep(moment)
    while process.poll() is None:
        victims = [process.pid] if kind == "run" else [pid for pid, name in family(mark).items() if name == kind]
        if victims:
            try:
                os.kill(dice.choice(sorted(victims)), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
    return False


def one_round(
    store: Store,
    expected: dict[str, pl.DataFrame],
    tally: Tally,
    kind: str,
    moment: float,
    dice: random.Random,
    cli: bool,
) -> None:
    """Kill, check, run again, check."""
    empty(store)
    mark = f"{os.getpid()}-{dice.getrandbits(64):x}"
    process = start(store, through_cli=cli, mark=mark)
    hit = kill_at(process, kind, moment, mark, dice)
    finished = parts(store) if hit else {}
    told = [f"half-written: {one}" for one in unreadable(finished)]
    status = process.wait(timeout=300)
    if hit and kind != "run" and status != 0:
        told.append(f"the run ended with status {status}: {(store.root.parent / 'run.log').read_text()[-300:]}")
    seconds = wait_gone(mark)
    if seconds == float("inf"):
        told.append(f"left running: {family(mark)}")
    now = parts(store)
    told += [f"half-written: {one}" for one in unreadable(now)]
    unfinished = len(list((store.root / "frames").glob("*/.tmp-*")))
    if unfinished > WORKERS:
        told.append(f"{unfinished} segments to redo, for {WORKERS} workers")
    if kind == "run":
        again = start(store, through_cli=cli, mark=mark)
        if again.wait(timeout=300) != 0:
            told.append(f"the next run failed: {(store.root.parent / 'run.log').read_text()[-300:]}")
    after = parts(store)
    told += [f"written again: {path}" for path, stamp in {**finished, **now}.items() if after.get(path) != stamp]
    told += [f"left behind: {path}" for path in store.root.rglob(".tmp-*")]
    got = tables(store)
    told += [f"another table: {name}" for name, table in expected.items() if not got[name].equals(table)]
    tally.rounds += 1
    tally.missed += not hit
    tally.redone[unfinished] += 1
    tally.slowest_end = max(tally.slowest_end, seconds)
    for one in told:
        print(f"{kind} at {moment:.2f} s: {one}", flush=True)
    tally.violations += [f"{kind} at {moment:.2f} s: {one}" for one in told]


def prepare(videos: Path, out: Path) -> Store:
    """Ingest the clips."""
    corpus, store = out / "corpus", Store(out / "store")
    corpus.mkdir(parents=True, exist_ok=True)
    with (corpus / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "subject", "video", "ratings", "partition", "scale"])
        writer.writerows([name, name, (videos / name).resolve(), "", "", ""] for name in CLIPS)
    ingest_corpus(corpus, store, IngestSettings())
    return store


def measure(store: Store, *, kills: int, through_cli: int, seed: int) -> dict[str, Tally]:
    """Every round, by kind."""
    dice = random.Random(seed)
    empty(store)
    started = time.monotonic()
    if start(store, through_cli=False, mark="reference").wait() != 0:
        raise SystemExit(f"the uninterrupted run failed: {store.root.parent / 'run.log'}")
    seconds = time.monotonic() - started
    expected = tables(store)
    print(f"uninterrupted: {seconds:.1f} s, {sum(map(len, expected.values()))} frames, {len(parts(store))} parts")
    tallies: dict[str, Tally] = defaultdict(Tally)
    kinds = ("run", "run", "worker", "ffmpeg")
    with track("kill", kills, "rounds") as bar:
        for number in range(kills):
            cli = number < through_cli
            kind = kinds[number % len(kinds)]
            moment = dice.uniform(0, seconds) + (dice.uniform(3, 6) if cli else 0)
            one_round(store, expected, tallies[f"{kind}{' (CLI)' if cli else ''}"], kind, moment, dice, cli)
            bar.advance()
    return tallies


def main() -> None:
    """Prepare, kill, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help=f"folder with {', '.join(CLIPS)}")
    parser.add_argument("--out", type=Path, help="where corpus and store go")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--cli", type=int, default=4, help="how many of them go through the command line")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        drive(arguments.drive)
        return
    if arguments.videos is None or arguments.out is None:
        parser.error("--videos and --out are needed")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tallies = measure(
        prepare(arguments.videos, arguments.out), kills=arguments.kills, through_cli=arguments.cli, seed=arguments.seed
    )
    table = Table("killed", "rounds", "after its end", "segments to redo: rounds", "last process gone", "violations")
    for kind, tally in tallies.items():
        redone = ", ".join(f"{count}: {rounds}" for count, rounds in sorted(tally.redone.items()))
        ended = f"{tally.slowest_end:.2f} s"
        table.add_row(kind, str(tally.rounds), str(tally.missed), redone, ended, str(len(tally.violations)))
    Console(width=120).print(table)
    violations = [one for tally in tallies.values() for one in tally.violations]
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
