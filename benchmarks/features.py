"""Feature extraction: rates, errors and what the device would allow, all from one run.

    uv run benchmarks/features.py
    uv run benchmarks/features.py --device cuda

Frames are SYNTHETIC: patterns that follow a hidden curve, with noise, so that they shrink in Parquet as chips do;
networks have random weights (He start, no biases: a bias would hide errors). In every round, one after the other:

- plain: eager PyTorch, float32, NCHW, one batch of 64 (CPU) or 1,024 (CUDA) after the other, pixels resident;
- network: `tasks.features.compute.Extractor` on resident batches, features left where they are;
- from memory (CUDA): the same from the host's memory and back, through the pinned buffers;
- stage: `tasks.features.stage.extract_features`, from chips in Parquet to features in Parquet.

Errors are relative L2 by frame against plain. Downstream: a linear head (ridge) and a small RNN, both trained on the
first half's plain features to give the hidden curve; the change of CCC on the second half when ours are fed instead.

On CUDA: TFLOP/s of the network by the multiply-adds of its layers against a bf16 matrix product's, and bytes/s of the
chips against a pinned copy's. Floors: network >= 2 x plain, errors <= 1 %, CCC within .002, stage >= .9 of network.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from features_store import ByteArray, FloatArray, synthetic_chips, write_store
from safetensors.torch import load_file
from torch import nn

from models.chips import network_pixels
from models.losses import masked_mse
from models.metrics import mean_ccc
from models.recurrent import RecurrentNetwork
from models.windows import WindowedSequences
from schemas.cards import ModelCard
from schemas.settings import FeaturesSettings
from schemas.tables import CHIP_BYTES
from schemas.training import CnnTraining, NamedNetwork
from tasks.features.compute import Extractor
from tasks.features.reading import ahead, stored_chips
from tasks.features.stage import extract_features, reading_threads
from tasks.ingest.recordings import Recording
from tasks.store.cards import WEIGHTS_FILE
from tasks.store.layout import Store
from tasks.training.data import read_features
from tasks.training.devices import cpu_threads, resolve_device
from tasks.training.networks import ChipNetwork, InputShape, build_cnn, input_shape, weights_bytes, weights_sha256

LEAST_SPEED, MOST_ERROR, MOST_CCC, LEAST_STAGE = 2.0, 0.01, 0.002, 0.9
UNWANTED = ("polars", "prefect", "dlib", "av", "rich", "matplotlib", "PIL", "scipy")
WINDOW = 50


@dataclass
class Measured:
    """Rates in chips/s, one for each round, and what came of them."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    errors: list[FloatArray] = field(default_factory=list)
    plain: list[FloatArray] = field(default_factory=list)
    ours: list[FloatArray] = field(default_factory=list)

    def add(self, name: str, chips: int, seconds: float) -> None:
        self.rates.setdefault(name, []).append(chips / seconds)

    def rate(self, name: str) -> float:
        return statistics.median(self.rates[name])

    def ratio(self, name: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(self.rates[name], self.rates[other], strict=True))


def make_model(store: Store, name: str) -> tuple[ModelCard, ChipNetwork]:
    """A network with random weights, and its place in the store."""
    settings = CnnTraining() if name == "khorrami-cnn" else CnnTraining(network=NamedNetwork(name=name))
    torch.manual_seed(0)
    network = build_cnn(settings, 1).eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    data = weights_bytes(network)
    fields: dict[str, Any] = dict.fromkeys(ModelCard.model_fields)
    fields |= {
        "model_id": f"{name}-synthetic",
        "name": name,
        "input": "chips",
        "weights_sha256": weights_sha256(data),
        "dimension": "valence",
        "raters": ("F1",),
        "settings": settings.model_dump(mode="json"),
        "num_features": network.num_features,
    }
    path = store.model(f"{name}-synthetic") / WEIGHTS_FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    assert load_file(path)
    return ModelCard.model_construct(**fields), network


def plain_features(network: ChipNetwork, pixels: torch.Tensor, batch: int) -> torch.Tensor:
    """The layers as they stand, NCHW: what `features` does without its one line on the memory format."""
    with torch.inference_mode(), _nchw():
        return torch.cat([network.features(part) for part in torch.split(pixels, batch)])


@contextmanager
def _nchw() -> Iterator[None]:
    """`Tensor.contiguous` without a memory format, for as long as the block lasts."""
    kept = torch.Tensor.contiguous
    torch.Tensor.contiguous = lambda self, **_: kept(self)  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.Tensor.contiguous = kept  # type: ignore[method-assign]


def now(device: torch.device) -> float:
    """Seconds, once the device has done all."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def resident_seconds(extractor: Extractor, chips: torch.Tensor, threads: int, repeats: int) -> tuple[float, int]:
    """Of the network alone, and the chips it saw."""
    batches = [part for part in torch.split(chips, extractor.batch_size) if len(part) == extractor.batch_size] * repeats

    def one(batch: torch.Tensor) -> None:
        with torch.inference_mode():
            extractor(batch)

    started = now(extractor.device)
    if extractor.device.type == "cuda":
        for batch in batches:
            one(batch)
    else:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(ahead(pool, one, batches, 4 * threads))
    return now(extractor.device) - started, len(batches) * extractor.batch_size


def reading_seconds(folders: list[Path], threads: int) -> tuple[float, int]:
    """Of decoding every chip and nothing else, and how many there were."""
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(len(chips) for chips in stored_chips(pool, folders, 4 * threads))
    return time.perf_counter() - started, total


def multiply_adds(network: ChipNetwork, pixels: torch.Tensor) -> int:
    """Of convolutions and linear layers for one picture, from their shapes."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer.weight, torch.Tensor)
        total += output.numel() * layer.weight[0].numel()

    wanted = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    hooks = [one.register_forward_hook(count) for one in wanted]
    with torch.inference_mode():
        network.features(pixels)
    for hook in hooks:
        hook.remove()
    return total


def matmul_rate(device: torch.device) -> float:
    """FLOP/s of a large bf16 matrix product, the best of some."""
    side, best = 8192, float("inf")
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        started = now(device)
        for _ in range(10):
            a @ b
        best = min(best, (now(device) - started) / 10)
    return 2 * side**3 / best


def copy_rate(device: torch.device) -> float:
    """Bytes/s of pinned memory to the device, the best of some."""
    there = torch.empty(2**28, dtype=torch.uint8, device=device)
    here, best = torch.empty(2**28, dtype=torch.uint8, pin_memory=True), float("inf")
    for _ in range(5):
        started = now(device)
        there.copy_(here, non_blocking=True)
        best = min(best, now(device) - started)
    return 2**28 / best


def downstream(plain: FloatArray, ours: FloatArray, curve: FloatArray) -> dict[str, tuple[float, float]]:
    """CCC on the second half with the features of plain, and the change with ours, of two heads."""
    half = len(curve) // 2
    mean, std = plain[:half].mean(axis=0), plain[:half].std(axis=0) + 1e-6
    exact, found = (torch.from_numpy((part - mean) / std) for part in (plain, ours))
    target = torch.from_numpy(curve)[:, None]
    square = exact[:half].T @ exact[:half] + half * torch.eye(exact.shape[1])
    weights = torch.linalg.solve(square, exact[:half].T @ target[:half])
    network = _small_rnn(exact[:half], target[:half])
    heads: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "linear": lambda x: x @ weights,
        "RNN": lambda x: network.predict_sequence(x, window=WINDOW),
    }
    result = {}
    for name, head in heads.items():
        with torch.inference_mode():
            scores = [mean_ccc(head(x[half:]).double().numpy(), target[half:].double().numpy()) for x in (exact, found)]
        result[name] = (scores[0], scores[1] - scores[0])
    return result


def _small_rnn(features: torch.Tensor, target: torch.Tensor) -> RecurrentNetwork:
    torch.manual_seed(0)
    network = RecurrentNetwork(num_outputs=1, num_features=features.shape[1], hidden_sizes=(32,))
    windows = WindowedSequences([(features, target)], [len(features)], window=WINDOW)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(120):
        inputs, labels = windows.batch(torch.randint(0, len(windows), (32,)))
        optimizer.zero_grad()
        masked_mse(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def measure(
    name: str, root: Path, recordings: list[Recording], chips: ByteArray, given: argparse.Namespace
) -> Measured:
    """All rounds of one network."""
    device, found, store = resolve_device(given.device), Measured(), Store(root)
    cuda = device.type == "cuda"
    card, network = make_model(store, name)
    shape = input_shape(CnnTraining(**card.settings))
    settings = FeaturesSettings(
        device=given.device, precision="auto", num_threads=given.threads, batch_size=given.batch
    )
    extractor = Extractor(network, shape, device, precision="auto", batch_size=given.batch)
    print(f"\n{name}: {extractor.precision}, batches of {extractor.batch_size}")
    plain_network = network.to(device)
    share = len(chips) // given.rounds
    threads = torch.get_num_threads()
    found.add("multiply-adds", multiply_adds(plain_network, _pixels(chips[:1], shape, device)), 1)
    for turn in range(-1, given.rounds):  # the first round warms up
        own = chips[max(turn, 0) * share :][:share]
        pixels, resident = _pixels(own, shape, device), torch.from_numpy(own).to(device)
        started = now(device)
        spent = [time.process_time()]
        plain = plain_features(plain_network, pixels, 1024 if cuda else 64)
        middle = now(device)
        spent.append(time.process_time())
        if cuda:  # rates as torch comes, with TF32 in convolutions; errors against float32 proper
            torch.backends.cudnn.allow_tf32 = False
            plain = plain_features(plain_network, pixels, 1024)
            torch.backends.cudnn.allow_tf32 = True
        repeats = max(1, given.least * 2 // share) if cuda else 1
        seconds, seen = resident_seconds(extractor, resident, threads, repeats)
        spent.append(time.process_time())
        del pixels, resident
        host = [own] * repeats
        begun = time.perf_counter()
        with torch.inference_mode():
            blocks = list(extractor.blocks(host, threads=threads))
        from_memory = time.perf_counter() - begun
        for recording in recordings:
            store.features(card.model_id, recording.recording_id).unlink(missing_ok=True)
        spent.append(time.process_time())
        summary = extract_features(store, recordings, card, settings)
        spent.append(time.process_time())
        if turn < 0:
            continue
        found.add("plain", share, middle - started)
        found.add("network", seen, seconds)
        found.add("from memory", share * repeats, from_memory)
        for what, chips_seen, at in (
            ("plain", share, 0),
            ("network", seen, 1),
            ("stage", summary.frames * 49 // 50, 3),
        ):
            found.add(f"{what} by processor", chips_seen, spent[at + 1] - spent[at])
        found.add("stage", summary.frames * 49 // 50, summary.seconds)
        reading, total = reading_seconds(
            [store.frames(one.recording_id) for one in recordings], reading_threads(device)
        )
        found.add("reading alone", total, reading)
        found.plain.append(plain.cpu().numpy())
        found.ours.append(np.concatenate(blocks)[:share])
    _check_stage(store, card, recordings, np.concatenate(found.ours))
    return found


def _pixels(chips: ByteArray, shape: InputShape, device: torch.device) -> torch.Tensor:
    return network_pixels(torch.tensor(chips), size=shape.size, channels=shape.channels).contiguous().to(device)


def _check_stage(store: Store, card: ModelCard, recordings: list[Recording], ours: FloatArray) -> None:
    """What stands in Parquet is what was computed from memory."""
    table = read_features(store.features(card.model_id, recordings[-1].recording_id))
    stored = table.features[table.valid].numpy()
    count = min(len(stored), len(ours))
    np.testing.assert_allclose(stored[:count], ours[:count], rtol=1e-5, atol=1e-5)


def report(name: str, found: Measured, curve: FloatArray, device: torch.device) -> Iterator[str]:
    """Print one network's figures; what falls short."""
    plain, ours = np.concatenate(found.plain), np.concatenate(found.ours)
    for rate in ("plain", "network", "from memory", "stage", "reading alone"):
        print(f"  {rate:14} {found.rate(rate):10,.0f} chips/s   {found.ratio(rate, 'plain'):6.2f} x plain")
    speed, stage = found.ratio("network", "plain"), found.ratio("stage", "network")
    print(f"  stage / network {stage:.3f}; stage / plain {found.ratio('stage', 'plain'):.2f}")
    if device.type == "cpu":  # what a busy machine leaves to go by
        own = [
            found.ratio(f"{a} by processor", f"{b} by processor")
            for a, b in (("network", "plain"), ("stage", "network"))
        ]
        print(f"  by processor time: network / plain {own[0]:.2f}, stage / network {own[1]:.3f}")
    errors = np.linalg.norm(ours - plain, axis=1) / np.maximum(np.linalg.norm(plain, axis=1), 1e-30)
    print(f"  relative L2 error by frame: median {np.median(errors):.2%}, largest {errors.max():.2%}")
    with cpu_threads(1):
        changes = downstream(plain, ours, curve[: len(plain)])
    for head, (score, change) in changes.items():
        print(f"  CCC of the {head} head {score:.4f}, change {change:+.5f}")
    if device.type == "cuda":
        work, top = 2 * found.rates["multiply-adds"][0] * found.rate("network"), matmul_rate(device)
        print(f"  {work / 1e12:.0f} TFLOP/s; bf16 matrix product {top / 1e12:.0f}; share {work / top:.3f}")
        moved, wire = found.rate("from memory") * CHIP_BYTES["rgb96"], copy_rate(device)
        print(f"  {moved / 1e9:.1f} GB/s of chips; pinned copy {wire / 1e9:.1f}; share {moved / wire:.3f}")
    judged = {
        "network / plain": speed >= LEAST_SPEED,
        "stage / network": stage >= LEAST_STAGE,
        "error": errors.max() <= MOST_ERROR,
        "CCC": max(abs(change) for _, change in changes.values()) <= MOST_CCC,
    }
    yield from (f"{name}: {what}" for what, holds in judged.items() if not holds)


def named_version(folder: Path) -> None:
    """Let an uninstalled checkout say its version, which every part carries."""
    try:
        importlib.metadata.version("affectflow")
    except importlib.metadata.PackageNotFoundError:
        info = folder / "affectflow-0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: affectflow\nVersion: 0\n", encoding="utf-8")
        sys.path.append(str(folder))


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["khorrami-cnn", "deep"], help="names in the registry")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="on the CPU; 0: one for each core")
    parser.add_argument("--batch", type=int, default=0, help="chips in a batch; 0: as chosen by device")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=0, help="different chips; 0: by device")
    given = parser.parse_args()
    given.threads = given.threads or len(os.sched_getaffinity(0))
    device = resolve_device(given.device)
    loaded = sorted(set(UNWANTED) & sys.modules.keys())
    print(f"{device}, torch {torch.__version__}, {given.threads} threads; unwanted modules: {loaded or 'none'}")
    cuda = device.type == "cuda"
    count = (given.frames or (8820 if cuda else 1960)) // 980 * 980
    given.least = 20_000
    failed = []
    with tempfile.TemporaryDirectory() as folder, cpu_threads(given.threads):
        named_version(Path(folder))
        chips, curve = synthetic_chips(count)
        recordings = write_store(Path(folder) / "store", chips, 6 if cuda else 1)
        for name in given.networks:
            found = measure(name, Path(folder) / "store", recordings, chips, given)
            failed += list(report(name, found, curve, device))
    for one in failed:
        print(f"falls short: {one}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
