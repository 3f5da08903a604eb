"""Commands on recordings: finding them, following the faces in them, and looking at what was found."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.shared import (
    AllFacesOption,
    CorpusArgument,
    JsonOption,
    ManifestOption,
    PartitionsOption,
    PresetOption,
    StoreOption,
    WorkersOption,
    command,
    console,
    show_problems,
)
from schemas.presets import DEFAULT_PRESET


def ingest(
    corpus: CorpusArgument,
    store: StoreOption,
    manifest: ManifestOption = None,
    partitions: PartitionsOption = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Find recordings, ratings and partitions; validate all of it; write `recordings` and `ratings`."""

    def work() -> dict[str, Any]:
        from flows.ingest_recordings import ingest_recordings
        from schemas.runs import IngestRun

        run = IngestRun(corpus=corpus, store=store, manifest=manifest, partitions=partitions, preset=config)
        summary = ingest_recordings(run)
        show_problems(summary.problems, console(as_json))
        said = f"{summary.recordings} recordings in {store}: {summary.ingested} new or changed, {summary.failed} failed"
        return {
            **dataclasses.asdict(summary),
            "said": f"{said}\nnext: affectflow faces --store {shlex.quote(str(store))}",
        }

    command(work, as_json)


def faces(
    store: StoreOption,
    workers: WorkersOption = None,
    all_faces: AllFacesOption = None,
    config: PresetOption = DEFAULT_PRESET,
    as_json: JsonOption = False,
) -> None:
    """Decode, detect and align: one row in `frames` for every decoded frame."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        existing_store(store)
        from flows import results
        from flows.extract_faces import extract_faces
        from schemas.runs import FacesRun

        failed = extract_faces(FacesRun(store=store, workers=workers, all_faces=all_faces, preset=config))
        return {**results.faces_in(store), "failed": failed}

    command(work, as_json)


def overlay(
    recording: Annotated[str, typer.Argument(help="Id of a recording in the store, or its name in the corpus.")],
    store: StoreOption,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Video to write (.mp4); RECORDING-overlay.mp4 here by default.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Whose predictions to draw; the report's first by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the stored rows into the recording's own pictures: box, landmarks, chip, quality, running trace."""

    def work() -> dict[str, Any]:
        from tasks.store.layout import existing_store

        found = existing_store(store)
        from tasks.overlay.stage import write_overlay

        written = write_overlay(found, recording, target=out, model=model)
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in written.shares.items())
        said = f"{written.path}: {written.num_frames} frames ({shares}); predictions: {written.model_id or 'none'}"
        return {**dataclasses.asdict(written), "said": said}

    command(work, as_json)
