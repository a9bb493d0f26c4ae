"""What a training costs before it runs, in time and memory, by one formula.

    step = launches x launch + operations / flops + bytes / bandwidth

Operations and numbers of a forward pass are counted on the network itself, without computing it; a
backward pass is two more. Every number is written once and read once. What the model leaves out:
evaluations while training, heads, and that a computer does some of the three at once.

Operations and bytes of a T4 are assumptions, from its data sheet (65 TFLOP/s in half precision, 320
GB/s) and what ResNets reach of that; nobody has measured them with this code. The seconds of a
launch are those of the hosts of two H200s, where the model misses the four steps that were measured
with the preset gpu, recorded or not (`benchmarks/results/gpu-h200.json`, plan and graphs, another
host), by -27 to +9 %; a third host starts them in half the time, Colab's may be slower than all.
Those of the CPU were fitted to the digits notebooks on an Intel Xeon
(`benchmarks/results/times.csv`, 5 to 91 seconds), which the model misses by -12 to +13 %. The AMD
EPYC of the same file was measured later, with quicker evaluations: there it misses by -3 to +29 %,
but for 03, 09 and 12, which take from a third to half of what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.common.compute import LEAST_RECORDED
from helpers.models.encoder import build

GIB = 1024**3
VIEW_LAUNCHES = 180  # of one view of a batch
VIEW_BYTES = 450  # moved for each number of a view of a photograph
UPDATES = 8  # times that an optimizer and a moving average read or write each weight
LAUNCHES_OF_A_LAYER = 2  # the operation itself, and a cast or a copy


class Machine(NamedTuple):
    """What the formula asks of a computer."""

    title: str
    launch: float  # seconds that starting one operation takes
    flops: float  # floating point operations a second in a training
    single: float  # and in single precision
    bandwidth: float  # bytes a second
    width: int  # bytes of a number in a training
    memory: float  # GiB
    start: float  # seconds in which a notebook fetches the repository and packages
    records: bool  # a network's launches, which are one then; see `helpers.training.graphs`
    slower: float  # how many times longer than on the CPU of `plan.REST` other work takes


MACHINES = {"t4": Machine("Colab's T4", 35e-6, 12.5e12, 4.2e12, 250e9, 2, 15.0, 45.0, True, 2.0),
            "cpu": Machine("2 CPU cores", 10e-6, 100e9, 100e9, 20e9, 4, 4.0, 0.0, False, 0.85)}


class Network(NamedTuple):
    """One forward pass of one image: operations, numbers written, layers; and the weights."""

    flops: float
    numbers: int
    layers: int
    weights: int


class Shown(NamedTuple):
    """Crops of one side that a step shows the network, so many of each image.

    `passes` are forward passes of a crop, where a backward pass counts two; `calls` how many
    batches the crops come in, and `views` how often views of a batch are made.
    """

    side: int
    crops: int
    passes: int
    calls: int
    views: int = 1


@dataclass(frozen=True)
class Training:
    """Trainings of one kind.

    Args:
        method: "byol", "noise-byol", "dino", or "classifier".
        encoder, channels, side, stem: the network, see `helpers.models.encoder.build`.
        times: how often.
        kept: whether another notebook finds what it made.
        recorded: whether a GPU records it, if it is long enough.
    """

    method: str
    encoder: str
    steps: int
    batch: int
    shown: tuple[Shown, ...]
    channels: int
    side: int
    stem: str = "auto"
    times: int = 1
    kept: bool = False
    recorded: bool = False

    def step_seconds(self, machine: Machine) -> float:
        """Seconds of one step."""
        launches, flops = 0, 0.0
        moved = 4.0 * UPDATES * self.network(self.shown[0].side).weights
        replayed = self.recorded and machine.records and self.steps >= LEAST_RECORDED
        for side, crops, passes, calls, views in self.shown:
            net, images = self.network(side), self.batch * crops
            launches += views * VIEW_LAUNCHES
            launches += 0 if replayed else calls * LAUNCHES_OF_A_LAYER * passes * net.layers
            flops += images * passes * net.flops
            moved += images * passes * net.numbers * 2 * machine.width
            if self.channels == 3:
                moved += images * VIEW_BYTES * 3 * side**2
        return launches * machine.launch + flops / machine.flops + moved / machine.bandwidth

    def seconds(self, machine: Machine) -> float:
        """Seconds of all of them."""
        return self.times * self.steps * self.step_seconds(machine)

    def memory(self, machine: Machine) -> float:
        """Bytes on the device: what the backward pass needs again, weights and their averages."""
        kept = sum(2 * self.batch * crops * self.network(side).numbers * machine.width
                   for side, crops, *_ in self.shown)
        return kept + 4 * 6 * self.network(self.shown[0].side).weights

    def network(self, shown: int) -> Network:
        """The network, when it is shown images of this side."""
        return network(self.encoder, self.channels, self.side, shown, self.stem)


@cache
def network(name: str, channels: int, side: int, shown: int, stem: str = "auto") -> Network:
    """What one image of `shown` pixels takes in a network for `side` pixels, counted on tensors
    without memory."""
    options = {"stem": stem} if name.startswith("resnet") else {}
    with torch.device("meta"):
        encoder = build(name, channels=channels, image_size=side, **options).eval()
        image = torch.zeros(1, channels, shown, shown)
    written: list[int] = []
    for module in encoder.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _, __, made: written.append(made.numel()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(image)
    weights = sum(parameter.numel() for parameter in encoder.parameters())
    return Network(counter.get_total_flops(), sum(written), len(written), weights)
