"""A changed setting, source or model makes stale exactly the stages that read it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from schemas.settings import Settings
from schemas.tables import RATINGS
from tasks.evaluation.plan import TRIVIAL, metrics_path
from tasks.evaluation.plan import pending as pending_metrics
from tasks.evaluation.stage import evaluate
from tasks.faces.plan import pending as pending_faces
from tasks.features.plan import pending as pending_features
from tasks.ingest.recordings import DIMENSION_KEYS, ratings_key
from tasks.prediction.plan import pending as pending_predictions
from tasks.store.parts import Provenance, write_part
from tasks.training.plan import current_model

from .conftest import CNN, EVALUATE, FACES, FEATURES_RUN, PREDICT_RUN, RNN, Corpus, write_ratings

ALL: dict[str, Settings] = {
    "faces": FACES,
    "cnn": CNN,
    "rnn": RNN,
    "features": FEATURES_RUN,
    "predict": PREDICT_RUN,
    "evaluate": EVALUATE,
}


def stale_stages(corpus: Corpus, settings: dict[str, Settings]) -> set[str]:
    """Stages that have something to do, each judged by what stands on disk before it."""
    store, recordings, (cnn, rnn) = corpus.store, corpus.recordings, corpus.cards
    chosen: dict[str, Any] = settings
    found = {
        "faces": pending_faces(store, recordings, chosen["faces"]),
        "cnn": current_model(store, recordings, chosen["cnn"]) is None,
        "features": pending_features(store, recordings, cnn, chosen["features"]),
        "rnn": current_model(store, recordings, chosen["rnn"], features_model_id=cnn.model_id) is None,
        "predict": [r for card in (cnn, rnn) for r in pending_predictions(store, recordings, card, chosen["predict"])],
        "evaluate": pending_metrics(store, recordings, corpus.model_ids, "valence", chosen["evaluate"]),
    }
    return {stage for stage, work in found.items() if work}


def changed(stage: str, **update: object) -> dict[str, Settings]:
    return {**ALL, stage: type(ALL[stage]).model_validate({**ALL[stage].model_dump(), **update})}


def test_nothing_is_stale_after_a_run(trained_corpus: Corpus) -> None:
    assert stale_stages(trained_corpus, ALL) == set()


@pytest.mark.parametrize(
    ("stage", "update", "expected"),
    [
        ("faces", {"workers": 7}, set()),
        ("faces", {"chip_format": "gray96"}, {"faces"}),
        ("faces", {"segment_frames": 100}, {"faces"}),
        ("faces", {"detection_threshold": 0.1}, {"faces"}),
        ("cnn", {"device": "auto", "num_threads": 4}, set()),
        ("cnn", {"seed": 1}, {"cnn"}),
        ("features", {"batch_size": 9, "device": "auto"}, set()),
        ("features", {"precision": "auto"}, {"features"}),
        ("cnn", {"augmentation": {"flip": 0.25}}, {"cnn"}),
        ("cnn", {"swap_ratings": True}, {"cnn"}),
        ("cnn", {"label_delay_seconds": 2.0}, {"cnn"}),
        ("rnn", {"num_threads": 4}, set()),
        ("rnn", {"learning_rate": 0.125}, {"rnn"}),
        ("rnn", {"network": {"hidden_sizes": [16], "window": 9}}, {"rnn"}),
        ("predict", {"device": "auto"}, set()),
        ("predict", {"no_face": "null"}, {"predict"}),
        ("evaluate", {"scored_on": ["test"]}, {"evaluate"}),
        ("evaluate", {"protocol": "mine"}, {"evaluate"}),
    ],
)
def test_a_changed_setting(trained_corpus: Corpus, stage: str, update: dict[str, object], expected: set[str]) -> None:
    assert stale_stages(trained_corpus, changed(stage, **update)) == expected


def test_changed_training_ratings(full_corpus: Corpus) -> None:
    write_ratings(full_corpus.store, full_corpus.fakes["A1"], key="ratings-2")
    assert stale_stages(full_corpus, ALL) == {"cnn", "rnn", "evaluate"}


def test_another_dimension_beside_the_first_leaves_its_models_alone(full_corpus: Corpus) -> None:
    store = full_corpus.store
    for name in (one.recording_id for one in full_corpus.recordings if one.partition is not None):
        valence = pl.read_parquet(store.ratings(name))
        arousal = valence.with_columns(pl.lit("arousal").alias("dimension"), -pl.col("value"))
        both = pl.concat([valence, arousal]).to_arrow().cast(RATINGS)
        keys = {"valence": ratings_key(store, name, "valence"), "arousal": f"arousal-{name}"}
        provenance = Provenance(stage="ratings", stage_key="both", extra={DIMENSION_KEYS: json.dumps(keys)})
        write_part(store.ratings(name), both, provenance)
        assert ratings_key(store, name, "arousal") == f"arousal-{name}"
    assert stale_stages(full_corpus, ALL) == set()
    assert evaluate(store, full_corpus.recordings, TRIVIAL, "arousal", EVALUATE) == list(TRIVIAL)
    assert stale_stages(full_corpus, ALL) == set()
    for name in TRIVIAL:
        for dimension in ("valence", "arousal"):
            table = pl.read_parquet(metrics_path(store, name, EVALUATE.protocol, dimension))
            assert set(table["dimension"]) == {dimension}


def test_changed_test_ratings(full_corpus: Corpus) -> None:
    write_ratings(full_corpus.store, full_corpus.fakes["C1"], key="ratings-2")
    assert stale_stages(full_corpus, ALL) == {"evaluate"}


def test_a_changed_video(full_corpus: Corpus) -> None:
    recordings = [replace(r, sha256="f" * 64) if r.recording_id == "C1" else r for r in full_corpus.recordings]
    corpus = Corpus(full_corpus.store, recordings, full_corpus.fakes, full_corpus.cards)
    assert stale_stages(corpus, ALL) == {"faces"}
    assert [r.recording_id for r in pending_faces(corpus.store, recordings, FACES)] == ["C1"]


def test_a_moved_video_or_another_partition_is_no_other_face(full_corpus: Corpus) -> None:
    recordings = [replace(r, path="/elsewhere.mp4", subject_id="other") for r in full_corpus.recordings]
    assert stale_stages(Corpus(full_corpus.store, recordings, full_corpus.fakes, full_corpus.cards), ALL) == set()
    recordings = [replace(r, partition="test") if r.recording_id == "D1" else r for r in full_corpus.recordings]
    assert stale_stages(Corpus(full_corpus.store, recordings, full_corpus.fakes, full_corpus.cards), ALL) == set()
    recordings = [replace(r, partition="train") if r.recording_id == "C1" else r for r in full_corpus.recordings]
    stale = stale_stages(Corpus(full_corpus.store, recordings, full_corpus.fakes, full_corpus.cards), ALL)
    assert stale == {"cnn", "rnn", "evaluate"}


def test_a_lost_part_is_all_that_is_missing(full_corpus: Corpus) -> None:
    store, (cnn, rnn) = full_corpus.store, full_corpus.cards
    store.predictions(rnn.model_id, "B1").unlink()
    found = pending_predictions(store, full_corpus.recordings, rnn, PREDICT_RUN)
    assert [r.recording_id for r in found] == ["B1"]
    assert pending_predictions(store, full_corpus.recordings, cnn, PREDICT_RUN) == []
    assert stale_stages(full_corpus, ALL) == {"predict", "evaluate"}
