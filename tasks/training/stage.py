"""Train one model on what the store holds, and put it there."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.apart import RatersApart
from models.blocks import FaceNetwork
from models.chips import Normalisation, augment
from models.losses import masked_ccc_loss, masked_epsilon_insensitive, masked_mse
from models.metrics import mean_ccc
from models.recurrent import RecurrentNetwork
from models.windows import WindowedSequences, hold_last_valid
from schemas.cards import EpochRecord, ModelCard
from schemas.errors import TrainingError
from schemas.training import CnnTraining, DelayHow, RnnTraining
from tasks.delay.stage import with_delays
from tasks.expression.networks import load_expression
from tasks.expression.plan import FinishedModel
from tasks.expression.start import recorded
from tasks.ingest.recordings import Recording
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE
from tasks.store.layout import Store
from tasks.store.parts import code_version, replacing, write_text
from tasks.training.data import ChipSet, StoredSequences, feature_statistics, load_chips, load_sequences, raters_of
from tasks.training.devices import cpu_threads, resolve_device
from tasks.training.fit import Batch, FitData, best_epoch, epoch_generator, fit, joined_history
from tasks.training.networks import (
    ChipNetwork,
    build_cnn,
    build_rnn,
    count_parameters,
    seeded,
    start_from,
    weights_bytes,
    weights_sha256,
)
from tasks.training.plan import (
    TrainingInputs,
    find_model,
    find_start,
    settled,
    training_inputs,
    training_key,
)

_EVALUATION_BATCH = 256


def train_model(
    store: Store,
    recordings: Sequence[Recording],
    settings: CnnTraining | RnnTraining,
    *,
    features_model_id: str | None = None,
) -> ModelCard:
    """Train a CNN on chips or an RNN on features; a model trained on exactly this before is returned as it is.

    Args:
        store: frames (or features) and ratings are read from it, the model is written to it.
        recordings: all recordings; those of partitions train and dev are used.
        settings: of the training.
        features_model_id: for an RNN, the CNN whose features it reads.

    Raises:
        TrainingError: a partition is empty, nothing is labelled, or the loss diverges.
        SettingsError: there is no such network or option, or none to start from.
    """
    inputs = training_inputs(store, recordings, dimension=settings.dimension, features_model_id=features_model_id)
    start = find_start(store, settings)
    settings = settled(settings, start)
    key = training_key(settings, inputs, features_model_id, start)
    done = find_model(store, key)
    if done is not None:
        return done
    delay_how = settings.delay_how
    settings = with_delays(store, recordings, settings, features_model_id)
    raters = raters_of(store, inputs.train, settings.dimension)
    work = store.models / f".training-{key}"
    device = resolve_device(settings.device)
    with cpu_threads(settings.num_threads):
        seeded(settings.seed)
        if isinstance(settings, CnnTraining):
            trained = _train_cnn(store, inputs, raters, settings, device, work, start)
        else:
            assert features_model_id is not None
            trained = _train_rnn(store, inputs, raters, settings, device, work, features_model_id)
    return _publish(store, trained, settings, delay_how, inputs, raters, key, work, features_model_id, device, start)


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """A network with its best weights, and how it got there."""

    network: ChipNetwork | RecurrentNetwork
    num_features: int
    history: tuple[EpochRecord, ...]
    history_by_rater: dict[str, tuple[EpochRecord, ...]] = field(default_factory=dict)


def _train_cnn(
    store: Store,
    inputs: TrainingInputs,
    raters: Sequence[str],
    settings: CnnTraining,
    device: torch.device,
    work: Path,
    start: FinishedModel | None,
) -> _Trained:
    whole = build_cnn(settings, len(raters))
    networks = whole.each() if isinstance(whole, RatersApart) else [whole]
    if start is not None:
        source, _ = load_expression(start.folder)
        for network in networks:
            start_from(network, source, start.card.model_id)
    whole.to(device)
    try:
        train = load_chips(store, inputs.train, raters, settings, scratch=work / "chips-train.npy")
        dev = load_chips(store, inputs.dev, raters, settings, scratch=work / "chips-dev.npy")
        if start is None:
            for network in networks:
                if isinstance(network.normalisation, Normalisation):
                    network.normalisation.mean.copy_(torch.from_numpy(_mean_image(train)))
        if not isinstance(whole, RatersApart):
            history = _fit_cnn(whole, train, dev, settings, device, _checkpoint(work), settings.name)
            return _Trained(network=whole, num_features=whole.num_features, history=history)
        by_rater = {}
        for position, (rater, network) in enumerate(zip(raters, networks, strict=True)):
            checkpoint, label = _checkpoint(work, f"rater-{position}"), f"{settings.name}, {rater}"
            own_train, own_dev = train.of_rater(position), dev.of_rater(position)
            if np.isnan(own_dev.labels).all():
                raise TrainingError(f'{rater}: no dev frame has a label by this rater; set raters = "together"')
            by_rater[rater] = _fit_cnn(network, own_train, own_dev, settings, device, checkpoint, label)
    finally:
        for scratch in work.glob("chips-*.npy"):
            scratch.unlink()
    return _Trained(
        network=whole,
        num_features=whole.num_features,
        history=joined_history(list(by_rater.values())),
        history_by_rater=by_rater,
    )


def _fit_cnn(
    network: FaceNetwork,
    train: ChipSet,
    dev: ChipSet,
    settings: CnnTraining,
    device: torch.device,
    checkpoint: Path,
    label: str,
) -> tuple[EpochRecord, ...]:
    data = FitData(
        batches=functools.partial(_chip_batches, train, settings, device),
        batches_per_epoch=-(-len(train.labels) // settings.batch_size),
        dev_ccc=functools.partial(_cnn_dev_ccc, network, dev, device),
        frozen=_frozen(network, settings),
    )
    return fit(network, data, settings, checkpoint=checkpoint, label=f"train {label}")


def _frozen(network: FaceNetwork, settings: CnnTraining) -> tuple[nn.Module, ...]:
    if settings.freeze == "nothing":
        return ()
    if settings.freeze == "convolutions":
        return (network.convolutions,)
    return tuple(part for name, part in network.named_children() if name != "head")


def _mean_image(chips: ChipSet) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Mean training image, `[channel, height, width]` in [0, 1]."""
    total = np.zeros(chips.pixels.shape[1:], dtype=np.float64)
    for start in range(0, len(chips.pixels), 1024):
        total += chips.pixels[start : start + 1024].sum(axis=0, dtype=np.float64)
    return (total / len(chips.pixels) / 255).astype(np.float32)


def _chip_batches(chips: ChipSet, settings: CnnTraining, device: torch.device, epoch: int) -> Iterator[Batch]:
    chance = epoch_generator(settings.seed, epoch)
    order = torch.randperm(len(chips.labels), generator=chance).numpy()
    for start in range(0, len(order), settings.batch_size):
        rows = np.sort(order[start : start + settings.batch_size])
        pixels = augment(
            torch.from_numpy(chips.pixels[rows]).to(device),
            shift_pixels=settings.augmentation.shift_pixels,
            flip=settings.augmentation.flip,
            colour_jitter=settings.augmentation.colour_jitter,
            generator=chance,
        )
        yield pixels, torch.from_numpy(chips.labels[rows]).to(device)


def _cnn_dev_ccc(network: FaceNetwork, chips: ChipSet, device: torch.device) -> float:
    found = [
        network(torch.from_numpy(chips.pixels[start : start + _EVALUATION_BATCH]).to(device)).cpu()
        for start in range(0, len(chips.pixels), _EVALUATION_BATCH)
    ]
    return _score(torch.cat(found), torch.from_numpy(chips.labels))


def _train_rnn(
    store: Store,
    inputs: TrainingInputs,
    raters: Sequence[str],
    settings: RnnTraining,
    device: torch.device,
    work: Path,
    features_model_id: str,
) -> _Trained:
    sequences, labels = load_sequences(store, inputs.train, raters, settings, features_model_id=features_model_id)
    mean, std = feature_statistics(sequences)
    network = build_rnn(settings, len(raters), num_features=len(mean)).to(device)
    network.feature_mean.copy_(mean)
    network.feature_std.copy_(std)
    window = settings.network.window
    windows = WindowedSequences(
        (
            (network.prepare(hold_last_valid(s.features, s.valid, start=mean).to(device)), values)
            for s, values in zip(sequences, labels, strict=True)
        ),
        [len(values) for values in labels],
        window=window,
        stride=settings.window_stride,
        lookahead=network.lookahead(window),
        device=device,
    )
    del labels  # the windows have them
    dev_sequences, dev_labels = load_sequences(store, inputs.dev, raters, settings, features_model_id=features_model_id)
    dev = _laid_out(dev_sequences, [len(values) for values in dev_labels], start=mean)
    data = FitData(
        batches=functools.partial(_window_batches, windows, settings),
        batches_per_epoch=-(-len(windows) // settings.batch_size),
        dev_ccc=functools.partial(_rnn_dev_ccc, network, dev, dev_labels, window),
        loss=_loss(settings),
    )
    history = fit(network, data, settings, checkpoint=_checkpoint(work), label=f"train {settings.name}")
    return _Trained(network=network, num_features=len(mean), history=history)


def _laid_out(sequences: StoredSequences, lengths: list[int], *, start: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Features without gaps of each recording, in one block: apart, they would leave holes in the heap."""
    laid_out = torch.split(torch.empty(sum(lengths), len(start)), lengths)
    for place, sequence in zip(laid_out, sequences, strict=True):
        place.copy_(hold_last_valid(sequence.features, sequence.valid, start=start))
    return laid_out


def _loss(settings: RnnTraining) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    if settings.loss == "epsilon-insensitive":
        return functools.partial(masked_epsilon_insensitive, epsilon=settings.epsilon)
    return masked_ccc_loss if settings.loss == "ccc" else masked_mse


def _window_batches(windows: WindowedSequences, settings: RnnTraining, epoch: int) -> Iterator[Batch]:
    order = torch.randperm(len(windows), generator=epoch_generator(settings.seed, epoch))
    for start in range(0, len(order), settings.batch_size):
        picked = order[start : start + settings.batch_size]
        features, labels = windows.batch(picked)
        if settings.network.loss_steps == "last":
            wanted = labels[:, windows.target].clone()
            labels.fill_(float("nan"))[:, windows.target] = wanted
        yield features, labels


def _rnn_dev_ccc(
    network: RecurrentNetwork, features: Sequence[torch.Tensor], labels: Sequence[torch.Tensor], window: int
) -> float:
    found = [network.predict_sequence(sequence, window=window) for sequence in features]
    return _score(torch.cat(found), torch.cat(list(labels)))


def _score(predictions: torch.Tensor, labels: torch.Tensor) -> float:
    score = mean_ccc(predictions.double().numpy(), labels.double().numpy())
    if np.isnan(score):
        raise TrainingError(
            "no dev frame has a label: nothing to select an epoch on; check the ratings of partition dev"
        )
    return score


def _checkpoint(work: Path, name: str = "last") -> Path:
    return work / "checkpoints" / f"{name}.safetensors"


def _publish(
    store: Store,
    trained: _Trained,
    settings: CnnTraining | RnnTraining,
    delay_how: DelayHow,
    inputs: TrainingInputs,
    raters: Sequence[str],
    key: str,
    work: Path,
    features_model_id: str | None,
    device: torch.device,
    start: FinishedModel | None,
) -> ModelCard:
    """Write weights and card beside the checkpoints, then rename the folder to the model's id."""
    weights = weights_bytes(trained.network)
    sha256 = weights_sha256(weights)
    best = best_epoch(trained.history)
    card = ModelCard(
        model_id=f"{settings.name}-{sha256[:8]}",
        name=settings.name,
        input=settings.input,
        stage_key=key,
        weights_sha256=sha256,
        num_parameters=count_parameters(trained.network),
        dimension=settings.dimension,
        raters=tuple(raters),
        features_model_id=features_model_id,
        is_control=settings.swap_ratings,
        train_recordings=inputs.train,
        dev_recordings=inputs.dev,
        selected_on="dev",
        best_epoch=best.epoch,
        dev_ccc=best.dev_ccc,
        history=trained.history,
        settings=settings.model_dump(mode="json"),
        code_version=code_version(),
        torch_version=torch.__version__,
        device=str(device),
        provenance=inputs.keys,
        num_features=trained.num_features,
        start=None if start is None else recorded(start),
        history_by_rater=trained.history_by_rater,
        delay_how=delay_how,
        seen=inputs.seen,
    )
    with replacing(work / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(weights)
    write_text(work / CARD_FILE, card.model_dump_json(indent=2) + "\n")
    folder = store.model(card.model_id)
    if folder.exists():  # the same weights under another key: the newer card stands
        shutil.rmtree(folder)
    work.replace(folder)
    return card
