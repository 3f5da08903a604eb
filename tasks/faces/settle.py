"""The sparse first pass over a recording: who is in it, and who of them is the main person.

Detection and embedding cost 8 and 60 ms a frame at 360x288, so frames are looked at in an order that is spread over
the whole recording from the start, and only until those left cannot, or all but cannot, change who is main.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas.settings import FacesSettings, IdentitySettings
from schemas.tables import INDEX
from tasks.faces.chip import Signature, aligned_luma, placement, signature_of
from tasks.faces.decode import ByteArray, Picture
from tasks.faces.detect import Detector, find_landmarks
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import Identities, Sighting, identities_of, write_identities
from tasks.faces.sampling import SampledPictures, choose_samples
from tasks.ingest.media import DECODER_VERSION
from tasks.store.parts import read_table


@dataclass(frozen=True, kw_only=True)
class IdentitiesJob:
    """The first pass over one recording, for a worker."""

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

    @property
    def what(self) -> str:
        """For messages."""
        return "the search for its main person"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": "identities", **asdict(self)}


def write_settled(job: IdentitiesJob) -> None:
    """Settle who is in a recording and write its `identities`.

    Raises:
        DecodeError: the file cannot be opened.
        StoreError: the part cannot be written.
    """
    identities = settle_identities(
        Path(job.path),
        read_table(Path(job.index_path), INDEX, ["pts", "time_seconds", "is_keyframe"]),
        size=(job.width, job.height),
        seekable=job.seekable,
        settings=FacesSettings(**job.settings),
    )
    write_identities(
        Path(job.identities_path),
        identities,
        recording_id=job.recording_id,
        key=job.stage_key,
        source_sha256=job.source_sha256,
        decoder_version=DECODER_VERSION,
    )


@dataclass(frozen=True)
class _Face:
    """A face of a sampled frame that nobody has recognised yet."""

    box_side: float
    chip: ByteArray
    signature: Signature


def settle_identities(
    path: Path,
    index: pa.Table,
    *,
    size: tuple[int, int],
    seekable: bool,
    settings: FacesSettings,
    all_persons: bool = False,
) -> Identities:
    """The persons of one recording by a few of its frames, the main one first.

    A function of its arguments and the file alone. Memory does not grow with the recording.

    Args:
        path: the video.
        index: its `schemas.tables.INDEX`: `pts`, `time_seconds`, `is_keyframe`.
        size: width and height of the upright, square-pixel picture, from `upright_size`.
        seekable: False where the index cannot be sought (a declared frame rate); everything is decoded then.
        settings: of detection and of identity.
        all_persons: look at every sample, also once the main person is settled.

    Returns: no persons where no sampled frame shows a face. Unless `all_persons`, those that only appear in
    frames that were not needed are missing: to `Identities.whose` they are strangers, as they should be.

    Raises:
        DecodeError: the file cannot be opened. Damage inside it is no error here: those samples show nobody.
    """
    times = index["time_seconds"].to_numpy()
    samples = choose_samples(
        times,
        index["is_keyframe"].to_numpy(),
        interval_seconds=settings.identity.interval_seconds,
        most=settings.identity.most_samples,
        seekable=seekable,
    )
    order = [samples.positions[rank] for rank in spread_order(len(samples.positions))]
    pictures = SampledPictures(path, index["pts"].to_numpy(), size=size, max_pixels=settings.max_pixels)
    looks = _looks_by_seeking if samples.by_seeking else _looks_in_passing
    sightings: list[Sighting] = []
    identities = Identities(())
    for taken, (position, faces) in enumerate(looks(pictures, order, Detector(settings)), start=1):
        embeddings = embed([face.chip for face in faces])
        sightings += [
            Sighting(
                time_seconds=float(times[position]),
                box_side=face.box_side,
                embedding=embedding,
                signature=face.signature,
            )
            for face, embedding in zip(faces, embeddings, strict=True)
        ]
        identities = identities_of(sightings, threshold=settings.identity.threshold)
        if not all_persons and is_settled(identities, left=len(order) - taken, settings=settings.identity):
            break
    return identities


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


def _looks_by_seeking(
    pictures: SampledPictures, order: list[int], detector: Detector
) -> Iterator[tuple[int, list[_Face]]]:
    for position, picture in zip(order, pictures.sought(tuple(order)), strict=True):
        yield position, [] if picture is None else _faces(detector, picture)


def _looks_in_passing(
    pictures: SampledPictures, order: list[int], detector: Detector
) -> Iterator[tuple[int, list[_Face]]]:
    ascending = tuple(sorted(order))
    found = dict(zip(ascending, (_faces(detector, picture) for picture in pictures.passing(ascending)), strict=False))
    for position in order:
        yield position, found.get(position, [])


def _faces(detector: Detector, picture: Picture) -> list[_Face]:
    """Every face that a look at the whole picture finds."""
    faces = []
    for one in detector.everywhere(picture.y, small=True):
        landmarks = find_landmarks(picture.y, one.box)
        signature = signature_of(aligned_luma(picture, placement(landmarks)))
        faces.append(_Face(one.side, recognition_chip(picture, landmarks), signature))
    return faces
