"""Every network of the registry side by side on the CPU: parameters, multiplications, ms for each image.

    uv run benchmarks/networks.py
    uv run benchmarks/networks.py deep resnet-slim-48 --rounds 10

Random pixels, channels_last, bfloat16 where the processor computes it natively. A round takes one batch through every
network in turn, so that whatever else the machine does meets all of them; the fastest round of each counts. A training
step is forward, backward and SGD with momentum. `--busy`, on a machine with other work, is one thread's processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from models import registry
from tasks.training.devices import cpu_threads, mixed_precision

CPU = torch.device("cpu")


@dataclass
class Measured:
    """One network: a step of either kind on one batch, and the fastest one so far."""

    name: str
    parameters: int
    multiplications: int
    forward: Callable[[], None]
    training: Callable[[], None]
    forward_seconds: float = float("inf")
    training_seconds: float = float("inf")


def prepared(name: str, batch: int, precision: str) -> Measured:
    """A network with a batch of its own."""
    facts = registry.entry(name)
    torch.manual_seed(0)
    network = registry.build(name, num_outputs=7)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    pixels = torch.randint(0, 256, (batch, facts.channels, facts.input_size, facts.input_size), dtype=torch.uint8)
    labels = torch.randint(0, 7, (batch,))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def forward() -> None:
        network.eval()
        with torch.inference_mode(), mixed_precision(precision, CPU):
            network(pixels)

    def training() -> None:
        network.train()
        with mixed_precision(precision, CPU):
            outputs = network(pixels)
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(outputs.float(), labels))
        optimizer.step()

    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Measured(name, parameters, multiplications(network, pixels[:1]), forward, training)


def multiplications(network: nn.Module, pixels: torch.Tensor) -> int:
    """Multiply-adds of convolutions and linear layers for one image."""
    network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(pixels)
    return int(counter.get_total_flops()) // 2


def measure(networks: list[Measured], rounds: int, clock: Callable[[], float]) -> None:
    """Fill in the fastest of `rounds` rounds, after one that does not count."""

    def timed(step: Callable[[], None]) -> float:
        started = clock()
        step()
        return clock() - started

    for number in range(rounds + 1):
        for one in networks:
            forward, training = timed(one.forward), timed(one.training)
            if number:
                one.forward_seconds = min(one.forward_seconds, forward)
                one.training_seconds = min(one.training_seconds, training)


def table_of(networks: list[Measured], batch: int, title: str) -> Table:
    """One line for each network."""
    table = Table(title=title, title_justify="left")
    table.add_column("network", no_wrap=True)
    for heading in ("input", "parameters", "million MACs", "ms/image forward", "ms/image training", "s/28,000 trained"):
        table.add_column(heading, justify="right")
    for one in networks:
        facts = registry.entry(one.name)
        milliseconds = [1e3 * seconds / batch for seconds in (one.forward_seconds, one.training_seconds)]
        table.add_row(
            one.name,
            f"{facts.channels}x{facts.input_size}",
            f"{one.parameters:,}",
            f"{one.multiplications / 1e6:,.1f}",
            *(f"{one_value:.2f}" for one_value in milliseconds),
            f"{28 * milliseconds[1]:.0f}",
        )
    return table


def main() -> None:
    """Measure and print."""
    faces = [facts.name for facts in registry.entries() if facts.reads == "faces"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=faces, help="names; all that read faces by default")
    parser.add_argument("--batch", type=int, default=64, help="images in a step")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument("--busy", action="store_true", help="processor time of one thread, not wall time of all")
    parser.add_argument("--precision", choices=("auto", "float32"), default="auto", help="auto: bfloat16 where native")
    arguments = parser.parse_args()
    with cpu_threads(1 if arguments.busy else 0):
        networks = [prepared(name, arguments.batch, arguments.precision) for name in arguments.networks]
        measure(networks, arguments.rounds, time.process_time if arguments.busy else time.perf_counter)
        lowered = "bfloat16" if mixed_precision(arguments.precision, CPU)._enabled else "float32"
        measured = "processor time of one thread" if arguments.busy else f"{torch.get_num_threads()} threads"
        title = f"{measured}, {lowered}, batch {arguments.batch}, fastest of {arguments.rounds}"
    Console(width=120).print(table_of(networks, arguments.batch, title))


if __name__ == "__main__":
    main()
