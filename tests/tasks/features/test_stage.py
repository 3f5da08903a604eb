"""Features against a forward pass written here, from the stored chips and weights alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from schemas.errors import UnusableInputError
from tasks.features.plan import pending
from tasks.features.stage import extract_features
from tasks.store.parts import read_provenance

from ..conftest import FEATURES_RUN, RNN, Corpus, recording_of, write_frames


def forward(weights: dict[str, torch.Tensor], chips: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """K's layers in float64 for the tiny gray 48x48 network whose normalisation is the mean alone."""
    w = {name: tensor.double() for name, tensor in weights.items()}
    gray = (chips.astype(np.int64) @ [77, 150, 29] + 128) // 256
    small = (gray.reshape(-1, 48, 2, 48, 2).sum(axis=(2, 4)) + 2) // 4
    x = torch.from_numpy(small)[:, None].double() / 255 - w["normalisation.mean"]
    for layer in range(3):
        x = F.conv2d(x, w[f"convolutions.{layer}.weight"], padding=1).clamp_min(0)
        size = x.shape[-1] // 2
        pool = 2 if layer < 2 else size
        x = x.reshape(len(x), x.shape[1], x.shape[2] // pool, pool, x.shape[3] // pool, pool).amax(dim=(3, 5))
    hidden = x.reshape(len(x), -1) @ w["hidden.weight"].T + w["hidden.bias"]
    return hidden.clamp_min(0).numpy()


def test_features_equal_a_forward_pass(trained_corpus: Corpus) -> None:
    store, card = trained_corpus.store, trained_corpus.cnn
    weights = load_file(store.model(card.model_id) / "model.safetensors")
    for recording in trained_corpus.recordings:
        name = recording.recording_id
        frames = pl.concat([pl.read_parquet(p) for p in sorted(store.frames(name).glob("*.parquet"))])
        table = pl.read_parquet(store.features(card.model_id, name))
        for column in ("recording_id", "frame_index", "time_seconds", "face_valid"):
            assert table[column].to_list() == frames[column].to_list()
        assert set(table["model_id"]) == {card.model_id}
        valid = frames["face_valid"].to_numpy()
        assert table["feature"].is_not_null().to_list() == valid.tolist()
        chips = np.stack([np.frombuffer(c, np.uint8).reshape(96, 96, 3) for c in frames["chip"].drop_nulls()])
        found = np.array(table["feature"].drop_nulls().to_list())
        np.testing.assert_allclose(found, forward(weights, chips), rtol=1e-4, atol=1e-4)
        assert (found >= 0).all()


def test_the_batch_size_changes_nothing(full_corpus: Corpus) -> None:
    store, card = full_corpus.store, full_corpus.cnn
    path = store.features(card.model_id, "A2")
    before = np.array(pl.read_parquet(path)["feature"].drop_nulls().to_list())
    path.unlink()
    extract_features(store, full_corpus.recordings, card, FEATURES_RUN.model_copy(update={"batch_size": 7}))
    after = np.array(pl.read_parquet(path)["feature"].drop_nulls().to_list())
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_only_what_is_missing_or_stale_is_computed(full_corpus: Corpus) -> None:
    store, card = full_corpus.store, full_corpus.cnn
    paths = {r.recording_id: store.features(card.model_id, r.recording_id) for r in full_corpus.recordings}
    before = {name: path.stat().st_mtime_ns for name, path in paths.items()}
    assert extract_features(store, full_corpus.recordings, card, FEATURES_RUN).recordings == 0
    paths["B1"].unlink()
    assert [one.recording_id for one in pending(store, full_corpus.recordings, card, FEATURES_RUN)] == ["B1"]
    summary = extract_features(store, full_corpus.recordings, card, FEATURES_RUN)
    assert (summary.recordings, summary.frames) == (1, 150)
    assert {n: p.stat().st_mtime_ns for n, p in paths.items() if n != "B1"} == {
        n: t for n, t in before.items() if n != "B1"
    }
    (store.frames("A1") / "part-00001.parquet").unlink()  # incomplete frames: nothing to compute from
    assert pending(store, full_corpus.recordings, card, FEATURES_RUN) == []
    fake = full_corpus.fakes["A1"]
    write_frames(store, recording_of(fake), fake)
    assert pending(store, full_corpus.recordings, card, FEATURES_RUN) == []


def test_provenance_names_the_weights(trained_corpus: Corpus) -> None:
    found = read_provenance(trained_corpus.store.features(trained_corpus.cnn.model_id, "A1"))
    assert found is not None
    assert found["model_hash"] == trained_corpus.cnn.weights_sha256
    assert found["stage"] == "features"


def test_an_rnn_gives_no_features(trained_corpus: Corpus) -> None:
    with pytest.raises(UnusableInputError, match=r"tiny-rnn.*expected a CNN"):
        extract_features(trained_corpus.store, trained_corpus.recordings, trained_corpus.rnn, FEATURES_RUN)
    assert RNN.input == "features"
