"""A small synthetic corpus laid out as RECOLA is, with the valence behind it kept outside.

    out/corpus/SYNTHETIC.txt
    out/corpus/RECOLA-Video-recordings/P16.mp4
    out/corpus/RECOLA-Audio-recordings/P16.wav
    out/corpus/RECOLA-Annotation/emotional_behaviour/valence/P16.csv
    out/hidden_valence.parquet     recording_id, time_seconds, value: what each frame's face shows
    out/demo-corpus.json           what was asked for and what is done

The generator was settled by eye and by geometry before any model saw its output, and is not tuned to any score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.errors import CorpusError, SettingsError
from tasks.demo.crew import make_recordings
from tasks.demo.layout import SYNTHETIC, recording_files
from tasks.demo.ratings import frame_times, hidden_valence
from tasks.demo.subjects import FRAME_RATE, PARTITIONS, RECORDINGS, FloatArray
from tasks.progress import track
from tasks.store.lock import writing
from tasks.store.parts import Provenance, read_table, stage_key, write_part, write_text

STAGE = "demo_corpus"
GENERATOR_VERSION = 1
_SHORTEST_SECONDS = 1.0
_HIDDEN = pa.schema(
    [
        pa.field("recording_id", pa.string(), nullable=False),
        pa.field("time_seconds", pa.float64(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)
_NOTICE = f"""{SYNTHETIC}.

The faces are two public-domain portraits, Eileen Collins (NASA; ships with scikit-image) and Grace Hopper (US Navy;
ships with matplotlib), warped by a computer to show an invented valence. The six raters are formulas. Nothing here
comes from RECOLA but the layout of its files, and nothing here says anything about the two people portrayed.
"""


@dataclass(frozen=True)
class DemoCorpus:
    """A finished sample corpus: `root` is what `affectflow ingest` takes."""

    root: Path
    hidden_valence: Path
    recordings: tuple[str, ...]
    duration_seconds: float

    @property
    def partitions(self) -> dict[str, tuple[str, ...]]:
        """Recordings of each partition that are in this corpus."""
        return {name: tuple(r for r in group if r in self.recordings) for name, group in PARTITIONS.items()}


def make_corpus(
    out: Path,
    *,
    seed: int = 0,
    duration_seconds: float = 40.0,
    workers: int = 2,
    recordings: Sequence[str] = RECORDINGS,
) -> DemoCorpus:
    """Make the sample corpus below `out`, or what is missing of it; nothing is done twice.

    Its content depends on `seed` and `duration_seconds` alone, not on `workers` or on interruptions.

    Args:
        out: folder for the corpus and what belongs to it.
        seed: of every random number.
        duration_seconds: of each recording, at least 1; rounded to whole frames at 25 per second.
        workers: processes that render and encode.
        recordings: which of `subjects.RECORDINGS` to make.

    Raises:
        SettingsError: an argument is out of range.
        CorpusError: `out/corpus` holds something that this generator did not make.
        StoreLockedError: another process is making a corpus there.
        StoreError: a file cannot be written.
        WorkerError: a rendering process died twice on the same recording.
    """
    frames = _checked(duration_seconds, workers, recordings)
    corpus = DemoCorpus(out / "corpus", out / "hidden_valence.parquet", tuple(recordings), frames / FRAME_RATE)
    arguments = {"seed": seed, "frames": frames, "recordings": list(recordings)}
    key = stage_key(STAGE, GENERATOR_VERSION, arguments, [])
    state = _State(out / "demo-corpus.json", corpus.root, key, arguments)
    if state.complete(corpus):
        return corpus
    _refuse_foreign(corpus.root)
    with writing(out):
        state.begin()
        missing = [recording for recording in recordings if not state.is_done(recording)]
        write_text(corpus.root / "SYNTHETIC.txt", _NOTICE)
        _write_hidden(corpus, frames, seed, key)
        jobs = [
            {"corpus": str(corpus.root), "recording_id": recording, "seed": seed, "frames": frames}
            for recording in missing
        ]
        done = (len(recordings) - len(missing)) * frames
        with track("synthetic recordings", len(recordings) * frames, "frames", done=done) as bar:
            make_recordings(jobs, workers=workers, told=bar.advance, finished=state.finish)
    return corpus


def read_hidden_valence(out: Path) -> dict[str, tuple[FloatArray, FloatArray]]:
    """The hidden valence of a corpus made below `out`: recording id -> times [frame] in seconds, values [frame].

    Raises:
        StoreError: there is none.
    """
    table = read_table(out / "hidden_valence.parquet", _HIDDEN)
    names = np.asarray(table["recording_id"])
    times, values = table["time_seconds"].to_numpy(), table["value"].to_numpy()
    return {str(name): (times[names == name], values[names == name]) for name in dict.fromkeys(names.tolist())}


class _State:
    """The small JSON file that says which recordings are done, under which key, and how large their files are."""

    def __init__(self, path: Path, root: Path, key: str, arguments: dict[str, Any]) -> None:
        self._path, self._root, self._key, self._arguments = path, root, key, arguments
        self._done: dict[str, dict[str, int]] = {}

    def _load(self) -> None:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            stored = {}
        except json.JSONDecodeError as error:
            raise CorpusError(f"{self._path}: expected JSON ({error}); delete it and run again") from error
        self._done = stored.get("done", {}) if stored.get("key") == self._key else {}

    def complete(self, corpus: DemoCorpus) -> bool:
        """True if nothing is left to do."""
        self._load()
        kept = (corpus.root / "SYNTHETIC.txt", corpus.hidden_valence)
        return all(path.is_file() for path in kept) and all(self.is_done(name) for name in corpus.recordings)

    def is_done(self, recording_id: str) -> bool:
        files = self._done.get(recording_id)
        return files is not None and files == self._sizes(recording_id)

    def begin(self) -> None:
        """Clear away what a killed run left half-written, and the recordings of another seed, length or version."""
        self._load()
        kept = {name for recording in self._done for name in recording_files(recording)}
        for known in (name for recording in RECORDINGS for name in recording_files(recording)):
            _remove_unfinished(self._root / known)
            if known not in kept:
                (self._root / known).unlink(missing_ok=True)
        for written in (self._path, self._path.with_name("hidden_valence.parquet"), self._root / "SYNTHETIC.txt"):
            _remove_unfinished(written)
        self._save()

    def finish(self, recording_id: str) -> None:
        self._done[recording_id] = self._sizes(recording_id)
        self._save()

    def _save(self) -> None:
        content = {
            "what": SYNTHETIC,
            "version": GENERATOR_VERSION,
            "key": self._key,
            "arguments": self._arguments,
            "done": {name: self._done[name] for name in sorted(self._done)},
        }
        write_text(self._path, json.dumps(content, indent=2) + "\n")

    def _sizes(self, recording_id: str) -> dict[str, int]:
        paths = {name: self._root / name for name in recording_files(recording_id)}
        return {name: path.stat().st_size for name, path in paths.items() if path.is_file()}


def _checked(duration_seconds: float, workers: int, recordings: Sequence[str]) -> int:
    """Number of frames, once every argument is in range."""
    if not duration_seconds >= _SHORTEST_SECONDS:
        raise SettingsError(f"duration_seconds {duration_seconds}: expected at least {_SHORTEST_SECONDS}; ask for more")
    if workers < 1:
        raise SettingsError(f"workers {workers}: expected at least 1")
    unknown = sorted(set(recordings) - set(RECORDINGS))
    if unknown or not recordings:
        found = ", ".join(unknown) or "none"
        raise SettingsError(f"recordings {found}: expected some of {', '.join(RECORDINGS)}")
    return round(duration_seconds * FRAME_RATE)


def _remove_unfinished(path: Path) -> None:
    """Remove what a killed `replacing(path)` left beside it."""
    for leftover in path.parent.glob(f".tmp-*-{path.name}"):
        leftover.unlink(missing_ok=True)


def _refuse_foreign(root: Path) -> None:
    if root.is_dir() and any(root.iterdir()) and not (root / "SYNTHETIC.txt").is_file():
        raise CorpusError(
            f"{root}: holds files but no SYNTHETIC.txt, so it was not made by this command; use another --out"
        )


def _write_hidden(corpus: DemoCorpus, frames: int, seed: int, key: str) -> None:
    times = frame_times(frames)
    table = pa.table(
        {
            "recording_id": np.repeat(np.array(corpus.recordings, dtype=object), frames),
            "time_seconds": np.tile(times, len(corpus.recordings)),
            "value": np.concatenate([hidden_valence(name, frames, seed=seed) for name in corpus.recordings]),
        },
        schema=_HIDDEN,
    )
    write_part(corpus.hidden_valence, table, Provenance(stage=STAGE, stage_key=key))
