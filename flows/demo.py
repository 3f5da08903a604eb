"""`affectflow demo`: a small SYNTHETIC corpus, the whole pipeline on it, and what to try next."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from flows import results
from schemas.runs import PipelineRun
from tasks.demo.ceiling import write_ceiling
from tasks.demo.corpus import make_corpus
from tasks.store.layout import Store
from tasks.store.lock import writing

DURATION_SECONDS = 30.0  # of each of the twelve recordings: some four minutes on two cores
NOTE = (
    "Synthetic corpus: two public-domain portraits warped by an invented valence, rated by six formulas. "
    "The scores show that the pipeline works, not how well anybody's valence can be predicted."
)


def run_demo(out: Path, console: Console) -> dict[str, Any]:
    """Make the corpus below `out`, run every stage on it, print the scores and the next command.

    Test subjects show one portrait, train and dev the other. Beside the scores stand the ceiling (the hidden valence
    itself against each rater) and a control (the same pipeline trained on ratings swapped between recordings).
    """
    started = time.monotonic()
    console.print(NOTE, style="bold", soft_wrap=True)
    corpus = make_corpus(out, duration_seconds=DURATION_SECONDS)
    store = Store(out / "store")
    with writing(store.root):
        write_ceiling(store, corpus)
    run = PipelineRun(corpus=corpus.root, store=store.root, preset="demo", title="AffectFlow demo (synthetic corpus)")
    shown = results.run_and_show(run, console)
    seconds = time.monotonic() - started
    console.print(f"took:     {seconds:.0f} s")
    console.print(
        f"next:     affectflow run YOUR_CORPUS --store YOUR_STORE    (RECOLA's tree, or a folder with a manifest.csv)\n"
        f"          affectflow run {corpus.root} --store {store.root} --config demo    (again: nothing is done twice)",
        soft_wrap=True,
    )
    return {**shown, "seconds": round(seconds, 1)}
