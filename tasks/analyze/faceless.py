"""What may be wrong with a clip in which no face was found, and what to do about it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from tasks.ingest.recordings import Recording

_TURNS = {90: "a quarter clockwise", 180: "upside down", 270: "a quarter anticlockwise"}


@dataclass(frozen=True)
class Advice:
    """What to look at, and the command that makes another copy of the clip, if that is it."""

    text: str
    command: str

    def __str__(self) -> str:
        return f"{self.text}: {self.command}"


def why_no_face(recording: Recording) -> Advice:
    """For somebody whose clip shows a face that was not found.

    The picture is analyzed as a player shows it, turned as the file's metadata say, and only upright faces are found.
    So whether metadata turn it can be told from here; whether they are right, only a person can see.
    """
    path = Path(recording.path)
    if recording.rotation:
        return Advice(
            f"The file's metadata turn the picture {_TURNS[recording.rotation]}, as players do. If people lie on their "
            "side or stand on their heads in the video, the metadata are wrong; analyze a copy without them",
            _command(["-display_rotation", "0"], path, ["-c", "copy"], path.suffix),
        )
    return Advice(
        "Only upright faces are found, of some 40 pixels or more, neither in profile nor covered. If people lie on "
        "their side in the video, analyze a copy that is turned, here a quarter anticlockwise (270: clockwise)",
        _command(["-display_rotation", "90"], path, [], ".mp4"),
    )


def _command(before: list[str], path: Path, after: list[str], suffix: str) -> str:
    copy = path.with_name(f"{path.stem}-turned{suffix}")
    return shlex.join(["ffmpeg", *before, "-i", str(path), *after, str(copy)])
