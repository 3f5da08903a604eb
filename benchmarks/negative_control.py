"""Real clips, ratings of other films: the plumbing with 32 raters, and a negative control.

    uv run benchmarks/negative_control.py --data ../shared/data --out /tmp/negative-control

Five clips of faces are paired with traces of raters who watched other films (32 raters, scale 1 to 9, 60 s), cut to
the clip. Nothing can be learned from that about unseen subjects: CCC on the test partition must come out near 0, and a
clearly positive value is a leak.

The mean curve over time scores high here, and rightly so: train and test people watched the same two films, so the
time since start tells what they felt without any face. That is what this predictor stands in every table for.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import av

from flows.cli import app

CLIPS = (  # recording, file, traces, partition
    ("grid", "grid_s1_5min.mp4", "V1_valence_32raters.csv", "train"),
    ("franck", "franck.webm", "V2_valence_32raters.csv", "train"),
    ("d6", "d6.mp4", "V1_valence_32raters.csv", "dev"),
    ("d9", "d9.mp4", "V2_valence_32raters.csv", "test"),
    ("d20", "d20.mp4", "V1_valence_32raters.csv", "test"),
)


def write_corpus(data: Path, out: Path) -> Path:
    """Write the cut traces and the manifest; return the manifest's path."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["recording", "subject", "video", "ratings", "partition", "scale"])
        for name, clip, traces, partition in CLIPS:
            video = (data / "videos" / clip).resolve()
            cut = out / f"{name}.csv"
            cut.write_text(cut_traces(data / "traces" / traces, seconds_of(video)), encoding="utf-8")
            writer.writerow([name, name, video, cut.name, partition, "1:9"])
    return out / "manifest.csv"


def seconds_of(video: Path) -> float:
    """Duration that the container states."""
    with av.open(str(video)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


def cut_traces(path: Path, seconds: float) -> str:
    """The header and the rows no later than the clip's end."""
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    return "\n".join([header, *(row for row in rows if float(row.split(";")[0]) <= seconds)]) + "\n"


def main() -> None:
    """Write the corpus and run the pipeline on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with videos/ and traces/")
    parser.add_argument("--out", type=Path, required=True, help="where corpus and store go")
    parser.add_argument("--config", default="negative-control", help="preset")
    arguments = parser.parse_args()
    write_corpus(arguments.data, arguments.out / "corpus")
    app(["run", str(arguments.out / "corpus"), "--store", str(arguments.out / "store"), "--config", arguments.config])


if __name__ == "__main__":
    main()
