"""What two expression networks differ by, face by face, on a split that both were scored on.

    uv run benchmarks/compare_expressions.py STORE/expression/models/A STORE/expression/models/B --split public_test

Prints the mean of B less A and its standard error over the faces, for accuracy (percentage points) and cross-entropy.
The same faces make it far smaller than that of either score; training again moves both, which it does not tell.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from models.classification import log_losses
from tasks.expression.plan import predictions_path

FloatArray = npt.NDArray[np.float64]


def scores_of(folder: Path, split: str) -> tuple[list[int], FloatArray, FloatArray]:
    """Rows of the source in order; for each whether it was named right (0 or 100), and its cross-entropy: `[face]`."""
    table = pl.read_parquet(predictions_path(folder, split)).sort("row")
    found = table.select(pl.col("^probability_.*$"))
    names = [name.removeprefix("probability_") for name in found.columns]
    labels = np.array([names.index(label) for label in table["label"]])
    values = found.to_numpy().astype(np.float64)
    return table["row"].to_list(), 100.0 * (values.argmax(axis=1) == labels), log_losses(values, labels)


def main() -> None:
    """Read both, subtract, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path, help="folder of an expression model")
    parser.add_argument("b", type=Path, help="folder of another, scored on the same faces")
    parser.add_argument("--split", default="public_test")
    arguments = parser.parse_args()
    rows, *first = scores_of(arguments.a, arguments.split)
    others, *second = scores_of(arguments.b, arguments.split)
    if rows != others:
        raise SystemExit(f"{arguments.split}: expected the same faces of both, found {len(rows)} and {len(others)}")
    for name, before, after in zip(("accuracy, points", "cross-entropy"), first, second, strict=True):
        change = after - before
        print(f"{name}: {change.mean():+.4f}, standard error {change.std(ddof=1) / np.sqrt(len(change)):.4f}")


if __name__ == "__main__":
    main()
