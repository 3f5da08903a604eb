"""The clips of an analysis: their names, their files, and the manifest that makes a corpus of them."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import SettingsError, StoreError, UnusableInputError
from schemas.ids import is_recording_id, slug_recording_id
from tasks.ingest.corpus import printable
from tasks.ingest.manifest import COLUMNS, NAME
from tasks.store.layout import Store
from tasks.store.parts import write_text

WORK_FOLDER = ".store"
_LONGEST_SLUG = 57


@dataclass(frozen=True)
class Clip:
    """One video to analyze, and what is written of it."""

    path: Path
    out: Path

    @property
    def name(self) -> str:
        """The file's name without its ending: what the results are called."""
        return self.path.stem

    @property
    def recording_id(self) -> str:
        """Its id in the work folder; a name that is no id gets a piece of its hash, for two may shorten to one."""
        if is_recording_id(self.name):
            return self.name
        try:
            slug = slug_recording_id(self.name)
        except SettingsError:
            slug = "clip"
        return f"{slug[:_LONGEST_SLUG]}-{hashlib.sha256(self.name.encode()).hexdigest()[:6]}"

    @property
    def table(self) -> Path:
        return self.out / f"{self.name}.parquet"

    @property
    def report(self) -> Path:
        return self.out / f"{self.name}.html"

    @property
    def video(self) -> Path:
        return self.out / f"{self.name}.mp4"

    @property
    def results(self) -> tuple[Path, Path, Path]:
        return self.table, self.report, self.video


def work_store(out: Path) -> Store:
    """Where rows and chips of the clips lie, for the next run to go on from. They are pictures of faces."""
    return Store(out / WORK_FOLDER)


def list_clips(paths: Sequence[Path], out: Path) -> list[Clip]:
    """The clips that the paths mean, each once.

    Raises:
        UnusableInputError: a path is a folder, a pipe or a device, or has no UTF-8 name, two clips have one name, a
            result would replace a clip, there is no such file, or a folder on the way to one may not be entered.
    """
    try:
        clips = _named_apart(paths, out)
        _check_files(clips)
        _check_results(clips)
    except PermissionError as error:
        raise UnusableInputError(
            f"{error.filename}: expected a path that may be entered, found one that may not; fix the permissions of "
            "the folders above it"
        ) from error
    return clips


def _named_apart(paths: Sequence[Path], out: Path) -> list[Clip]:
    clips: dict[str, Clip] = {}
    for path in dict.fromkeys(path.absolute() for path in paths):
        clip = Clip(path, out.absolute())
        if printable(path) != str(path) or printable(clip.out) != str(clip.out):
            raise UnusableInputError(f"{printable(path)}: expected a path in UTF-8, found other bytes; rename it")
        if path.is_dir():
            raise UnusableInputError(
                f"{path}: expected a video, found a folder; name the videos in it, as {path}/*.mp4"
            )
        first = clips.setdefault(clip.name.casefold(), clip)
        if first is not clip:
            raise UnusableInputError(
                f"{first.path}, {path}: two clips called {clip.name}, whose results would replace each other; "
                "analyze them into different folders"
            )
    return list(clips.values())


def _check_files(clips: Sequence[Clip]) -> None:
    missing = [str(clip.path) for clip in clips if not clip.path.exists()]
    if missing:
        raise UnusableInputError(f"{', '.join(missing)}: no such file; correct the path, or leave it out")
    odd = [str(clip.path) for clip in clips if not clip.path.is_file()]
    if odd:
        raise UnusableInputError(f"{', '.join(odd)}: expected a file, found a pipe or a device; save the video first")


def check_folder(out: Path) -> None:
    """Raise UnusableInputError where results cannot be written to `out`, or it cannot be made."""
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UnusableInputError(f"{nearest}: expected a folder for the results, found a file; name another with --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UnusableInputError(
            f"{nearest}: expected a folder that can be written, found a read-only one; fix its permissions, or name "
            "another with --out"
        )


def _check_results(clips: Sequence[Clip]) -> None:
    for clip in clips:
        for result in clip.results:
            if result.exists() and any(result.samefile(other.path) for other in clips):
                raise UnusableInputError(
                    f"{result}: is a clip itself, which the video with drawings would replace; "
                    "name another folder with --out"
                )


def manifest_of(clips: Sequence[Clip]) -> str:
    """The text of the manifest that ingestion reads: clips without ratings and partition."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    rows.writeheader()
    for clip in clips:
        rows.writerow({"recording": clip.recording_id, "subject": clip.recording_id, "video": str(clip.path)})
    return text.getvalue()


def corpus_folder(store: Store) -> Path:
    """The folder of that manifest, below the work folder."""
    return store.root / "clips"


def has_manifest(store: Store, clips: Sequence[Clip]) -> bool:
    """True if the work folder's manifest names exactly these clips."""
    path = corpus_folder(store) / NAME
    try:
        return path.read_text(encoding="utf-8") == manifest_of(clips)
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); delete {store.root} and run again") from error


def write_manifest(store: Store, clips: Sequence[Clip]) -> None:
    """Write the manifest, where it is not there already."""
    if not has_manifest(store, clips):
        write_text(corpus_folder(store) / NAME, manifest_of(clips))
