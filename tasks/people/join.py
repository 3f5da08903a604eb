"""From segments to persons: reads what the segments left, settles whose tracks they are, writes `people`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.tables import EMBEDDING_SIZE, PEOPLE, UNJOINED
from tasks.faces.identity import read_identities
from tasks.people.persons import TrackSummary, persons_of
from tasks.store.layout import part_name
from tasks.store.parts import Provenance, read_table, write_part


@dataclass(frozen=True, kw_only=True)
class JoinJob:
    """The segments of one recording, all there, to be joined; `frames_key` is that of the `frames` they go with."""

    recording_id: str
    path: str
    source_sha256: str
    identities_path: str
    unjoined_dir: str
    people_dir: str
    stage_key: str
    frames_key: str
    decoder_version: str
    num_parts: int
    threshold: float

    @property
    def what(self) -> str:
        """For messages."""
        return "the search for who is who"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": "join", **asdict(self)}


@dataclass(frozen=True)
class _Segment:
    """What is kept in memory of a segment: how many tracks it has, which are the main person's, the others."""

    num_tracks: int
    main: frozenset[int]
    others: dict[int, TrackSummary]


def join_people(job: JoinJob) -> None:
    """Write every part of a recording's `people`; the last is marked so.

    Raises:
        StoreError: a part cannot be read or written.
    """
    segments: list[tuple[int, frozenset[int], list[int]]] = []

    def summaries() -> Iterator[list[TrackSummary]]:
        for number in range(job.num_parts):
            segment = _summarised(read_table(Path(job.unjoined_dir) / part_name(number), UNJOINED))
            segments.append((segment.num_tracks, segment.main, list(segment.others)))
            yield list(segment.others.values())

    known = read_identities(Path(job.identities_path)).persons
    persons = iter(persons_of(summaries(), known[0].reference if known else None, threshold=job.threshold))
    first_track = 0
    for number, (num_tracks, main, others) in enumerate(segments):
        whose = dict.fromkeys(main, 0) | {track: next(persons) for track in others}
        _write_part(job, number, whose, first_track)
        first_track += num_tracks


def _summarised(rows: pa.Table) -> _Segment:
    tracks, frames = rows["track"].to_numpy(), rows["frame_index"].to_numpy()
    is_main = rows["is_main"].to_numpy()
    main_frames = frames[is_main]
    taken = rows.filter(rows["embedding"].is_valid())
    embeddings = np.array(taken["embedding"].to_pylist(), dtype=np.float32).reshape(-1, EMBEDDING_SIZE)
    whose = taken["track"].to_numpy()
    others = {}
    for track in np.unique(tracks[~is_main]).tolist():
        its = frames[tracks == track]
        seen = embeddings[whose == track]
        others[track] = TrackSummary(
            first=int(its[0]),
            last=int(its[-1]) + 1,
            mean=seen.mean(axis=0, dtype=np.float64).astype(np.float32),
            num_embeddings=len(seen),
            is_beside_main=bool(np.isin(its, main_frames).any()),
        )
    main = frozenset(np.unique(tracks[is_main]).tolist())
    return _Segment(len(main) + len(others), main, others)


def _write_part(job: JoinJob, number: int, whose: dict[int, int], first_track: int) -> None:
    """The rows of one segment with their persons, by frame and person."""
    rows = read_table(Path(job.unjoined_dir) / part_name(number), UNJOINED)
    tracks = rows["track"].to_pylist()
    person = pa.array([whose[track] for track in tracks], pa.int32())
    rows = rows.append_column("person", person)
    rows = rows.set_column(
        rows.schema.get_field_index("track"), "track", pc.add(rows["track"], pa.scalar(first_track, pa.int32()))
    )
    rows = rows.sort_by([("frame_index", "ascending"), ("person", "ascending")]).select(PEOPLE.names).cast(PEOPLE)
    provenance = Provenance(
        stage="people",
        stage_key=job.stage_key,
        source_sha256=job.source_sha256,
        decoder_version=job.decoder_version,
        extra={"frames_key": job.frames_key, "is_last": str(number == job.num_parts - 1).lower()},
    )
    write_part(Path(job.people_dir) / part_name(number), rows, provenance)
