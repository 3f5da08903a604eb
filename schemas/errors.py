"""The error tree of AffectFlow.

AffectFlowError
|-- UnusableInputError          the whole command cannot go on           exit code 2
|   |-- SettingsError           a setting is unknown, or out of range
|   |-- DatasetError            a labelled set of pictures cannot be read as what it claims to be
|   |-- CorpusError             the corpus contradicts itself; carries a table of problems
|   |-- StoreError              the store cannot be read or written
|   |   |-- StoreLockedError    another process writes this store
|   |   `-- SchemaVersionError  a file was written under another major schema version
|   |-- TrainingError           a model cannot be trained on what the store holds
|   `-- LeakError               a score would be of what was fitted or selected on the same recordings or people
|-- StoppedError                the run is being stopped; nothing has failed
`-- RecordingError              one recording failed, the others go on   exit code 1
    |-- SourceError             a file is gone, or is no longer the one that was ingested
    |-- ProbeError              the container cannot be opened or has no video
    |-- DecodeError             frames and the index of the stream disagree, or decoding stopped
    |   `-- DecoderDiedError    ffmpeg was ended by a signal
    |-- AudioError              the audio track cannot be decoded
    |-- RatingsError            the ratings of a recording are malformed
    `-- WorkerError             a worker process died twice on the same segment

Every message names the file or recording, the value found, what was expected, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names and how many more there are, for messages.

    >>> few(["P16", "P17", "P18"], 2)
    'P16, P17 and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class AffectFlowError(Exception):
    """Base of every error this project raises on purpose."""

    exit_code = 2


class UnusableInputError(AffectFlowError):
    """The command cannot do anything useful with what it was given."""


class SettingsError(UnusableInputError):
    """A setting is unknown, missing or out of range."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One row of the table that ingestion shows before any work is done.

    `severity` says what follows: `fatal` stops the command, `failed` costs this recording only,
    `warning` is reported and nothing else. `line` is 1-based, None where a whole file is meant.
    """

    severity: Literal["fatal", "failed", "warning"]
    recording_id: str | None
    path: str
    line: int | None = None
    expected: str
    found: str

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}, line {self.line}"
        return f"{where}: expected {self.expected}, found {self.found}"


class CorpusError(UnusableInputError):
    """The corpus contradicts itself; `problems` holds one row for each contradiction."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class DatasetError(UnusableInputError):
    """A labelled set of pictures is malformed, incomplete or contradicts itself."""


class StoreError(UnusableInputError):
    """The store cannot be read or written."""


class StoreLockedError(StoreError):
    """Another process is writing this store."""


class SchemaVersionError(StoreError):
    """A file was written under another major schema version."""


class TrainingError(UnusableInputError):
    """A model cannot be trained on what the store holds."""


class LeakError(UnusableInputError):
    """A score would be of what was fitted or selected on the same recordings, or the same people."""


class StoppedError(AffectFlowError):
    """The run is being stopped, by Ctrl-C or by an error elsewhere. Nothing has failed; it goes on from there."""


class RecordingError(AffectFlowError):
    """One recording failed. The others go on; the failure is written to the store."""

    exit_code = 1


class SourceError(RecordingError):
    """A file is gone or cannot be read, or it is not, or no longer, the one that was ingested."""


class ProbeError(RecordingError):
    """A container cannot be opened, or holds no video stream."""


class DecodeError(RecordingError):
    """Decoding stopped early, or the frames disagree with the index of the stream."""


class DecoderDiedError(DecodeError):
    """A signal ended ffmpeg: somebody killed it, the system for want of memory, or it crashed."""


class AudioError(RecordingError):
    """An audio track cannot be decoded."""


class RatingsError(RecordingError):
    """The ratings of one recording are malformed; `problems` holds one row for each place."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class WorkerError(RecordingError):
    """A worker process died twice on the same segment."""
