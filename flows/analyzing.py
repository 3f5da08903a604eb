"""`affectflow analyze`: what is missing is done, and what came of it is said."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console

from flows.presets import settings_of
from flows.terminal import failures_table
from schemas.runs import AnalyzeRun, FacesRun
from tasks.analyze.clips import check_folder, list_clips, work_store
from tasks.analyze.model import analysis_model
from tasks.analyze.plan import is_up_to_date
from tasks.analyze.stage import ClipSummary, summary_of
from tasks.ingest.recordings import read_recordings
from tasks.store.failures import read_failures


def analyze_and_show(run: AnalyzeRun, console: Console) -> dict[str, Any]:
    """Analyze clips and print what was found. Nothing to do means that Prefect is never imported.

    Raises:
        UnusableInputError: a clip is no file, something else lies where a result goes, nothing can be written there,
            or the model has a class without a valence.
        StoreError: there is no such model, or it is damaged.
    """
    clips, card, store = list_clips(run.clips, run.out), analysis_model(run.model).card, work_store(run.out)
    settings = settings_of(FacesRun(store=store.root, workers=run.workers))
    if is_up_to_date(store, clips, settings.faces, card):
        console.print("nothing to do: the results are up to date")
        by_id = {recording.recording_id: recording for recording in read_recordings(store)}
        summaries = [summary_of(store, clip, by_id[clip.recording_id], card) for clip in clips]
    else:
        check_folder(run.out)
        from flows.analyze_clips import analyze_clips

        summaries = analyze_clips(run)
    for summary in summaries:
        _show(summary, console)
    ids = {clip.recording_id: clip.name for clip in clips}
    failures = [one for one in read_failures(store).to_pylist() if one["recording_id"] in ids]
    if failures:
        console.print(failures_table(failures))
    console.print(
        f"faces:  {store.root} (pictures of faces, for the next run to go on from; delete it when you need it no more)",
        soft_wrap=True,
        markup=False,
    )
    return {
        "model_id": card.model_id,
        "clips": [dataclasses.asdict(summary) for summary in summaries],
        "work_folder": str(store.root),
        "failed": sorted({ids[failure["recording_id"]] for failure in failures}),
    }


def _show(summary: ClipSummary, console: Console) -> None:
    console.print(str(summary), soft_wrap=True, highlight=False, markup=False)
    for heading, path in (("table", summary.table), ("report", summary.report), ("video", summary.video)):
        console.print(f"  {heading + ':':<8}{path}", soft_wrap=True, highlight=False, markup=False)
    for note in summary.notes:
        console.print(f"  {'note:':<8}{note}", soft_wrap=True, highlight=False, markup=False)
