"""The recurrent networks: training on windows against the bare step, memory, and inference over a recording.

    uv run benchmarks/rnn.py

Everything is synthetic noise in the shape of RECOLA: 9 training and 9 development recordings of 7,500 frames with 300
features and six raters; windows of 100 frames, batches of 128. Ratios are of one run, its halves taken in turn.

- Training: `tasks.training.fit.fit` on windows against forward, backward, clipping and step alone, on batches that were
  gathered before.
- Memory: the peak of a process that trains two epochs from a store, beyond that of a bare one: the same imports and
  network, as many bare steps on one batch of noise, and after each epoch what the network predicts from it. With the
  batch that both hold, expected to be the features and at most two batches. Beside it the same of recordings of 300
  frames and as many steps: what reading from a store costs whatever its size (libraries' code, their threads, the
  heap). Peaks vary with where the heap has its holes: each is the median of five processes.
- Inference: `predict_sequence` against one window at a time through `forward`, and the largest difference. How much is
  spared depends on how soon a network forgets: these have random weights; the last row's LSTM was trained first, from
  its own start, on what a slow sum of the features gives.

Time is the process's CPU time on one thread: other work on the machine counts little. Inference is also given by the
clock, on every core against one window at a time on one, which is fastest so: that line needs a quiet machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from models.losses import masked_mse
from models.recurrent import RecurrentNetwork
from models.windows import WindowedSequences, repeat_ends
from schemas.tables import FEATURES, RATINGS
from schemas.training import RnnNetworkSettings, RnnTraining
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part
from tasks.training.fit import Batch, FitData, fit
from tasks.training.networks import build_rnn
from tasks.training.stage import train_model

FRAMES, SHORT, WIDTH, RATERS, RECORDINGS = 7500, 300, 300, 6, 9
EPOCHS, SHORT_EPOCHS, PROCESSES = 2, 5, 5
MODEL = "synthetic-cnn-00000000"
LEAST_TRAINING, MOST_BATCHES, LEAST_INFERENCE, MOST_DIFFERENCE = 0.95, 2.0, 10.0, 1e-5
NETWORKS = {
    "ReLU 100": RnnNetworkSettings(),
    "ReLU 100-100-50": RnnNetworkSettings(hidden_sizes=(100, 100, 50)),
    "LSTM 64-64": RnnNetworkSettings(cell="lstm", hidden_sizes=(64, 64)),
    "GRU 64": RnnNetworkSettings(cell="gru", hidden_sizes=(64,)),
    "LSTM 64-64, both ways": RnnNetworkSettings(cell="lstm", hidden_sizes=(64, 64), bidirectional=True),
    "LSTM 64-64, trained": RnnNetworkSettings(cell="lstm", hidden_sizes=(64, 64)),
}


def settings_of(network: RnnNetworkSettings) -> RnnTraining:
    """One epoch of every tenth window."""
    return RnnTraining(name="bench", network=network, max_epochs=1, window_stride=10, device="cpu")


def noise(seed: int, *shape: int) -> torch.Tensor:
    """Standard normal."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bare_step(network: nn.Module, optimizer: torch.optim.SGD, batch: Batch, clip_norm: float | None) -> float:
    """Forward, backward, clipping and step."""
    optimizer.zero_grad(set_to_none=True)
    loss = masked_mse(network(batch[0]), batch[1])
    torch.autograd.backward(loss)
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    optimizer.step()
    return float(loss.detach())


def training_ratio(network: RnnNetworkSettings, *, steps: int, rounds: int) -> tuple[float, float]:
    """Milliseconds of a bare step, and bare over real, both medians over the rounds."""
    settings = settings_of(network)
    torch.manual_seed(0)
    net = build_rnn(settings, RATERS)
    lengths = [FRAMES] * 3
    windows = WindowedSequences(
        ((noise(r, FRAMES, WIDTH), noise(r + 50, FRAMES, RATERS)) for r in range(3)),
        lengths,
        window=network.window,
        lookahead=net.lookahead(network.window),
    )
    order = torch.randperm(len(windows))[: steps * settings.batch_size].reshape(steps, -1)
    resident = [(inputs.clone(), labels.clone()) for inputs, labels in map(windows.batch, order[:8])]
    optimizer = torch.optim.SGD(net.parameters(), lr=settings.learning_rate, momentum=settings.momentum)

    def batches(epoch: int) -> Iterator[Batch]:
        return map(windows.batch, order)

    data = FitData(batches=batches, batches_per_epoch=steps, dev_ccc=lambda: 0.0)
    bare, real = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            started = time.process_time()
            for step in range(steps):
                bare_step(net, optimizer, resident[step % len(resident)], settings.clip_norm)
            middle = time.process_time()
            fit(net, data, settings, checkpoint=Path(folder) / f"{number}.safetensors", label="rnn")
            bare.append(middle - started)
            real.append(time.process_time() - middle)
    ratios = [b / r for b, r in zip(bare[1:], real[1:], strict=True)]  # the first round warms up
    return 1000 * statistics.median(bare[1:]) / steps, statistics.median(ratios)


def inference_ratio(
    network: RnnNetworkSettings, *, naive_frames: int, rounds: int, trained: bool
) -> tuple[float, float, float, float]:
    """Frames/s of `predict_sequence`, that over one window at a time, the same by the clock, the largest difference."""
    torch.manual_seed(1)
    net = build_rnn(settings_of(network), RATERS).eval()
    if trained:
        train_a_little(net, network.window)
    else:
        scale_up(net)
    features, window = noise(2, FRAMES, WIDTH), network.window
    cores, whole, naive, clock = len(os.sched_getaffinity(0)), [], [], []
    with torch.inference_mode():
        ahead = net.lookahead(window)
        padded = repeat_ends(net.prepare(features), before=window - 1 - ahead, after=ahead)
        for _ in range(rounds):
            started = time.process_time()
            found = net.predict_sequence(features, window=window)
            middle, shown = time.process_time(), time.perf_counter()
            singly = [net(padded[None, t : t + window])[0, window - 1 - ahead] for t in range(naive_frames)]
            whole.append((middle - started) / FRAMES)
            naive.append((time.process_time() - middle) / naive_frames)
            by_clock = (time.perf_counter() - shown) / naive_frames
            torch.set_num_threads(cores)
            shown = time.perf_counter()
            net.predict_sequence(features, window=window)
            clock.append(by_clock * FRAMES / (time.perf_counter() - shown))
            torch.set_num_threads(1)
    ratio = statistics.median(n / w for n, w in zip(naive, whole, strict=True))
    difference = float((found[:naive_frames] - torch.stack(singly)).abs().max())
    return 1 / statistics.median(whole), ratio, statistics.median(clock), difference


def train_a_little(net: RecurrentNetwork, window: int) -> None:
    """Towards slow means of some features."""
    features = noise(3, 3000, WIDTH)
    steps = [torch.zeros(RATERS)]
    for row in features[:, :RATERS]:
        steps.append(0.95 * steps[-1] + 0.3 * row)
    windows = WindowedSequences([(features, torch.stack(steps[1:]))], [len(features)], window=window)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(100):
        inputs, labels = windows.batch(torch.randint(0, len(windows), (32,)))
        optimizer.zero_grad()
        torch.autograd.backward(masked_mse(net(inputs), labels))
        optimizer.step()


def scale_up(net: RecurrentNetwork) -> None:
    """Weights large enough that every term shows in the output."""
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.08)


def write_store(root: Path, frames: int) -> list[Recording]:
    """Features and ratings of as many recordings as RECOLA has."""
    store, found = Store(root), []
    rng = np.random.default_rng(0)
    times = np.arange(frames) * 0.04
    for number in range(2 * RECORDINGS):
        name = f"R{number}"
        fields: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Recording))
        fields |= {
            "recording_id": name,
            "subject_id": name,
            "sha256": name,
            "num_frames": frames,
            "partition": "train" if number < RECORDINGS else "dev",
        }
        found.append(Recording(**fields))
        values = pa.array(rng.standard_normal(frames * WIDTH, dtype=np.float32))
        columns = {
            "recording_id": [name] * frames,
            "model_id": [MODEL] * frames,
            "frame_index": np.arange(frames, dtype=np.int32),
            "time_seconds": times,
            "face_valid": [True] * frames,
            "feature": pa.FixedSizeListArray.from_arrays(values, WIDTH),
        }
        table = pa.table(columns).cast(FEATURES)
        write_part(store.features(MODEL, name), table, Provenance(stage="features", stage_key=name))
        rows = frames * RATERS
        value = rng.uniform(-1, 1, rows)
        columns = {
            "recording_id": [name] * rows,
            "dimension": ["valence"] * rows,
            "rater": [f"F{rater}" for rater in range(RATERS) for _ in times],
            "time_seconds": np.tile(times, RATERS),
            "value": value,
            "value_original": value,
            "scale_min": np.full(rows, -1.0),
            "scale_max": np.full(rows, 1.0),
            "is_imputed": [False] * rows,
        }
        table = pa.table(columns).cast(RATINGS)
        write_part(store.ratings(name), table, Provenance(stage="ratings", stage_key=name))
    return found


def child(root: Path) -> None:
    """A whole training; prints the peak of this process, MB (10^6 bytes)."""
    torch.set_num_threads(1)
    recordings = [Recording(**fields) for fields in json.loads((root / "recordings.json").read_text("utf-8"))]
    update = {"max_epochs": EPOCHS}
    if recordings[0].num_frames == SHORT:  # as many steps as the long ones, and a few more
        update = {"max_epochs": SHORT_EPOCHS, "window_stride": 1}
    settings = settings_of(RnnNetworkSettings()).model_copy(update=update)
    train_model(Store(root), recordings, settings, features_model_id=MODEL)
    print(peak_megabytes())


def bare_child(steps: int) -> None:
    """As many bare steps in each epoch on one batch, and predictions from it; prints the peak of this process, MB."""
    torch.set_num_threads(1)
    settings = settings_of(RnnNetworkSettings())
    net = build_rnn(settings, RATERS)
    optimizer = torch.optim.SGD(net.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    shape = settings.batch_size, settings.network.window
    batch = noise(0, *shape, WIDTH), noise(1, *shape, RATERS)
    for _ in range(EPOCHS):
        for _ in range(steps):
            bare_step(net, optimizer, batch, settings.clip_norm)
        net.predict_sequence(batch[0].view(-1, WIDTH)[:FRAMES], window=shape[1])
    print(peak_megabytes())


def peak_megabytes() -> float:
    """Of this process; ru_maxrss would start at its parent's."""
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def extra_batches() -> tuple[float, float, float]:
    """What a training of RECOLA's size takes beyond a bare one.

    Returns: its peak beyond the bare one's, MB; what of that is not features, in batches, the one that both hold
        included; the same of short recordings.
    """
    settings = settings_of(RnnNetworkSettings())
    windows = RECORDINGS * -(-FRAMES // settings.window_stride)
    steps = str(-(-windows // settings.batch_size))
    bare = statistics.median(_peak_of("--bare-child", steps) for _ in range(PROCESSES))
    batch = settings.batch_size * settings.network.window * WIDTH * 4 / 1e6
    beyond, batches = {}, {}
    for frames in (FRAMES, SHORT):
        with tempfile.TemporaryDirectory() as folder:
            rows = [dataclasses.asdict(recording) for recording in write_store(Path(folder), frames)]
            (Path(folder) / "recordings.json").write_text(json.dumps(rows), encoding="utf-8")
            peaks = []
            for _ in range(PROCESSES):
                peaks.append(_peak_of("--child", folder))
                shutil.rmtree(Store(Path(folder)).models)  # it would be found, not trained
            beyond[frames] = statistics.median(peaks) - bare
        features = 2 * RECORDINGS * frames * WIDTH * 4 / 1e6
        batches[frames] = (beyond[frames] - features) / batch + 1
    return beyond[FRAMES], batches[FRAMES], batches[SHORT]


def _peak_of(*arguments: str) -> float:
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30, help="training steps of a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each pair")
    parser.add_argument("--naive-frames", type=int, default=200, help="frames predicted one window at a time")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bare-child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    if arguments.bare_child:
        bare_child(arguments.bare_child)
        return
    torch.set_num_threads(1)
    table = Table(title="Recurrent networks, one CPU thread, windows of 100 frames", title_justify="left")
    table.add_column("network")
    for heading in ("bare step, ms", "training / bare", "frames/s", "inference / naive", "by the clock", "difference"):
        table.add_column(heading, justify="right")
    failed = []
    for name, network in NETWORKS.items():
        step, training = training_ratio(network, steps=arguments.steps, rounds=arguments.rounds)
        rate, inference, clock, difference = inference_ratio(
            network,
            naive_frames=arguments.naive_frames,
            rounds=arguments.rounds,
            trained=name.endswith("trained"),
        )
        table.add_row(
            *(name, f"{step:.1f}", f"{training:.3f}", f"{rate:,.0f}", f"{inference:.1f}"),
            *(f"{clock:.1f}", f"{difference:.1e}"),
        )
        slow = inference < LEAST_INFERENCE
        if training < LEAST_TRAINING or slow or difference > MOST_DIFFERENCE:
            failed.append(name)
    beyond, batches, fixed = extra_batches()
    console = Console(width=120)
    console.print(table)
    console.print(
        f"memory: {beyond:.0f} MB beyond the bare training; in all the features + {batches:.2f} batches "
        f"({fixed:.2f} with next to no features)"
    )
    if batches > MOST_BATCHES:
        failed.append("memory")
    for name in failed:
        console.print(f"falls short: {name}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
