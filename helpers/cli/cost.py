"""What trainings and notebooks cost, before they run: time and memory, by one formula.

    step = launches x launch + operations / flops + bytes / bandwidth

Operations and numbers of a forward pass are counted on the network itself, without computing it; a
backward pass is two more. Every number is written once and read once. What the model leaves out:
evaluations while training, and that a computer does some of the three at once.

The numbers of a T4 are assumptions, from its data sheet (65 TFLOP/s in half precision, 320 GB/s)
and what ResNets reach of that; nobody has measured them with this code. Those of the CPU were
fitted to the eleven digits notebooks on an Intel Xeon (`benchmarks/results/times.csv`, 5 to 91
seconds): the estimates are off by -13 to +4 % in eight of them, +37 % in 05, and ERR in 01 and 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.models.encoder import build

GIB = 1024**3
VIEW_LAUNCHES = 180  # of one view of a batch
VIEW_BYTES = 450  # moved for each number of a view of a photograph
UPDATES = 8  # times that an optimizer and a moving average read or write each weight
LAUNCHES_OF_A_LAYER = 2  # the operation itself, and a cast or a copy


@dataclass(frozen=True)
class Machine:
    """What the formula asks of a computer.

    Args:
        title: for people.
        launch: seconds that starting one operation takes.
        flops: floating point operations a second in a training.
        inference: and where features are taken.
        bandwidth: bytes a second.
        width: bytes of a number in a training.
        memory: GiB on the device.
        start: seconds of a notebook's first cell, which fetches the repository and packages.
        slower: how many times longer than on the CPU of `REST` it takes what no training is.
    """

    title: str
    launch: float
    flops: float
    inference: float
    bandwidth: float
    width: int
    memory: float
    start: float
    slower: float


MACHINES = {
    "t4": Machine("Colab's T4", 12e-6, 12.5e12, 4.2e12, 250e9, 2, 15.0, start=45.0, slower=2.0),
    "cpu": Machine("2 CPU cores", 10e-6, 100e9, 100e9, 20e9, 4, 4.0, start=0.0, slower=0.85),
}


class Network(NamedTuple):
    """One forward pass of one image: operations, numbers written, layers; and the weights."""

    flops: float
    numbers: int
    layers: int
    weights: int


class Shown(NamedTuple):
    """What a step shows the network: crops of one size for each image of the batch.

    `passes` are forward passes of a crop, where a backward pass counts two; `calls` how many
    batches the crops come in.
    """

    side: int
    crops: int
    passes: int
    calls: int


@dataclass(frozen=True)
class Training:
    """Trainings of one kind.

    Args:
        method: "byol", "noise-byol", "dino", or "classifier".
        encoder, channels, side, stem: the network, see `helpers.models.encoder.build`.
        times: how often.
        kept: whether another notebook finds what it made.
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

    def step_seconds(self, machine: Machine) -> float:
        """Seconds of one step."""
        launches, flops = 0, 0.0
        moved = 4.0 * UPDATES * self.network(self.shown[0].side).weights
        for side, crops, passes, calls in self.shown:
            net, images = self.network(side), self.batch * crops
            launches += calls * (VIEW_LAUNCHES + LAUNCHES_OF_A_LAYER * passes * net.layers)
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

    def network(self, side: int) -> Network:
        """The network, when it is shown images of this side."""
        return network(self.encoder, self.channels, self.side, side, self.stem)


@cache
def network(name: str, channels: int, side: int, shown: int, stem: str = "auto") -> Network:
    """What a forward pass of one image of `shown` pixels takes in a network for `side` pixels,
    counted on tensors without memory."""
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


def features_seconds(images: int, encoder: str, channels: int, side: int,
                     machine: Machine) -> float:
    """Seconds to take the features of so many images, in single precision."""
    net = network(encoder, channels, side, side)
    return images * (net.flops / machine.inference + 8 * net.numbers / machine.bandwidth)
