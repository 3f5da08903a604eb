"""Single frame against CNN + RNN: real faces (FER2013), SYNTHETIC sequences and ratings, rater delay 0 and 2 s.

    uv run benchmarks/fer_sequences.py --data fer2013.csv --out /tmp/fer-sequences

Makes the corpora (`fer_sequences_corpus.py` says how), follows the faces once, and runs the sweep `fer-sequences`
(three seeds of CNN and RNN) on each, from the expression network in the package, trained on FER2013's Training alone.
Nobody is told of the delay: the labels are not shifted. Takes up where it was stopped. Writes and prints `table.md`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
from fer_sequences_corpus import SAID, make_corpus

SWEEP = "fer-sequences"
PARTITIONS = {"test": "test", "dev": "dev (selected there)"}


def main() -> None:
    """Corpora, stores, sweeps, one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="fer2013.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for corpora and stores")
    parser.add_argument("--start-from", default="shipped", help="or the folder of another vgg-slim-48")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each video")
    arguments = parser.parse_args()
    print(SAID)
    started = time.monotonic()
    corpora = make_corpus(arguments.data, arguments.out, seconds=arguments.seconds)
    stores: dict[float, Path] = {}
    for delay, corpus in corpora.items():
        store = arguments.out / f"store-{delay:g}s"
        if stores and not store.exists():  # the same videos: faces are followed once
            shutil.copytree(next(iter(stores.values())), store, ignore=_videos_only)
        affectflow("ingest", str(corpus), "--store", str(store))
        affectflow("faces", "--store", str(store), "--config", SWEEP)
        affectflow("sweep", SWEEP, "--store", str(store), "--start-from", arguments.start_from)
        stores[delay] = store
    table = "\n".join([f"**{SAID}**", "", *lines(stores), "", f"took {(time.monotonic() - started) / 60:.1f} minutes"])
    (arguments.out / "table.md").write_text(table + "\n", encoding="utf-8")
    print(table)


def affectflow(*arguments: str) -> None:
    """One command of the project."""
    done = subprocess.run([sys.executable, "-m", "flows.cli", *arguments], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(f"affectflow {' '.join(arguments)}: exit code {done.returncode}")


def _videos_only(folder: str, names: list[str]) -> list[str]:
    """What of a store depends on more than the videos."""
    models = {"models", "features", "predictions", "metrics", "sweeps", "reports", "ratings"}
    return [name for name in names if name in models or name.startswith(".")]


def lines(stores: dict[float, Path]) -> list[str]:
    """A Markdown table: mean over the raters and the seeds, and the seeds' standard deviation."""
    heads = [f"{metric.upper()}, {said}" for said in PARTITIONS.values() for metric in ("ccc", "cc", "rmse")]
    found = [f"| rater delay | | {' | '.join(heads)} |", f"|---|---|{'---:|' * len(heads)}"]
    for delay, store in stores.items():
        frame = pl.read_parquet(store / "sweeps" / SWEEP / "table.parquet").filter(pl.col("rater").is_null())
        for row in frame["row"].unique(maintain_order=True):
            cells = []
            for partition in PARTITIONS:
                for metric in ("ccc", "cc", "rmse"):
                    one = frame.filter(
                        (pl.col("row") == row) & (pl.col("partition") == partition) & (pl.col("metric") == metric)
                    )
                    cells.append(_cell(one))
            found.append(f"| {delay:g} s | {row} | {' | '.join(cells)} |")
    return found


def _cell(one: pl.DataFrame) -> str:
    if one.is_empty():
        return "-"
    value, spread = one["measured"][0], one["spread"][0]
    return f"{value:.3f}" if spread is None else f"{value:.3f} \N{PLUS-MINUS SIGN} {spread:.3f}"


if __name__ == "__main__":
    main()
