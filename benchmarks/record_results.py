"""Write what the models of a store came to into `conf/results/networks.toml`, which `affectflow models` shows.

    uv run benchmarks/record_results.py STORE --recipes deep-paper deep-best

The recipes named replace what the file holds of them; everything else in it stays.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from schemas.presets import conf_dir
from schemas.results import MeasuredResult, shipped_results
from tasks.results.measured import measured_in
from tasks.store.parts import write_text

HEADING = "# What the networks came to. Written by benchmarks/record_results.py, shown by `affectflow models`.\n"


def toml_of(results: list[MeasuredResult]) -> str:
    """The file's text. JSON writes strings, numbers and booleans as TOML does."""
    blocks = []
    for one in results:
        rounded = one.model_copy(update={"value": round(one.value, 4), "spread": round(one.spread, 4)})
        lines = [f"{name} = {json.dumps(value)}" for name, value in rounded.model_dump().items()]
        blocks.append("\n".join(["[[result]]", *lines]) + "\n")
    return "\n".join([HEADING, *blocks])


def main() -> None:
    """Read the cards, replace the recipes' figures, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="store with finished models")
    parser.add_argument("--recipes", nargs="+", required=True, help="names of the trainings to record")
    arguments = parser.parse_args()
    found = measured_in(arguments.store)
    if missing := set(arguments.recipes) - {one.recipe for one in found}:
        known = ", ".join(sorted({one.recipe for one in found})) or "none"
        raise SystemExit(f"{arguments.store}: no models of {', '.join(sorted(missing))}; recipes there: {known}")
    kept = [one for one in shipped_results() if one.recipe not in arguments.recipes]
    new = [one for one in found if one.recipe in arguments.recipes]
    path = conf_dir() / "results" / "networks.toml"
    write_text(path, toml_of(sorted([*kept, *new], key=lambda one: (one.network, one.recipe, one.data, one.split))))
    print(f"{path}: {len(new)} figures written, {len(kept)} kept")


if __name__ == "__main__":
    main()
