"""The sparse first pass over a recording: who is in it, and who of them is the main person.

Detection and embedding cost 8 and 60 ms a frame at 360x288, so frames are looked at in an order that is spread over
the whole recording from the start, a few at once in as many processes as there are, and only until those left cannot,
or all but cannot, change who is main.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.settings import FacesSettings, IdentitySettings
from schemas.tables import INDEX
from tasks.faces.chip import aligned_luma, placement, signature_of
from tasks.faces.decode import Picture
from tasks.faces.detect import Detector, find_landmarks
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import Identities, Sighting, identities_of, write_identities
from tasks.faces.sampling import SampledPictures, choose_samples
from tasks.ingest.media import DECODER_VERSION
from tasks.store.parts import read_table


@dataclass(frozen=True, kw_only=True)
class IdentitiesJob:
    """The first pass over one recording."""

    recording_id: str
    path: str
    source_sha256: str
    index_path: str
    identities_path: str
    stage_key: str
    width: int
    height: int
    seekable: bool
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LookJob:
    """A few of its frames, by `positions` in the index, for a worker; `by_seeking`: each is decoded on its own."""

    recording_id: str
    path: str
    positions: Sequence[int]
    pts: Sequence[int]
    by_seeking: bool
    width: int
    height: int
    settings: dict[str, Any]

    @property
    def what(self) -> str:
        """For messages."""
        return "the search for its main person"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": "look", **asdict(self)}


SampledFaces = list[list[dict[str, Any]]]
"""The faces of each frame of a `LookJob`: all of a `Sighting` but its time, for JSON."""


def look_at(job: LookJob) -> SampledFaces:
    """Every face that a look at the whole of some pictures finds; none where a picture cannot be decoded.

    Raises:
        DecodeError: the file cannot be opened.
    """
    settings = FacesSettings(**job.settings)
    detector = Detector(settings)
    pictures = SampledPictures(
        Path(job.path), np.array(job.pts), size=(job.width, job.height), max_pixels=settings.max_pixels
    )
    if job.by_seeking:
        sought = pictures.sought(tuple(range(len(job.pts))))
        return [[] if picture is None else _faces(detector, picture) for picture in sought]
    found = [_faces(detector, picture) for picture in pictures.passing(tuple(job.positions))]
    return found + [[] for _ in range(len(job.positions) - len(found))]


def look_here(jobs: Sequence[LookJob]) -> list[SampledFaces]:
    """`look_at` for each of some jobs, in this process."""
    return [look_at(job) for job in jobs]


def write_settled(job: IdentitiesJob, look: Callable[[Sequence[LookJob]], list[SampledFaces]] = look_here) -> None:
    """Settle who is in a recording and write its `identities`; `look` as for `settle_identities`.

    Raises:
        DecodeError: the file cannot be opened.
        StoreError: the part cannot be written.
    """
    index = read_table(Path(job.index_path), INDEX, ["pts", "time_seconds", "is_keyframe"])
    write_identities(
        Path(job.identities_path),
        settle_identities(job, index, look=look),
        recording_id=job.recording_id,
        key=job.stage_key,
        source_sha256=job.source_sha256,
        decoder_version=DECODER_VERSION,
    )


def settle_identities(
    job: IdentitiesJob,
    index: pa.Table,
    *,
    look: Callable[[Sequence[LookJob]], list[SampledFaces]] = look_here,
    all_persons: bool = False,
) -> Identities:
    """The persons of one recording by a few of its frames, the main one first.

    A function of the recording and the settings alone, whoever looks. Memory does not grow with the recording.

    Args:
        job: the recording, and the settings of detection and of identity.
        index: its `schemas.tables.INDEX`: `pts`, `time_seconds`, `is_keyframe`.
        look: what each of some jobs finds, as `look_at` says it.
        all_persons: look at every sample, also once the main person is settled.

    Returns: no persons where no sampled frame shows a face. Unless `all_persons`, those that only appear in
    frames that were not needed are missing: to `Identities.whose` they are strangers, as they should be.

    Raises:
        DecodeError: the file cannot be opened. Damage inside it is no error here: those samples show nobody.
    """
    times, pts = index["time_seconds"].to_numpy(), index["pts"].to_numpy()
    settings = FacesSettings(**job.settings).identity
    samples = choose_samples(
        times,
        index["is_keyframe"].to_numpy(),
        interval_seconds=settings.interval_seconds,
        most=settings.most_samples,
        seekable=job.seekable,
    )
    order = [samples.positions[rank] for rank in spread_order(len(samples.positions))]
    at_once = settings.lone_lead if samples.by_seeking else len(order)  # the fewest that can be enough
    sightings: list[Sighting] = []
    identities = Identities(())
    for start in range(0, len(order), max(at_once, 1)):
        some = order[start : start + at_once]
        alone = [[position] for position in some] if samples.by_seeking else [sorted(some)]
        jobs = [_look_job(job, positions, pts, by_seeking=samples.by_seeking) for positions in alone]
        seen: dict[int, list[dict[str, Any]]] = {}
        for one, found in zip(jobs, look(jobs), strict=True):
            seen |= zip(one.positions, found, strict=True)
        for taken, position in enumerate(some, start=start + 1):
            sightings += [_sighting(float(times[position]), face) for face in seen[position]]
            identities = identities_of(sightings, threshold=settings.threshold)
            if not all_persons and is_settled(identities, left=len(order) - taken, settings=settings):
                return identities
    return identities


def _look_job(job: IdentitiesJob, positions: Sequence[int], pts: npt.NDArray[np.int64], *, by_seeking: bool) -> LookJob:
    return LookJob(
        recording_id=job.recording_id,
        path=job.path,
        positions=[int(position) for position in positions],
        pts=[int(pts[position]) for position in positions],
        by_seeking=by_seeking,
        width=job.width,
        height=job.height,
        settings=job.settings,
    )


def spread_order(number: int) -> list[int]:
    """0 to `number` - 1 in van der Corput's order: however few one takes, they lie all over the range.

    >>> spread_order(6)
    [0, 4, 2, 1, 5, 3]
    """
    bits = max(number - 1, 0).bit_length()
    return sorted(range(number), key=lambda rank: int(f"{rank:0{bits}b}"[::-1], 2) if bits else 0)


def is_settled(identities: Identities, *, left: int, settings: IdentitySettings) -> bool:
    """Whether the samples left cannot change who is main, or the main person's lead is as large as the settings ask.

    A person is seen once in a sample, so the lead changes by one at most with each.
    """
    counts = [person.num_sightings for person in identities.persons] + [0, 0]
    ahead = counts[0] - counts[1]
    return ahead > left or ahead >= (settings.decisive_lead if counts[1] else settings.lone_lead)


def _faces(detector: Detector, picture: Picture) -> list[dict[str, Any]]:
    faces = []
    for one in detector.everywhere(picture.y, small=True):
        landmarks = find_landmarks(picture.y, one.box)
        faces.append(
            {
                "box_side": one.side,
                "embedding": embed([recognition_chip(picture, landmarks)])[0].tolist(),
                "signature": signature_of(aligned_luma(picture, placement(landmarks))).tolist(),
            }
        )
    return faces


def _sighting(time_seconds: float, face: dict[str, Any]) -> Sighting:
    return Sighting(
        time_seconds=time_seconds,
        box_side=face["box_side"],
        embedding=np.array(face["embedding"], dtype=np.float32),
        signature=np.array(face["signature"], dtype=np.float32),
    )
