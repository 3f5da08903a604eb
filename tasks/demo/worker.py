"""Child process that makes recordings: one job per line of JSON on stdin, events as lines of JSON on stdout.

A job is {"corpus", "recording_id", "seed", "frames"}; an event {"frames": n} (n more are done), {"done": recording_id}
or {"error": message}. It ends when its input does. It never imports Prefect.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve jobs until stdin closes, or whoever reads the events is gone."""
    import torch

    from schemas.errors import AffectFlowError
    from tasks.demo.recording import make_recording

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and then says SIGTERM
    signal.signal(signal.SIGTERM, _end)
    torch.set_num_threads(1)  # the same sums in the same order, however many workers there are

    for line in sys.stdin:
        job = json.loads(line)
        try:
            make_recording(
                Path(job["corpus"]),
                job["recording_id"],
                seed=job["seed"],
                frames=job["frames"],
                told=lambda frames: _tell({"frames": frames}),
            )
        except AffectFlowError as error:
            _tell({"error": str(error)})
        else:
            _tell({"done": job["recording_id"]})


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)  # unlike the default, removes the temporary file and ends ffmpeg


def _tell(event: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError as error:
        # Nobody is left to tell. SystemExit still removes the temporary file and ends ffmpeg on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
