"""A clip whose rows are made by hand, and a tiny random network in place of the one that ships."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch

from schemas.cards import ExpressionCard, ExpressionScore, ShippedCard
from schemas.expressions import FER2013_CLASSES
from schemas.settings import FacesSettings, IngestSettings
from schemas.tables import frames_schema
from schemas.training import NamedNetwork
from tasks.analyze.clips import Clip, corpus_folder, list_clips, work_store, write_manifest
from tasks.analyze.stage import ClipSummary, analyze_clip
from tasks.expression import shipped
from tasks.expression.networks import build_network
from tasks.expression.plan import FinishedModel
from tasks.ingest.recordings import Recording, read_recordings
from tasks.ingest.stage import ingest_corpus
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE
from tasks.store.layout import Store, part_name
from tasks.store.parts import Provenance, write_part
from tasks.training.networks import weights_bytes, weights_sha256

from ..conftest import dataset_card

SIZE = (320, 240)
BOX = (60.0, 50.0, 160.0, 150.0)
FACES = FacesSettings()
TINY: dict[str, Any] = {"widths": [4, 8], "hidden_sizes": [8]}


def write_film(path: Path, num_frames: int) -> Path:
    """A gray film at 25 frames/s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.full((SIZE[1], SIZE[0], 3), 120, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def chips_of(num_frames: int) -> npt.NDArray[np.uint8]:
    """Noise that drifts, `[frame, 96, 96, 3]`."""
    dice = np.random.default_rng(11)
    first, last = dice.integers(0, 256, (2, 96, 96, 3))
    share = np.linspace(0, 1, num_frames)[:, None, None, None]
    chips: npt.NDArray[np.uint8] = (first + (last - first) * share).astype(np.uint8)
    return chips


def write_rows(store: Store, recording: Recording, valid: Sequence[bool]) -> None:
    """Rows in parts of 20."""
    chips = chips_of(len(valid))
    rows = []
    for index, has_face in enumerate(valid):
        row: dict[str, Any] = {"recording_id": recording.recording_id, "frame_index": index, "time_seconds": index / 25}
        row |= {"face_valid": has_face, "face_source": "tracked" if has_face else "none"}
        if has_face:
            row |= dict(zip(("box_left", "box_top", "box_right", "box_bottom"), BOX, strict=True))
            row |= {"landmarks": [80.0] * 10, "chip": chips[index].tobytes(), "sharpness": 300.0}
        rows.append(row)
    for number, start in enumerate(range(0, len(rows), 20)):
        write_part(
            store.frames(recording.recording_id) / part_name(number),
            pa.Table.from_pylist(rows[start : start + 20], schema=frames_schema("rgb96")),
            Provenance(stage="faces", stage_key="rows", source_sha256=recording.sha256),
        )


def card_of(sha256: str) -> ExpressionCard:
    """The card of the tiny network, scored on an invented split."""
    confusion = np.eye(7, dtype=int) * 6 + 1
    score = ExpressionScore(
        split="public_test",
        subset="all",
        n=int(confusion.sum()),
        accuracy=0.5,
        mean_recall=0.5,
        loss=1.0,
        ece=0.1,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )
    return ExpressionCard(
        model_id=f"tiny-{sha256[:8]}",
        name="tiny",
        stage_key="key",
        weights_sha256=sha256,
        network="shallow",
        network_options=TINY,
        num_parameters=1,
        input_size=48,
        channels=1,
        classes=FER2013_CLASSES,
        seed=0,
        best_epoch=0,
        history=(),
        scores=(score,),
        dataset=dataset_card(name="invented", terms="none", fit={"happy": 3}, choice={"happy": 1}),
        licence="none",
        settings={},
        code_version="0",
        torch_version="0",
        device="cpu",
        shipped=ShippedCard(
            trained_as="tiny",
            trained_sha256="0",
            stored_as="float16",
            bytes=1,
            views=2,
            accuracy_before={"public_test": 0.5},
            accuracy_after={"public_test": 0.49},
            largest_change=0.001,
        ),
    )


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExpressionCard:
    """Of a tiny random network that ships in a folder of its own, stored as float16."""
    torch.manual_seed(3)
    network = build_network(NamedNetwork(name="shallow", options=TINY), 7)
    for parameter in network.parameters():
        parameter.data *= 3  # far from even probabilities
    data = weights_bytes(network.half())
    folder = tmp_path / "weights"
    folder.mkdir()
    made = card_of(weights_sha256(data))
    (folder / WEIGHTS_FILE).write_bytes(data)
    (folder / CARD_FILE).write_text(made.model_dump_json(), encoding="utf-8")
    monkeypatch.setattr(shipped, "shipped_folder", lambda: folder)
    return made


@dataclass(frozen=True)
class Made:
    """A clip with its rows in the work folder, ready to analyze."""

    clip: Clip
    store: Store
    recording: Recording
    card: ExpressionCard
    valid: tuple[bool, ...]

    @property
    def model(self) -> FinishedModel:
        return FinishedModel(shipped.shipped_folder(), self.card)

    def analyze(self) -> ClipSummary:
        return analyze_clip(self.store, self.recording, self.clip, self.model, FACES, device="cpu")

    def with_card(self, **changes: Any) -> Made:
        return dataclasses.replace(self, card=self.card.model_copy(update=changes))


MakeClip = Callable[..., Made]


@pytest.fixture
def make_clip(tmp_path: Path, card: ExpressionCard) -> MakeClip:
    """Make a clip of some frames; in each, whether there is a face."""

    def make(valid: Sequence[bool] = (True,) * 40 + (False,) * 10 + (True,) * 10, *, name: str = "clip.mp4") -> Made:
        folder = tmp_path / "videos"
        folder.mkdir(exist_ok=True)
        (clip,) = list_clips([write_film(folder / name, len(valid))], tmp_path / "out")
        store = work_store(clip.out)
        write_manifest(store, [clip])
        ingest_corpus(corpus_folder(store), store, IngestSettings())
        (recording,) = read_recordings(store)
        write_rows(store, recording, valid)
        return Made(clip, store, recording, card, tuple(valid))

    return make
