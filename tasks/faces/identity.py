"""Who is who: the persons of one recording, settled once, so that no two segments can disagree.

Embeddings identify people: `S/identities` is biometric data, to be guarded and deleted like the recordings themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.settings import FacesSettings
from schemas.tables import EMBEDDING_SIZE, IDENTITIES, SIGNATURE_SIZE
from tasks.ingest.recordings import Recording, recording_key
from tasks.store.parts import Provenance, read_table, stage_key, write_part

STAGE = "identities"
STAGE_VERSION = 2

_SETTINGS_READ = ("detector", "upsample", "detection_threshold", "identity")

Embedding = npt.NDArray[np.float32]
Signatures = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One face in one sampled frame: when, how large (side of the box, pixels of the upright picture), whose.

    `embedding` is `[128]`, `signature` `[576]` (tasks.faces.chip.signature_of).
    """

    time_seconds: float
    box_side: float
    embedding: Embedding
    signature: Signatures


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person of a recording, by the sampled frames that show her or him.

    `reference` is the mean embedding, `signatures` `[face, 576]` those of the sampled faces that are near it.
    """

    num_sightings: int
    first_seen_seconds: float
    last_seen_seconds: float
    median_box_side: float
    reference: Embedding
    signatures: Signatures


@dataclass(frozen=True, kw_only=True)
class Match:
    """Whose face it is: the number of a person, None for a stranger; `distance` is to the nearest person."""

    person: int | None
    distance: float


@dataclass(frozen=True)
class Identities:
    """The persons of a recording, the main one first; none where no face was seen, and then everyone is a stranger."""

    persons: tuple[Person, ...]

    def whose(self, embedding: Embedding, *, threshold: float) -> Match:
        """The person nearest to a face, if near enough.

        Args:
            embedding: `[128]`.
            threshold: largest Euclidean distance from a person's reference.
        """
        if not self.persons:
            return Match(person=None, distance=math.inf)
        references = np.stack([person.reference for person in self.persons])
        distances = np.linalg.norm(references - embedding, axis=1)
        nearest = int(distances.argmin())
        distance = float(distances[nearest])
        return Match(person=nearest if distance <= threshold else None, distance=distance)


def identities_of(sightings: Sequence[Sighting], *, threshold: float) -> Identities:
    """The persons behind some sightings, whatever order these come in.

    The main person is the one seen in most frames; where two are level the larger, then the earlier.

    Args:
        sightings: faces of sampled frames; those of one frame share its time and are different persons.
        threshold: as for `cluster`.
    """
    ordered = sorted(sightings, key=lambda one: (one.time_seconds, -one.box_side, *one.embedding.tolist()))
    labels = cluster(
        np.array([one.embedding for one in ordered], dtype=np.float32).reshape(-1, EMBEDDING_SIZE),
        [one.time_seconds for one in ordered],
        threshold=threshold,
    )
    groups: dict[int, list[Sighting]] = {}
    for label, one in zip(labels, ordered, strict=True):
        groups.setdefault(label, []).append(one)
    persons = [_person(group, threshold) for group in groups.values()]
    persons.sort(key=lambda one: (-one.num_sightings, -one.median_box_side, one.first_seen_seconds))
    return Identities(tuple(persons))


def cluster(embeddings: Embedding, moments: Sequence[float], *, threshold: float) -> list[int]:
    """Which faces are one person: average linkage, in which two faces of one moment never meet.

    Args:
        embeddings: `[face, 128]`.
        moments: when each was seen; two faces at one moment are two persons.
        threshold: largest mean distance between the faces of two groups that are made one.

    Returns: a label for each face, the index of the first face of its group.
    """
    when = np.asarray(moments)
    apart = when[:, None] == when[None]
    return linked(embeddings.astype(np.float64), np.ones(len(embeddings)), apart, threshold=threshold)


def linked(
    points: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
    apart: npt.NDArray[np.bool_],
    *,
    threshold: float,
) -> list[int]:
    """Average linkage of points, some of which never meet, nor the groups they are in.

    Args:
        points: `[point, 128]`.
        sizes: `[point]`, how many faces each stands for.
        apart: `[point, point]`, symmetric: which two are different persons.
        threshold: as for `cluster`.

    Returns: a label for each point, the index of the first point of its group.

    Source: Lance and Williams 1967, the update of group-average distances.
    """
    labels, sizes = np.arange(len(points)), sizes.copy()
    distance = np.empty((len(points), len(points)))
    for number, point in enumerate(points):
        distance[number] = np.linalg.norm(points - point, axis=1)
    distance[apart] = np.inf
    np.fill_diagonal(distance, np.inf)
    while distance.size:
        a, b = sorted(divmod(int(distance.argmin()), len(labels)))
        if distance[a, b] > threshold:
            break
        joined = (sizes[a] * distance[a] + sizes[b] * distance[b]) / (sizes[a] + sizes[b])
        distance[a], distance[:, a] = joined, joined
        distance[b], distance[:, b] = np.inf, np.inf
        distance[a, a] = np.inf
        sizes[a] += sizes[b]
        labels[labels == b] = a
    return [int(label) for label in labels]


def _person(group: Sequence[Sighting], threshold: float) -> Person:
    times = [one.time_seconds for one in group]
    mean: Embedding = np.stack([one.embedding for one in group]).mean(axis=0, dtype=np.float64).astype(np.float32)
    return Person(
        num_sightings=len(group),
        first_seen_seconds=min(times),
        last_seen_seconds=max(times),
        median_box_side=float(np.median([one.box_side for one in group])),
        reference=mean,
        signatures=np.array(
            [one.signature for one in group if np.linalg.norm(one.embedding - mean) <= threshold], dtype=np.float32
        ).reshape(-1, SIGNATURE_SIZE),
    )


def identities_key(recording: Recording, settings: FacesSettings) -> str:
    """Stage key of a recording's identities: of the settings, only those that settling reads."""
    read = {name: settings.keyed()[name] for name in _SETTINGS_READ}
    read["identity"] = {name: value for name, value in read["identity"].items() if name != "face_threshold"}
    return stage_key(STAGE, STAGE_VERSION, read, [recording_key(recording)])


def write_identities(
    path: Path, identities: Identities, *, recording_id: str, key: str, source_sha256: str, decoder_version: str
) -> None:
    """Write the persons of one recording as `schemas.tables.IDENTITIES`. Raises StoreError like `write_part`."""
    rows = [
        {
            "recording_id": recording_id,
            "person": number,
            "num_sightings": person.num_sightings,
            "first_seen_seconds": person.first_seen_seconds,
            "last_seen_seconds": person.last_seen_seconds,
            "median_box_side": person.median_box_side,
            "embedding": person.reference.tolist(),
            "signatures": person.signatures.tolist(),
        }
        for number, person in enumerate(identities.persons)
    ]
    provenance = Provenance(stage=STAGE, stage_key=key, source_sha256=source_sha256, decoder_version=decoder_version)
    write_part(path, pa.Table.from_pylist(rows, schema=IDENTITIES), provenance)


def read_identities(path: Path) -> Identities:
    """What `write_identities` wrote.

    Raises:
        StoreError: there is nothing at `path`, or it is not Parquet.
        SchemaVersionError: another major schema version.
    """
    rows = sorted(read_table(path, IDENTITIES).to_pylist(), key=lambda row: int(row["person"]))
    return Identities(
        tuple(
            Person(
                num_sightings=row["num_sightings"],
                first_seen_seconds=row["first_seen_seconds"],
                last_seen_seconds=row["last_seen_seconds"],
                median_box_side=row["median_box_side"],
                reference=np.array(row["embedding"], dtype=np.float32),
                signatures=np.array(row["signatures"] or [], dtype=np.float32).reshape(-1, SIGNATURE_SIZE),
            )
            for row in rows
        )
    )
