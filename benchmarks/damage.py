"""Damaged variants of real clips: each must end, in time, as a complete table or as a named error of its recording.

    uv run benchmarks/damage.py --videos ../shared/data/videos --out /tmp/damage

Clips are cut short without encoding them again, then damaged by a seeded program. Each variant is ingested and
extracted by a process of its own, with real workers. Complete means rows 0, 1, 2, ... with increasing times, as many as
PyAV decodes where it decodes without an error. A crash, a run over the time limit, a dead worker, a process or a
temporary file that is left, and any other error are failures: then the exit status is 1. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import polars as pl
from rich.console import Console
from rich.table import Table

from schemas.errors import RecordingError
from schemas.settings import FacesSettings, IngestSettings
from tasks.faces.plan import frames_key, is_complete
from tasks.faces.pool import worker_pool
from tasks.faces.stage import extract_faces
from tasks.ingest.recordings import read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.progress import track
from tasks.store.failures import read_failures
from tasks.store.layout import Store

REPOSITORY = Path(__file__).parents[1]
CLIPS = {  # name: frames kept, and the container they are put into
    "bbaf2n.mpg": (75, ".mpg"),
    "d20.mp4": (100, ".mp4"),
    "single_face.mp4": (72, ".mp4"),
    "d9_rotmeta90.mp4": (60, ".mov"),
    "obama_speech.mp4": (105, ".ts"),
    "bird.mkv": (63, ".mkv"),
    "face_noface.mov": (60, ".mov"),
    "franck.webm": (120, ".webm"),
    "id2_vcd_swwp2s.mpg": (60, ".mpg"),
    "franck60_vfr.mp4": (120, ".avi"),
    "Cisco_Men_whisper_640x320_CABAC_Bframe_9.264": (9, ".264"),
}
SETTINGS = FacesSettings(segment_frames=40, workers=1)
MARK = "AFFECTFLOW_DAMAGE_BENCHMARK"
BOXES = (b"mvhd", b"mdhd", b"tkhd", b"stsz", b"stts", b"ctts", b"stsc", b"stco", b"stss", b"elst", b"pasp", b"stsd",
         b"moov", b"trak", b"mdia", b"stbl", b"avcC", b"hvcC", b"hdlr", b"mdat")  # fmt: skip
VALUES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

Damage = Callable[[bytearray, random.Random], bytearray]


def flip_bits(data: bytearray, dice: random.Random) -> bytearray:
    for _ in range(dice.choice((1, 5, 50, 500))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data


def zero(data: bytearray, dice: random.Random) -> bytearray:
    first, length = dice.randrange(len(data)), dice.choice((16, 512, len(data) // 20))
    data[first : first + length] = bytes(len(data[first : first + length]))
    return data


def cut(data: bytearray, dice: random.Random) -> bytearray:
    """The end is missing, or a stretch of the middle."""
    first = dice.randrange(len(data))
    return data[:first] if dice.random() < 0.5 else data[:first] + data[first + dice.randrange(1, len(data) // 10) :]


def swap(data: bytearray, dice: random.Random) -> bytearray:
    """Two blocks change places."""
    size = dice.choice((64, 2048, len(data) // 8))
    one, other = sorted((dice.randrange(len(data) // 2), dice.randrange(len(data) // 2, len(data))))
    size = min(size, other - one, len(data) - other)
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]
    return data


def edit_header(data: bytearray, dice: random.Random) -> bytearray:
    """Fields of MP4 boxes (sizes, times, time bases, aspect, matrix, sample tables); of others the first 2 KB."""
    for _ in range(dice.choice((1, 1, 3))):
        value = dice.choice((*VALUES, dice.getrandbits(32)))
        found = [place for box in BOXES if (place := data.find(box)) > 0]
        if found:
            place = dice.choice(found) + dice.choice((-4, 4, 8, 12, 16, 20, 24, 28, 40, 44, 76, 80))
        else:
            place = dice.randrange(min(2048, len(data) - 4))
        if 0 <= place <= len(data) - 4:
            size = dice.choice((1, 2, 4)) if not found else 4
            data[place : place + size] = struct.pack(">I", value)[-size:]
    return data


def append_junk(data: bytearray, dice: random.Random) -> bytearray:
    """Noise, zeros or a second copy of the start behind the end."""
    size = dice.choice((10, 1000, 100_000))
    return data + dice.choice((dice.randbytes(size), bytes(size), bytes(data[:size])))


KINDS: dict[str, Damage] = {
    "bit flips": flip_bits, "zeroed stretch": zero, "cut": cut, "swapped blocks": swap, "header edit": edit_header,
    "appended junk": append_junk,
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How one variant ended: `result` is `complete` or an error's name; `failure` says what is wrong with that."""

    kind: str
    clip: str
    result: str
    seconds: float
    by_pyav: str
    failure: str | None


def shorten(videos: Path, folder: Path) -> list[Path]:
    """The first frames of each clip, copied as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, (frames, suffix) in CLIPS.items():
        target = folder / f"{Path(name).stem}{suffix}"
        source = ["-i", str(videos / name), "-map", "0:V:0", "-c", "copy", "-frames:v", str(frames)]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *source]
        if subprocess.run([*command, str(target)], capture_output=True, check=False).returncode:
            shutil.copyfile(videos / name, target)  # the container wants time stamps that the stream lacks
        made.append(target)
    return made


def drive(corpus: Path, root: Path) -> dict[str, object]:
    """Ingest and extract one variant: what came of it."""
    store = Store(root)
    ingest_corpus(corpus, store, IngestSettings(declared_frame_rate=25))
    told = read_failures(store).to_pylist()
    if told:
        return {"result": told[0]["error"], "message": told[0]["message"]}
    [recording] = read_recordings(store)
    try:
        with worker_pool():
            extract_faces(store, recording, SETTINGS, workers=1)
    except RecordingError as error:
        return {"result": type(error).__name__, "message": str(error)}
    if not is_complete(store, recording.recording_id, frames_key(recording, SETTINGS)):
        return {"result": "incomplete", "message": "no error, and no complete table"}
    rows = pl.read_parquet(sorted(store.frames(recording.recording_id).glob("part-*.parquet")))
    if (
        rows["frame_index"].to_list() != list(range(rows.height))
        or (rows["time_seconds"].diff().drop_nulls() <= 0).any()
    ):
        return {"result": "disordered", "message": "frames are not 0, 1, 2, ... in increasing time"}
    return {"result": "complete", "rows": rows.height}


def by_pyav(path: Path, limit: float) -> str:
    """How many frames PyAV decodes, in a process of its own; an error's name if it meets one."""
    code = "import av, sys\nwith av.open(sys.argv[1]) as c: print(sum(1 for _ in c.decode(c.streams.video[0])))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, f"file:{path}"], capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return "time limit"
    return done.stdout.strip() or (done.stderr.strip().splitlines() or ["crash"])[-1].partition(":")[0]


def family(mark: str) -> list[int]:
    """Living processes with the mark in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def judge(kind: str, path: Path, folder: Path, limit: float) -> Outcome:
    """Run one variant and look at what it leaves."""
    corpus, root, mark = folder / "corpus", folder / "store", folder.name
    corpus.mkdir()
    with (corpus / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        header = ["recording", "subject", "video", "ratings", "partition", "scale"]
        csv.writer(file).writerows([header, ["A", "A", path.resolve(), "", "", ""]])
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), "--drive", str(corpus), str(root)],
        cwd=REPOSITORY, env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    failure = None
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        for pid in family(mark):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
        return Outcome(kind, path.name, "hang", limit, "", f"over {limit:.0f} s")
    seconds = time.monotonic() - started
    told = json.loads(out.splitlines()[-1]) if process.returncode == 0 else {"result": "crash", "message": err[-600:]}
    expected = by_pyav(path, limit) if told["result"] == "complete" else ""
    if told["result"] in ("crash", "incomplete", "disordered", "WorkerError", "DecoderDiedError"):
        failure = f"{told['result']}: {told['message']}"
    elif expected.isdigit() and int(expected) != told["rows"]:
        failure = f"{told['rows']} rows, PyAV decodes {expected}"
    end = time.monotonic() + 5
    while family(mark) and time.monotonic() < end:
        time.sleep(0.05)
    if family(mark):
        failure = f"left running: {family(mark)}"
    if list(root.rglob(".tmp-*")):
        failure = f"left behind: {[found.name for found in root.rglob('.tmp-*')]}"
    return Outcome(kind, path.name, str(told["result"]), seconds, expected, failure)


def measure(videos: Path, out: Path, *, variants: int, seed: int, jobs: int, limit: float) -> list[Outcome]:
    """Make and judge every variant."""
    shutil.rmtree(out, ignore_errors=True)
    clips = shorten(videos, out / "clips")

    def one(number: int) -> Outcome:
        dice = random.Random(f"{seed}-{number}")
        clip, kind = clips[number % len(clips)], list(KINDS)[number % len(KINDS)]
        folder = out / f"{number:04d}"
        folder.mkdir()
        path = folder / clip.name
        path.write_bytes(KINDS[kind](bytearray(clip.read_bytes()), dice))
        outcome = judge(kind, path, folder, limit)
        if outcome.failure is None:
            shutil.rmtree(folder)
        else:
            print(f"{number:04d} {kind}, {clip.name}: {outcome.failure}", flush=True)
        return outcome

    with track("damage", variants, "variants") as bar, ThreadPoolExecutor(jobs) as pool:
        outcomes = []
        for outcome in pool.map(one, range(variants)):
            outcomes.append(outcome)
            bar.advance()
        return outcomes


def show(outcomes: list[Outcome]) -> None:
    """The table by kind of damage."""
    table = Table("damage", "variants", "complete", "same as PyAV", "named error", "failures", "longest")
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.kind].append(outcome)
    for name, group in [*groups.items(), ("all", outcomes)]:
        complete = [one for one in group if one.result == "complete"]
        same = sum(one.by_pyav.isdigit() and one.failure is None for one in complete)
        named = Counter(one.result for one in group if one.failure is None and one.result != "complete")
        errors = ", ".join(f"{count} {error}" for error, count in named.most_common())
        failed, longest = sum(one.failure is not None for one in group), max(one.seconds for one in group)
        table.add_row(name, str(len(group)), str(len(complete)), str(same), errors, str(failed), f"{longest:.1f} s")
    Console(width=130).print(table)


def main() -> None:
    """Damage, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, help="folder of clips")
    parser.add_argument("--out", type=Path, help="folder for the variants; emptied first, failures stay in it")
    parser.add_argument("--variants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="variants at a time")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one variant")
    parser.add_argument("--drive", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive:
        av.logging.set_level(None)
        print(json.dumps(drive(*arguments.drive)))
        return
    if arguments.videos is None or arguments.out is None:
        parser.error("--videos and --out are needed")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    outcomes = measure(
        arguments.videos, arguments.out, variants=arguments.variants, seed=arguments.seed, jobs=arguments.jobs,
        limit=arguments.limit,
    )  # fmt: skip
    show(outcomes)
    sys.exit(1 if any(outcome.failure for outcome in outcomes) else 0)


if __name__ == "__main__":
    main()
