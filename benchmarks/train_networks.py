"""Train many networks on a set of faces, several at once, and list what each reached on *choice*.

    uv run benchmarks/train_networks.py benchmarks/recipes/search.toml --data fer2013.csv --out OUT

A `[[job]]` names a preset of `conf/expression`, the networks that take its network's place, and in `[job.set]` what is
changed in it; `variant` tells the recipes of one network apart; `teachers` names finished trainings that teach, and
`start_from` one to go on from. OUT is a store: a second run takes what is finished and goes on where a training was
stopped. `--score-test` scores PublicTest too, for finished recipes alone: nothing may be chosen by it. On a CPU one at
a time is fastest; a GPU has room for a dozen.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from schemas.expressions import ExpressionTraining, load_expression_training
from schemas.presets import preset_path
from schemas.toml_files import laid_over
from tasks.expression.faces import load_faces
from tasks.expression.plan import ExpressionStore, read_expression_cards
from tasks.expression.source import open_source
from tasks.expression.stage import train_expression
from tasks.progress import LogReporter, set_reporter


def trainings(path: Path, out: Path) -> Iterator[ExpressionTraining]:
    """The trainings that a list asks for, in its order."""
    model_ids = {card.name: card.model_id for card in read_expression_cards(ExpressionStore(out))}
    for job in tomllib.loads(path.read_text(encoding="utf-8"))["job"]:
        preset = load_expression_training(preset_path(f"expression/{job['preset']}"))
        start = job.get("start_from")
        for network in job.get("networks", [preset.network.name]):
            options = job.get("options", {} if "networks" in job else dict(preset.network.options))
            changed = {
                **laid_over(preset.model_dump(), job.get("set", {})),
                "name": "-".join(
                    filter(None, [preset.name, *([network] if "networks" in job else []), job.get("variant")])
                ),
                "network": {"name": network, "options": options},
                "start_from": preset.start_from if start is None else _finished(start, model_ids, out),
                "teachers": [_finished(name, model_ids, out) for name in job.get("teachers", [])],
            }
            yield ExpressionTraining.model_validate(changed)


def _finished(name: str, model_ids: dict[str, str], out: Path) -> str:
    """The id of a finished training. Exits where there is none of that name."""
    if name not in model_ids:
        raise SystemExit(
            f"{out}: no finished training {name!r} to learn from; there are {', '.join(model_ids) or 'none'}"
        )
    return model_ids[name]


def keep_to_cores(counter: Any, at_once: int) -> None:
    """Give this worker its share of the cores: torch takes as many threads as it may use."""
    logging.basicConfig(level=logging.WARNING)
    set_reporter(LogReporter())
    with counter.get_lock():
        number, counter.value = counter.value, counter.value + 1
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // at_once)
    first = number * share % len(cores)
    os.sched_setaffinity(0, cores[first : first + share])


def train_one(settings: ExpressionTraining, data: Path, out: Path, score_test: bool) -> dict[str, Any]:
    """Train, and say what came of it."""
    started = time.monotonic()
    cards = train_expression(out, data, settings, score_test=score_test).cards
    history = [record for card in cards for record in card.history]
    kept = [card.history[card.best_epoch] for card in cards]
    return {
        "name": settings.name,
        "network": settings.network.name,
        "choice": [None if one.choice_accuracy is None else round(100 * one.choice_accuracy, 2) for one in kept],
        "epoch": [one.epoch + 1 for one in kept],
        "train": [round(100 * one.train_accuracy, 2) for one in kept],
        "images_per_second": round(sum(one.images_per_second for one in history) / len(history)),
        "seconds_per_epoch": round(sum(one.seconds for one in history) / len(history), 2),
        "seconds": round(time.monotonic() - started),
        "scores": [
            {f"{score.split} {score.subset}": round(100 * score.accuracy, 2) for score in card.scores} for card in cards
        ],
    }


def main() -> None:
    """Train, several at once, and print a line for each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=Path, help="list of trainings, TOML")
    parser.add_argument("--data", type=Path, required=True, help="a set of faces in one of its public forms")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--score-test", action="store_true")
    arguments = parser.parse_args()
    load_faces(open_source(arguments.data), ExpressionStore(arguments.out).faces)
    context, failures = multiprocessing.get_context("spawn"), 0
    with (
        ProcessPoolExecutor(
            arguments.at_once,
            mp_context=context,
            initializer=keep_to_cores,
            initargs=(context.Value("i", 0), arguments.at_once),
        ) as pool,
        (arguments.out / "results.jsonl").open("a", encoding="utf-8") as results,
    ):
        waiting = [
            pool.submit(train_one, settings, arguments.data, arguments.out, arguments.score_test)
            for settings in trainings(arguments.jobs, arguments.out)
        ]
        for done in as_completed(waiting):
            if error := done.exception():
                failures += 1
                print(f"failed: {type(error).__name__}: {error}", flush=True)
                continue
            line = json.dumps(done.result())
            print(line, flush=True)
            print(line, file=results, flush=True)
    if failures:
        raise SystemExit(f"{failures} of {len(waiting)} trainings failed")


if __name__ == "__main__":
    main()
