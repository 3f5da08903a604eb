"""Where the files of the sample corpus lie, and what says that they are synthetic."""

from __future__ import annotations

SYNTHETIC = "SYNTHETIC sample, made by affectflow demo: no person said or felt any of this"


def recording_files(recording_id: str) -> tuple[str, str, str]:
    """Paths of a recording's sound, video and ratings below the corpus's root, as RECOLA has them."""
    return (
        f"RECOLA-Audio-recordings/{recording_id}.wav",
        f"RECOLA-Video-recordings/{recording_id}.mp4",
        f"RECOLA-Annotation/emotional_behaviour/valence/{recording_id}.csv",
    )
