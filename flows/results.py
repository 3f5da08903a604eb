"""What `run` and `evaluate` print: scores with their protocol, data quality in a line, and where the report lies."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.console import Console

from flows.plan import plan_pipeline, scoring_after
from flows.presets import settings_of
from flows.scoring import Scoring, chosen_cards, scoring_of
from flows.terminal import failures_table, problems_table, scores_table
from schemas.cards import ModelCard
from schemas.presets import conf_dir
from schemas.runs import EvaluateRun, PipelineRun
from schemas.tables import frames_schema
from tasks.evaluation.leaks import MARK
from tasks.ingest.checks import cross_checks
from tasks.ingest.recordings import read_corpus_note, read_recordings
from tasks.report.plan import report_paths
from tasks.store.cards import read_cards
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.parts import read_table

if TYPE_CHECKING:
    from tasks.expression.scoring import ExpressionScoring
    from tasks.expression.stage import ExpressionRun
    from tasks.report.seeds import SeedRow
    from tasks.report.summary import ScoreTable


def run_and_show(run: PipelineRun, console: Console) -> dict[str, Any]:
    """Run what is missing or stale, then show the scores. Nothing to do means that Prefect is never imported."""
    plan = plan_pipeline(run)
    if plan.problems:
        console.print(problems_table(plan.problems))
    store, scoring = Store(run.store), plan.scoring
    if scoring is not None:
        console.print("nothing to do: the store is up to date")
    else:
        console.print(f"to do, from here on: {plan.first_stale}")
        from flows.run_pipeline import run_pipeline

        run_pipeline(run)
        scoring = scoring_after(run)
    if across := cross_checks(store, read_recordings(store)):
        console.print(problems_table(across))
    return show(store, scoring, console)


def show_evaluation(run: EvaluateRun, console: Console) -> dict[str, Any]:
    """Show the scores of an evaluation that has just been written, which models were left out, and why."""
    store, settings = Store(run.store), settings_of(run).evaluate
    chosen = chosen_cards(store, run.models, settings)
    found = show(store, scoring_of(chosen.cards, settings), console)
    for told in chosen.unchecked:
        console.print(f"not checked: {told}", soft_wrap=True, highlight=False, markup=False)
    return {**found, "left_out": dict(chosen.left_out), "unchecked": list(chosen.unchecked)}


def show(store: Store, scoring: Scoring, console: Console) -> dict[str, Any]:
    """Print CCC per rater in both poolings, the protocol, the failures and the report's path.

    Returns: the same for machines.
    """
    from tasks.evaluation.fusions import read_fusions
    from tasks.report.seeds import over_seeds, seed_groups
    from tasks.report.summary import read_scores, tabulate

    synthetic = bool(read_corpus_note(store))
    scores = read_scores(store, scoring.rows, dimension=scoring.dimension, protocol=scoring.protocol_name)
    shown = scores.partitions[0]  # test where there is one
    tables = [tabulate(scores, partition=shown, pooling=pooling, metric="ccc") for pooling in scores.poolings]
    for table in tables:
        console.print(scores_table(table, note=" (synthetic corpus)" if synthetic else ""))
    groups = seed_groups(read_cards(store))
    seeds = [(table, told) for table in tables for told in over_seeds(table, groups)]
    for table, told in seeds:
        if told.mean.mean is not None and told.mean.spread is not None:
            console.print(
                f"{told.label}, {table.partition}, {table.pooling.replace('_', ' ')}: mean CCC {told.mean.mean:.3f} "
                f"+- {told.mean.spread:.3f} (protocol {table.protocol}{_marked(table)})",
                soft_wrap=True,
            )
    console.print(f"protocol: {scoring.protocol}", soft_wrap=True)
    golds = read_fusions(store, scoring.dimension, scoring.protocol_name)
    for gold in golds:
        console.print(f"{gold.partition}: {gold.words}", soft_wrap=True, highlight=False, markup=False)
    report, _ = report_paths(store, scoring.dimension)
    console.print(f"report:   {report}", soft_wrap=True)
    failures = read_failures(store).to_pylist()
    if failures:
        console.print(failures_table(failures))
    return {
        "store": str(store.root),
        "report": str(report),
        "protocol": scoring.protocol,
        "synthetic": synthetic,
        "gold_standards": [asdict(gold) | {"words": gold.words} for gold in golds],
        "seeds": [_seeds_of(table, told) for table, told in seeds],
        "scores": [
            {
                "protocol": table.protocol,
                "selected_on_scored_partition": table.is_selected_here,
                "partition": table.partition,
                "pooling": table.pooling,
                "metric": table.metric,
                "model_id": row.model_id,
                "role": row.role,
                "raters": dict(zip(table.raters, row.values, strict=True)),
                "mean": row.mean,
                "intervals": {
                    name: None if score.low is None else [score.low, score.high]
                    for name, score in zip((*table.raters, "mean"), (*row.scores, row.summary), strict=True)
                },
                "reasons": {
                    name: score.reason for name, score in zip(table.raters, row.scores, strict=True) if score.reason
                },
            }
            for table in tables
            for row in table.rows
        ],
        "failed": sorted({failure["recording_id"] for failure in failures}),
    }


def _marked(table: ScoreTable) -> str:
    return f"; {MARK}" if table.is_selected_here else ""


def _seeds_of(table: ScoreTable, told: SeedRow) -> dict[str, Any]:
    """A row over seeds for machines."""
    return {
        "protocol": table.protocol,
        "selected_on_scored_partition": table.is_selected_here,
        "partition": table.partition,
        "pooling": table.pooling,
        "metric": table.metric,
        "label": told.label,
        "model_ids": list(told.model_ids),
        "raters": {name: asdict(one) for name, one in zip(table.raters, told.columns, strict=True)},
        "mean": asdict(told.mean),
    }


def faces_in(root: Path) -> dict[str, Any]:
    """Frames and faces of every recording, from the store."""
    store = Store(root)
    counts = {}
    for recording in read_recordings(store):
        if any(store.frames(recording.recording_id).glob("part-*.parquet")):
            table = read_table(store.frames(recording.recording_id), frames_schema("rgb96"), ["face_valid"])
            valid = table["face_valid"].to_numpy(zero_copy_only=False)
            counts[recording.recording_id] = {"frames": int(valid.size), "faces": int(valid.sum())}
    frames, faces = (sum(count[name] for count in counts.values()) for name in ("frames", "faces"))
    share = 100 * faces / frames if frames else 0.0
    said = f"{len(counts)} recordings, {frames} frames, a face in {share:.1f} % of them"
    return {"store": str(root), "recordings": counts, "said": f"{said}\n{_next_training(root)}"}


def _next_training(root: Path) -> str:
    config = quote(str(conf_dir() / "khorrami-cnn.toml"))
    return f"next: affectflow train --store {quote(str(root))} --config {config}"


def training_of(root: Path, card: ModelCard) -> dict[str, Any]:
    """What a training came to, and the command that follows."""
    said = (
        f"{card.model_id}: {card.num_parameters:,} parameters, {len(card.raters)} raters, "
        f"epoch {card.best_epoch + 1} of {len(card.history)}, dev CCC {card.dev_ccc:.3f} (mean over raters, recordings "
        "concatenated; the epoch was selected by it: no result)"
    )
    following = "features" if card.input == "chips" else "predict"
    return {
        "model_id": card.model_id,
        "best_epoch": card.best_epoch,
        "dev_ccc": card.dev_ccc,
        "said": f"{said}\nnext: affectflow {following} --store {quote(str(root))} --model {card.model_id}",
    }


def expression_scores_of(done: ExpressionScoring) -> dict[str, Any]:
    """How a finished expression network did."""
    return {
        "model_id": done.card.model_id,
        "views": done.card.views,
        "scores": [score.model_dump(exclude={"confusion"}) for score in done.card.scores],
        "faces_left_out": done.card.left_out,
        "folder": str(done.folder),
        "report": str(done.report),
        "said": f"{done}\nreport: {done.report}",
    }


def expressions_of(done: ExpressionRun) -> dict[str, Any]:
    """What a training of expression networks came to."""
    return {
        "models": [
            {
                "model_id": card.model_id,
                "seed": card.seed,
                "best_epoch": card.best_epoch,
                "folder": str(done.models / card.model_id),
                "scores": [score.model_dump(exclude={"confusion"}) for score in card.scores],
            }
            for card in done.cards
        ],
        "report": str(done.report),
        "said": f"{done}\nreport: {done.report}",
    }
