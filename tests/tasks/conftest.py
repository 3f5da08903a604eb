"""A store without videos: chips whose light tells the hidden valence, so that a tiny network learns it at once."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from schemas.cards import DatasetCard, ModelCard
from schemas.evaluation import EvaluateSettings, Partition
from schemas.settings import FacesSettings, FeaturesSettings, PredictSettings
from schemas.tables import RATINGS, frames_schema
from schemas.training import Augmentation, CnnTraining, KhorramiCnnSettings, RnnNetworkSettings, RnnTraining
from tasks import progress
from tasks.evaluation.plan import TRIVIAL
from tasks.evaluation.stage import evaluate
from tasks.faces.plan import frames_key
from tasks.features.stage import extract_features
from tasks.ingest.recordings import Recording, recordings_table
from tasks.prediction.stage import predict
from tasks.progress import LogReporter, set_reporter
from tasks.store.layout import Store, part_name
from tasks.store.parts import Provenance, write_part
from tasks.training.stage import train_model

FloatArray = npt.NDArray[np.float64]

RATERS = ("FM1", "FM2", "FF1")
STEP_SECONDS = 0.04
FACES = FacesSettings()

CNN = CnnTraining(
    name="tiny-cnn",
    network=KhorramiCnnSettings(input_size=48, colour="gray", kernel_size=3, widths=(8, 8, 16), dropout=0.1),
    normalisation="mean",
    augmentation=Augmentation(shift_pixels=1, flip=0.5),
    batch_size=16,
    learning_rate=0.01,
    clip_norm=1.0,
    max_epochs=6,
    patience=6,
    device="cpu",
    num_threads=1,
)
RNN = RnnTraining(
    name="tiny-rnn",
    network=RnnNetworkSettings(hidden_sizes=(16,), nonlinearity="tanh", window=8),
    batch_size=32,
    learning_rate=0.2,
    max_epochs=4,
    patience=4,
    device="cpu",
)
FEATURES_RUN = FeaturesSettings(batch_size=64, device="cpu", num_threads=1)
PREDICT_RUN = PredictSettings(device="cpu")
EVALUATE = EvaluateSettings(
    protocol="plain",
    gold=("none",),
    delay=0.0,
    chain=(),
    scored_on=("dev", "test"),
    declares_overlap=True,
    replicates=200,
)
"""Every rater apart, nothing fitted, dev scored although the epoch was selected there."""


@dataclass(frozen=True, kw_only=True)
class Fake:
    """One recording to make. `missing` are (rater, first sample, end) stretches without a value, half-open."""

    recording_id: str
    partition: Partition | None
    num_frames: int = 150
    raters: tuple[str, ...] = RATERS
    faceless: tuple[int, ...] = ()
    missing: tuple[tuple[str, int, int], ...] = ()
    rated: bool = True
    parts: int = 1


def hidden_valence(fake: Fake, num_samples: int) -> FloatArray:
    """What the chips show, in [-.8, .8]; its own curve for each recording."""
    turn = sum(map(ord, fake.recording_id))
    times = np.arange(num_samples) * STEP_SECONDS
    value: FloatArray = 0.6 * np.sin(2 * np.pi * times / (2.1 + turn % 5 / 4) + turn) + 0.2 * np.cos(5 * times + turn)
    return value


def rating_of(rater: str, hidden: FloatArray) -> FloatArray:
    """A rater's scale and bias around the hidden valence, two decimals as in RECOLA."""
    turn = sum(map(ord, rater)) % 5
    value: FloatArray = np.round((0.6 + 0.08 * turn) * hidden + 0.05 * (turn - 2), 2)
    return value


def chips_of(fake: Fake, seed: int = 0) -> npt.NDArray[np.uint8]:
    """`[frame, 96, 96, 3]`: noisy gray, lit from above where the hidden valence is high and from below where low."""
    rng = np.random.default_rng([seed, sum(map(ord, fake.recording_id))])
    hidden = hidden_valence(fake, fake.num_frames)
    light = np.where(np.arange(96) < 48, 1.0, -1.0)[:, None]
    base = 120 + 120 * hidden[:, None, None] * light
    noise = rng.normal(0, 8, (fake.num_frames, 12, 12)).repeat(8, axis=1).repeat(8, axis=2)
    gray = np.clip(base + noise, 0, 255)
    return np.stack([gray, gray * 0.9, gray * 0.8], axis=-1).astype(np.uint8)


def write_frames(store: Store, recording: Recording, fake: Fake, *, settings: FacesSettings = FACES) -> None:
    """The parts of one recording, as the faces stage would leave them."""
    chips = chips_of(fake)
    if settings.chip_format == "gray96":
        chips = chips[..., :1]
    schema = frames_schema(settings.chip_format)
    edges = np.linspace(0, fake.num_frames, fake.parts + 1).astype(int)
    for number, (first, end) in enumerate(itertools.pairwise(edges.tolist())):
        rows = []
        for frame in range(first, end):
            valid = frame not in fake.faceless
            row: dict[str, Any] = {
                "recording_id": fake.recording_id,
                "frame_index": frame,
                "time_seconds": frame * STEP_SECONDS,
                "face_valid": valid,
                "face_source": "detected" if valid else "none",
            }
            rows.append(row | ({"chip": chips[frame].tobytes()} if valid else {}))
        provenance = Provenance(
            stage="faces",
            stage_key=frames_key(recording, settings),
            extra={"is_last": str(number == fake.parts - 1).lower()},
        )
        write_part(
            store.frames(fake.recording_id) / part_name(number), pa.Table.from_pylist(rows, schema=schema), provenance
        )


def rating_columns(fake: Fake) -> tuple[FloatArray, FloatArray]:
    """Times, and values `[sample, rater]` with NaN where missing: one sample more than there are frames."""
    samples = fake.num_frames + 1
    hidden = hidden_valence(fake, samples)
    values = np.column_stack([rating_of(rater, hidden) for rater in fake.raters])
    for rater, first, end in fake.missing:
        values[first:end, fake.raters.index(rater)] = np.nan
    return np.round(np.arange(samples) * STEP_SECONDS, 2), values


def write_ratings(store: Store, fake: Fake, *, key: str = "ratings-1") -> None:
    times, values = rating_columns(fake)
    flat = values.T.ravel()
    rows = flat.size
    columns = {
        "recording_id": pa.array([fake.recording_id] * rows),
        "dimension": pa.array(["valence"] * rows),
        "rater": pa.array([rater for rater in fake.raters for _ in times]),
        "time_seconds": pa.array(np.tile(times, len(fake.raters))),
        "value": pa.array(flat, mask=np.isnan(flat)),
        "value_original": pa.array(flat, mask=np.isnan(flat)),
        "scale_min": pa.array(np.full(rows, -1.0)),
        "scale_max": pa.array(np.full(rows, 1.0)),
        "is_imputed": pa.array(np.zeros(rows, dtype=bool)),
    }
    provenance = Provenance(stage="ratings", stage_key=f"{key}-{fake.recording_id}")
    write_part(store.ratings(fake.recording_id), pa.table(columns, schema=RATINGS), provenance)


def recording_of(fake: Fake) -> Recording:
    return Recording(
        recording_id=fake.recording_id,
        recording_id_original=fake.recording_id,
        subject_id=fake.recording_id,
        path=f"/nowhere/{fake.recording_id}.mp4",
        partition=fake.partition,
        sha256=fake.recording_id.encode().hex().ljust(64, "0"),
        bytes=1,
        modified_ns=1,
        duration_seconds=fake.num_frames * STEP_SECONDS,
        width=64,
        height=48,
        rotation=0,
        pixel_aspect=1.0,
        colour_matrix=None,
        num_frames=fake.num_frames,
        frame_rate_nominal=25.0,
        video_start_seconds=0.0,
        time_source="stream",
        audio_path=None,
        audio_codec=None,
        audio_sample_rate=None,
        audio_channels=None,
        audio_start_seconds=None,
        audio_duration_seconds=None,
    )


def make_store(root: Path, fakes: Sequence[Fake]) -> tuple[Store, list[Recording]]:
    store = Store(root)
    recordings = [recording_of(fake) for fake in fakes]
    for fake, recording in zip(fakes, recordings, strict=True):
        write_frames(store, recording, fake)
        if fake.rated:
            write_ratings(store, fake)
    write_part(store.recordings, recordings_table(recordings), Provenance(stage="ingest", stage_key="ingest"))
    return store, sorted(recordings, key=lambda recording: recording.recording_id)


@dataclass(frozen=True)
class Corpus:
    """A store after some stages: what stands in it, and the models trained on it."""

    store: Store
    recordings: list[Recording]
    fakes: dict[str, Fake]
    cards: list[ModelCard] = field(default_factory=list)

    @property
    def cnn(self) -> ModelCard:
        return self.cards[0]

    @property
    def rnn(self) -> ModelCard:
        return self.cards[1]

    @property
    def model_ids(self) -> list[str]:
        return [*(card.model_id for card in self.cards), *TRIVIAL]


FAKES = (
    Fake(recording_id="A1", partition="train", parts=2),
    Fake(recording_id="A2", partition="train", faceless=(0, 1, 40, 41, 42), missing=(("FM2", 20, 60),)),
    Fake(recording_id="B1", partition="dev", faceless=(0, 75, 76, 77)),
    Fake(recording_id="B2", partition="dev", num_frames=120, raters=("FM1", "FF1")),
    Fake(recording_id="C1", partition="test", num_frames=130, faceless=tuple(range(100, 130))),
    Fake(recording_id="D1", partition=None, num_frames=60, rated=False),
)


@pytest.fixture(scope="session")
def untrained_corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Recordings, ratings and frames. Read only: ask for `corpus` to change anything."""
    store, recordings = make_store(tmp_path_factory.mktemp("synthetic") / "store", FAKES)
    return Corpus(store, recordings, {fake.recording_id: fake for fake in FAKES})


@pytest.fixture(scope="session")
def trained_corpus(untrained_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Every stage up to the metrics. Read only: ask for `full_corpus` to change anything."""
    root = tmp_path_factory.mktemp("trained") / "store"
    shutil.copytree(untrained_corpus.store.root, root)
    store, recordings = Store(root), untrained_corpus.recordings
    cnn = train_model(store, recordings, CNN)
    extract_features(store, recordings, cnn, FEATURES_RUN)
    rnn = train_model(store, recordings, RNN, features_model_id=cnn.model_id)
    for card in (cnn, rnn):
        predict(store, recordings, card, PREDICT_RUN)
    corpus = Corpus(store, recordings, untrained_corpus.fakes, [cnn, rnn])
    evaluate(store, recordings, corpus.model_ids, "valence", EVALUATE)
    return corpus


@pytest.fixture
def corpus(untrained_corpus: Corpus, tmp_path: Path) -> Corpus:
    """A copy of `untrained_corpus` of one's own."""
    return _copied(untrained_corpus, tmp_path)


@pytest.fixture
def full_corpus(trained_corpus: Corpus, tmp_path: Path) -> Corpus:
    """A copy of `trained_corpus` of one's own."""
    return _copied(trained_corpus, tmp_path)


def _copied(corpus: Corpus, folder: Path) -> Corpus:
    root = folder / "store"
    shutil.copytree(corpus.store.root, root)
    return Corpus(Store(root), corpus.recordings, corpus.fakes, corpus.cards)


CorpusMaker = Callable[..., Corpus]


@pytest.fixture
def make_corpus(tmp_path: Path) -> CorpusMaker:
    """Make a store of the given fakes."""

    def make(*fakes: Fake) -> Corpus:
        store, recordings = make_store(tmp_path / "made", fakes)
        return Corpus(store, recordings, {fake.recording_id: fake for fake in fakes})

    return make


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What a reporter of lines says during the test."""
    said: list[str] = []
    before = progress._reporter
    set_reporter(LogReporter(said.append))
    yield said
    set_reporter(before)


def dataset_card(**changes: Any) -> DatasetCard:
    """What an expression model's card says of data that there is none of."""
    facts: dict[str, Any] = {
        "name": "fer2013",
        "terms": "",
        "sha256": {},
        "pictures": {},
        "extra_copies": 0,
        "groups_of_copies": 0,
        "shared_with_training": {},
        "dropped_from_training": 0,
        "fit": {},
        "choice": {},
    }
    return DatasetCard(**{**facts, **changes})
