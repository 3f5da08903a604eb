"""Write the FER2013 faces of a Parquet file as `fer2013.csv`, and FER+'s votes on them as `fer2013new.csv`.

    uv run benchmarks/fer2013_csv.py --parquet ../shared/data/fer2013/fer2013_train_public.parquet --out /tmp/fer2013

Both in the form that they are published in, so that the readers of these forms are what the measurements go through.
The Parquet file has columns usage, emotion, pixels (48*48 bytes) and ferplus_votes (ten counts).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from schemas.expressions import FERPLUS_COLUMNS

TEXT_OF = np.array([str(value) for value in range(256)])


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parquet", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets both files")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(arguments.parquet).to_pylist()
    faces, votes = arguments.out / "fer2013.csv", arguments.out / "fer2013new.csv"
    with faces.open("w", newline="", encoding="utf-8") as face_file, votes.open("w", newline="") as vote_file:
        face_writer, vote_writer = csv.writer(face_file), csv.writer(vote_file)
        face_writer.writerow(["emotion", "pixels", "Usage"])
        vote_writer.writerow(["Usage", "Image name", *FERPLUS_COLUMNS])
        for number, row in enumerate(table):
            pixels = TEXT_OF[np.frombuffer(row["pixels"], dtype=np.uint8)]
            face_writer.writerow([row["emotion"], " ".join(pixels), row["usage"]])
            vote_writer.writerow([row["usage"], f"fer{number:07d}.png", *row["ferplus_votes"]])
    print(f"{faces}, {votes}: {len(table)} rows")


if __name__ == "__main__":
    main()
