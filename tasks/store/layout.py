"""Where everything lies in a store. The only place that builds these paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.errors import StoreError

VALENCE = "valence"
"""The dimension that files are of whose names tell none."""


def of_dimension(name: str, dimension: str) -> str:
    """The name of a file of one dimension: as it is for valence, else `name.arousal`, say."""
    return name if dimension == VALENCE else f"{name}.{dimension}"


@dataclass(frozen=True)
class Store:
    """The folders and files of one store, below `root`.

    Per-recording tables are folders of parts, `S/<table>/<recording_id>/part-00000.parquet`; features and predictions
    have the model's id in between, so that two models never share a folder.
    """

    root: Path

    @property
    def recordings(self) -> Path:
        return self.root / "recordings.parquet"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def failures(self) -> Path:
        return self.root / "failures"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics"

    def index(self, recording_id: str) -> Path:
        return self.root / "index" / recording_id / part_name(0)

    def ratings(self, recording_id: str) -> Path:
        return self.root / "ratings" / recording_id / part_name(0)

    def gold_standards(self, recording_id: str) -> Path:
        return self.root / "gold_standards" / recording_id / part_name(0)

    def fusions(self, dimension: str, protocol: str) -> Path:
        return self.root / "fusions" / dimension / f"{protocol}.parquet"

    @property
    def agreement(self) -> Path:
        return self.root / "agreement"

    def delay(self, features_model_id: str, dimension: str) -> Path:
        return self.root / "delay" / features_model_id / f"{dimension}.parquet"

    def audio(self, recording_id: str) -> Path:
        return self.root / "audio" / recording_id / part_name(0)

    def identities(self, recording_id: str) -> Path:
        return self.root / "identities" / f"{recording_id}.parquet"

    def frames(self, recording_id: str) -> Path:
        return self.root / "frames" / recording_id

    def people(self, recording_id: str) -> Path:
        return self.root / "people" / recording_id

    def model(self, model_id: str) -> Path:
        return self.models / model_id

    def features(self, model_id: str, recording_id: str) -> Path:
        return self.root / "features" / model_id / recording_id / part_name(0)

    def predictions(self, model_id: str, recording_id: str) -> Path:
        return self.root / "predictions" / model_id / recording_id / part_name(0)


def existing_store(root: Path) -> Store:
    """The store at `root`.

    Raises:
        StoreError: nothing has been ingested there.
    """
    store = Store(root)
    if not store.recordings.exists():
        raise StoreError(f"{root}: no store there; run `affectflow ingest CORPUS --store {root}` first")
    return store


def part_name(number: int) -> str:
    """File name of the `number`-th part (0-based).

    >>> part_name(3)
    'part-00003.parquet'
    """
    return f"part-{number:05d}.parquet"


def part_number(path: Path) -> int:
    """What `part_name` was given.

    >>> part_number(Path("S/frames/P16/part-00003.parquet"))
    3
    """
    return int(path.stem.removeprefix("part-"))
