"""Whole steps of BYOL in double precision, each written out: networks, loss, AdamW, target."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from helpers.methods.byol import BYOL
from helpers.methods.recipes import BYOLRecipe
from helpers.models.encoder import build
from helpers.training.loader import BatchLoader
from helpers.training.trainer import Hardware, fit

RISE = 0.4  # share of the steps in which the rate rises
RECIPE = dict(hidden_dim=32, projection_dim=16, lr=3e-3, weight_decay=0.05, warmup=RISE, ema=0.9)


class Mirrored:
    """A view without chance."""

    def __init__(self, flip):
        self.flip = flip

    def __call__(self, images, strength=1.0):
        unit = images.double() / 127.5 - 1
        return unit.flip(-1) if self.flip else unit


class ByHand:
    """The networks of a `BYOL` module, trained by equations."""

    def __init__(self, module, steps):
        self.net, self.steps = copy.deepcopy(module).train(), steps
        self.trained = [*self.net.encoder.parameters(), *self.net.projector.parameters(),
                        *self.net.predictor.parameters()]
        self.first = [torch.zeros_like(value) for value in self.trained]
        self.second = [torch.zeros_like(value) for value in self.trained]

    def loss(self, one, two):
        """Equation 2 of Grill et al. 2020 as a cosine, both ways around."""
        total = 0.0
        for mine, other in ((one, two), (two, one)):
            predicted = self.net.predictor(self.net.projector(self.net.encoder(mine)))
            with torch.no_grad():
                encoder, projector = self.net.target
                wanted = F.normalize(projector(encoder(other)), dim=1)
            total = total - (F.normalize(predicted, dim=1) * wanted).sum(1).mean() / 2
        return total

    def step(self, number, images):
        one, two = images, images.flip(-1)
        gradients = torch.autograd.grad(self.loss(one, two), self.trained)
        with torch.no_grad():
            for place, gradient in enumerate(gradients):
                self._adamw(place, gradient, number)
            self._move_target(number)

    def _rate(self, number):
        rise = max(1, round(RISE * self.steps))
        if number < rise:
            return RECIPE["lr"] * (number + 1) / rise
        done = (number - rise) / max(1, self.steps - rise)
        return RECIPE["lr"] * (1 + math.cos(math.pi * done)) / 2

    def _adamw(self, place, gradient, number):
        value, first, second = self.trained[place], self.first[place], self.second[place]
        first.mul_(0.9).add_(0.1 * gradient)
        second.mul_(0.999).add_(0.001 * gradient**2)
        mean = first / (1 - 0.9 ** (number + 1))
        size = (second / (1 - 0.999 ** (number + 1))).sqrt() + 1e-8
        decay = RECIPE["weight_decay"] if value.ndim > 1 else 0.0  # none of biases and norms
        value.sub_(self._rate(number) * (decay * value + mean / size))

    def _move_target(self, number):
        momentum = 1 - (1 - RECIPE["ema"]) * (math.cos(math.pi * number / self.steps) + 1) / 2
        online = [*self.net.encoder.parameters(), *self.net.projector.parameters()]
        for slow, fast in zip(self.net.target.parameters(), online, strict=True):
            slow.mul_(momentum).add_((1 - momentum) * fast)


@pytest.mark.parametrize("steps", [2, 5])
def test_a_training_is_the_papers_equations_step_by_step(steps):
    images = torch.randint(0, 256, (48, 1, 16, 16), dtype=torch.uint8,
                           generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    module = BYOL(build("slim", channels=1, image_size=16), (Mirrored(False), Mirrored(True)),
                  BYOLRecipe(steps=steps, **RECIPE)).double()
    hand = ByHand(module, steps)
    loader = BatchLoader(images, None, batch_size=16, steps=steps, seed=3)
    rows = [loader.indices(step) for step in range(steps)]
    fit(module, loader, hardware=Hardware(half=False))
    for number in range(steps):
        hand.step(number, images[rows[number]].double() / 127.5 - 1)
    for name, value in module.named_parameters():
        # A step changes a number by about 3e-3. The loss alone is computed in single precision,
        # which AdamW makes visible in the few numbers that have next to no gradient.
        assert (value - hand.net.get_parameter(name)).abs().mean() < 1e-6
