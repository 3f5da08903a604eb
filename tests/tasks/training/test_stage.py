"""Training on a synthetic store: what is learned, what is kept, and that a kill changes nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.blocks import FaceNetwork
from schemas.cards import ModelCard
from schemas.errors import SettingsError, TrainingError
from schemas.training import CnnTraining, RnnTraining
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE, read_card, read_cards
from tasks.store.layout import Store
from tasks.training import fit as fitting
from tasks.training import stage as training
from tasks.training.stage import train_model

from ..conftest import CNN, RATERS, RNN, Corpus, CorpusMaker, Fake, write_ratings

REPOSITORY = Path(__file__).parents[3]


def weights(store: Store, card: ModelCard) -> dict[str, torch.Tensor]:
    return load_file(store.model(card.model_id) / WEIGHTS_FILE)


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def scores(card: ModelCard) -> list[tuple[int, float, float]]:
    return [(record.epoch, record.train_loss, record.dev_ccc) for record in card.history]


def test_both_networks_learn(trained_corpus: Corpus) -> None:
    cnn, rnn = trained_corpus.cnn, trained_corpus.rnn
    assert cnn.history[-1].train_loss < 0.3 * cnn.history[0].train_loss
    assert cnn.dev_ccc > 0.8
    assert rnn.dev_ccc > 0.7
    assert rnn.dev_ccc > rnn.history[0].dev_ccc


def test_the_card_says_what_was_done(trained_corpus: Corpus) -> None:
    cnn, rnn, store = trained_corpus.cnn, trained_corpus.rnn, trained_corpus.store
    for card in (cnn, rnn):
        data = (store.model(card.model_id) / WEIGHTS_FILE).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        assert card.weights_sha256 == digest
        assert card.model_id == f"{card.name}-{digest[:8]}"
        assert card.raters == RATERS
        assert card.delay_how == "given"
        assert (card.train_recordings, card.dev_recordings) == (("A1", "A2"), ("B1", "B2"))
        assert card.selected_on == "dev"
        best = max(record.dev_ccc for record in card.history)
        assert card.dev_ccc == best
        assert card.history[card.best_epoch].dev_ccc == best
        assert set(card.provenance) == {"A1", "A2", "B1", "B2"}
        saved = load_file(store.model(card.model_id) / WEIGHTS_FILE)
        buffers = {"normalisation.mean", "feature_mean", "feature_std"}
        assert card.num_parameters == sum(v.numel() for k, v in saved.items() if k not in buffers)
        assert read_card(store, card.model_id) == card
    assert (cnn.features_model_id, rnn.features_model_id) == (None, cnn.model_id)
    assert CnnTraining(**cnn.settings) == CNN
    assert RnnTraining(**rnn.settings) == RNN
    assert not list(store.models.glob(".training-*"))
    assert not list(store.models.rglob("chips-*.npy"))


def test_the_same_training_again_is_no_work(trained_corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_work(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", no_work)
    store, recordings = trained_corpus.store, trained_corpus.recordings
    assert train_model(store, recordings, CNN) == trained_corpus.cnn
    other_machine = CNN.model_copy(update={"device": "auto", "num_threads": 3})
    assert train_model(store, recordings, other_machine) == trained_corpus.cnn
    assert train_model(store, recordings, RNN, features_model_id=trained_corpus.cnn.model_id) == trained_corpus.rnn


def test_seeds_decide_everything(corpus: Corpus, trained_corpus: Corpus) -> None:
    again = train_model(corpus.store, corpus.recordings, CNN)
    assert again.weights_sha256 == trained_corpus.cnn.weights_sha256
    assert scores(again) == scores(trained_corpus.cnn)
    short = CNN.model_copy(update={"seed": 1, "max_epochs": 1})
    assert train_model(corpus.store, corpus.recordings, short).weights_sha256 != again.weights_sha256
    assert len(read_cards(corpus.store)) == 2


_KILLED = """
import os, signal, sys
from pathlib import Path
from schemas.training import CnnTraining
from tasks.ingest.recordings import read_recordings
from tasks.store.layout import Store
from tasks.training import fit
from tasks.training.stage import train_model

save = fit._save
def save_and_die(network, optimizer, best, history, checkpoint):
    save(network, optimizer, best, history, checkpoint)
    if len(history) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
fit._save = save_and_die
store = Store(Path(sys.argv[1]))
train_model(store, read_recordings(store), CnnTraining.model_validate_json(sys.argv[2]))
"""


def test_a_killed_cnn_training_goes_on_to_the_same_bits(corpus: Corpus, trained_corpus: Corpus) -> None:
    command = [sys.executable, "-c", _KILLED, str(corpus.store.root), CNN.model_dump_json()]
    died = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert read_cards(corpus.store) == []
    assert len(list(corpus.store.models.glob(".training-*/checkpoints/last.safetensors"))) == 1
    card = train_model(corpus.store, corpus.recordings, CNN)
    assert scores(card) == scores(trained_corpus.cnn)
    assert card.weights_sha256 == trained_corpus.cnn.weights_sha256
    assert_same_weights(weights(corpus.store, card), weights(trained_corpus.store, trained_corpus.cnn))


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_interrupted_rnn_training_goes_on_to_the_same_bits(
    full_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    store, expected = full_corpus.store, weights(full_corpus.store, full_corpus.rnn)
    (store.model(full_corpus.rnn.model_id) / CARD_FILE).unlink()
    save = fitting._save

    def save_and_stop(network, optimizer, best, history, checkpoint) -> None:  # type: ignore[no-untyped-def]
        save(network, optimizer, best, history, checkpoint)
        if len(history) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train_model(store, full_corpus.recordings, RNN, features_model_id=full_corpus.cnn.model_id)
    monkeypatch.setattr(fitting, "_save", save)
    card = train_model(store, full_corpus.recordings, RNN, features_model_id=full_corpus.cnn.model_id)
    assert_same_weights(weights(store, card), expected)
    assert scores(card) == scores(full_corpus.rnn)
    assert card.model_id == full_corpus.rnn.model_id


def test_a_kill_inside_an_epoch_only_costs_that_epoch(
    corpus: Corpus, trained_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = training._chip_batches

    def cut_short(chips, settings, device, epoch):  # type: ignore[no-untyped-def]
        for number, batch in enumerate(batches(chips, settings, device, epoch)):
            if epoch == 2 and number == 4:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(training, "_chip_batches", cut_short)
    with pytest.raises(KeyboardInterrupt):
        train_model(corpus.store, corpus.recordings, CNN)
    assert not list(corpus.store.models.rglob("chips-*.npy"))
    monkeypatch.setattr(training, "_chip_batches", batches)
    assert train_model(corpus.store, corpus.recordings, CNN).weights_sha256 == trained_corpus.cnn.weights_sha256


def test_swapped_ratings_are_of_the_next_recording(make_corpus: CorpusMaker, full_corpus: Corpus) -> None:
    swapped = CNN.model_copy(update={"swap_ratings": True, "name": "tiny-control", "max_epochs": 2})
    card = train_model(full_corpus.store, full_corpus.recordings, swapped)
    assert card.is_control
    assert not full_corpus.cnn.is_control
    assert card.weights_sha256 != full_corpus.cnn.weights_sha256
    alone = make_corpus(Fake(recording_id="A1", partition="train"), Fake(recording_id="B1", partition="dev"))
    with pytest.raises(TrainingError, match=r"at least two recordings.*A1"):
        train_model(alone.store, alone.recordings, swapped)


def test_diverging_loss_is_a_named_error(corpus: Corpus) -> None:
    wild = CNN.model_copy(update={"learning_rate": 1e6, "clip_norm": None})
    with pytest.raises(TrainingError, match=r"loss became .*learning_rate.*1000000"):
        train_model(corpus.store, corpus.recordings, wild)
    assert read_cards(corpus.store) == []


def test_empty_partitions_are_named(make_corpus: CorpusMaker) -> None:
    made = make_corpus(Fake(recording_id="A1", partition="train"), Fake(recording_id="C1", partition="test"))
    with pytest.raises(TrainingError, match="'dev'"):
        train_model(made.store, made.recordings, CNN)


def test_nothing_to_learn_from_is_named(make_corpus: CorpusMaker) -> None:
    blind = Fake(recording_id="A1", partition="train", num_frames=30, faceless=tuple(range(30)))
    made = make_corpus(blind, Fake(recording_id="B1", partition="dev", num_frames=30))
    with pytest.raises(TrainingError, match="A1 has both a face and a label"):
        train_model(made.store, made.recordings, CNN)
    arousal = CNN.model_copy(update={"dimension": "arousal"})
    with pytest.raises(TrainingError, match="'arousal'"):
        train_model(made.store, made.recordings, arousal)


def test_gray_chips_and_a_colour_network_are_a_named_error(make_corpus: CorpusMaker) -> None:
    from schemas.settings import FacesSettings

    from ..conftest import recording_of, write_frames

    made = make_corpus(
        Fake(recording_id="A1", partition="train", num_frames=20),
        Fake(recording_id="B1", partition="dev", num_frames=20),
    )
    for fake in made.fakes.values():
        write_frames(made.store, recording_of(fake), fake, settings=FacesSettings(chip_format="gray96"))
    colour = CNN.model_copy(update={"network": CNN.network.model_copy(update={"colour": "rgb"})})
    with pytest.raises(TrainingError, match="gray"):
        train_model(made.store, made.recordings, colour)
    short = CNN.model_copy(update={"max_epochs": 1})
    assert train_model(made.store, made.recordings, short).raters == RATERS


def test_unknown_devices_are_named(corpus: Corpus) -> None:
    with pytest.raises(SettingsError, match="'tpu'"):
        train_model(corpus.store, corpus.recordings, CNN.model_copy(update={"device": "tpu"}))
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="no usable CUDA"):
            train_model(corpus.store, corpus.recordings, CNN.model_copy(update={"device": "cuda"}))


def test_torch_threads_are_put_back(corpus: Corpus) -> None:
    before = torch.get_num_threads()
    train_model(corpus.store, corpus.recordings, CNN.model_copy(update={"max_epochs": 1, "num_threads": before + 1}))
    assert torch.get_num_threads() == before


def test_raters_differ_between_recordings(make_corpus: CorpusMaker) -> None:
    made = make_corpus(
        Fake(recording_id="A1", partition="train", num_frames=60, raters=("X", "Y")),
        Fake(recording_id="A2", partition="train", num_frames=60, raters=("Z", "Y")),
        Fake(recording_id="B1", partition="dev", num_frames=60, raters=("Y", "W")),
    )
    short = CNN.model_copy(update={"max_epochs": 2})
    card = train_model(made.store, made.recordings, short)
    assert card.raters == ("X", "Y", "Z")
    head = weights(made.store, card)["head.weight"]
    assert head.shape[0] == 3


def test_a_rater_without_values_keeps_the_first_weights(make_corpus: CorpusMaker) -> None:
    """Nothing but weight decay may touch an output whose ratings are all missing."""
    made = make_corpus(
        Fake(recording_id="A1", partition="train", num_frames=64, missing=(("FM2", 0, 65),)),
        Fake(recording_id="B1", partition="dev", num_frames=64),
    )
    settings = CNN.model_copy(update={"max_epochs": 2, "weight_decay": 0.0})
    torch.manual_seed(settings.seed)
    from tasks.training.networks import build_cnn

    network = build_cnn(settings, 3)
    assert isinstance(network, FaceNetwork)
    start = network.head.weight.detach().clone()
    card = train_model(made.store, made.recordings, settings)
    head = weights(made.store, card)["head.weight"]
    assert torch.equal(head[1], start[1])
    assert not torch.equal(head[0], start[0])


def test_the_mean_image_is_that_of_the_training_chips(trained_corpus: Corpus) -> None:
    from ..conftest import chips_of

    luma = []
    for name in ("A1", "A2"):
        fake = trained_corpus.fakes[name]
        rgb = chips_of(fake).astype(np.float64)
        gray = rgb @ np.array([77, 150, 29]) / 256
        small = gray.reshape(-1, 48, 2, 48, 2).mean(axis=(2, 4))
        luma.append(np.delete(small, fake.faceless, axis=0))
    mean = np.concatenate(luma).mean(axis=0) / 255
    found = weights(trained_corpus.store, trained_corpus.cnn)["normalisation.mean"][0].numpy()
    np.testing.assert_allclose(found, mean, atol=1 / 255)
    assert abs(float((found - mean).mean())) < 1e-3


def test_features_are_standardised_on_the_training_frames_with_a_face(trained_corpus: Corpus) -> None:
    import polars as pl

    store, cnn = trained_corpus.store, trained_corpus.cnn
    rows = []
    for name in ("A1", "A2"):
        table = pl.read_parquet(store.features(cnn.model_id, name)).filter(pl.col("face_valid"))
        rows.append(np.array(table["feature"].to_list(), dtype=np.float64))
    joined = np.concatenate(rows)
    saved = weights(store, trained_corpus.rnn)
    np.testing.assert_allclose(saved["feature_mean"].numpy(), joined.mean(axis=0), rtol=1e-5, atol=1e-6)
    std = joined.std(axis=0)
    np.testing.assert_allclose(saved["feature_std"].numpy()[std > 1e-6], std[std > 1e-6], rtol=1e-4)
    assert (saved["feature_std"].numpy()[std == 0] == 1).all()


def test_damaged_weights_are_refused(full_corpus: Corpus) -> None:
    from schemas.errors import StoreError
    from tasks.training.networks import load_cnn

    path = full_corpus.store.model(full_corpus.cnn.model_id) / WEIGHTS_FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="sha256"):
        load_cnn(full_corpus.store, full_corpus.cnn)
    path.unlink()
    with pytest.raises(StoreError, match="train the model again"):
        load_cnn(full_corpus.store, full_corpus.cnn)


def test_changed_ratings_make_another_model(full_corpus: Corpus) -> None:
    write_ratings(full_corpus.store, full_corpus.fakes["A1"], key="ratings-2")
    card = train_model(full_corpus.store, full_corpus.recordings, CNN.model_copy(update={"max_epochs": 6}))
    assert card.stage_key != full_corpus.cnn.stage_key
    assert card.model_id == full_corpus.cnn.model_id  # the same values: the same weights, under the newer key
    assert len(read_cards(full_corpus.store)) == 2


def test_published_files_can_be_read_by_others(corpus: Corpus) -> None:
    before = os.umask(0o022)
    try:
        card = train_model(corpus.store, corpus.recordings, CNN.model_copy(update={"max_epochs": 1}))
    finally:
        os.umask(before)
    folder = corpus.store.model(card.model_id)
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        assert path.stat().st_mode & 0o777 == 0o644, path
