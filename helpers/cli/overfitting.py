"""What `python -m helpers overfit` does: one batch learnt by heart, at each of some rates."""

from __future__ import annotations

import argparse

import torch
from torch import nn

from helpers.common.errors import UserError
from helpers.data.loading import load_for
from helpers.evaluation.diagnostics.overfit import (
    CANDIDATES,
    best_learning_rate,
    search_learning_rate,
)
from helpers.models.encoder import build
from helpers.models.weights.hub import named_encoder
from helpers.settings import Settings
from helpers.transforms.views import normalise


def overfit(options: argparse.Namespace) -> int:
    """`overfit DATA`: the losses of one batch at each rate, and the rate that was quickest.

    Returns:
        0, or 1 where no rate got there.

    Raises:
        UserError: a rate or the tolerance is not above zero.
    """
    rates = options.rates or CANDIDATES
    if min(*rates, options.tolerance, 1) <= 0:
        raise UserError("--rates and --tolerance are numbers above 0")
    scratch = options.weights == "scratch"
    size = options.image_size
    if not scratch:
        size = named_encoder(options.weights, size)[0].config["image_size"]
    settings = Settings.resolve(dataset=options.data, encoder=options.encoder, image_size=size,
                                seed=options.seed, device=options.device)
    splits = load_for(settings)
    order = torch.randperm(len(splits.train),
                           generator=torch.Generator().manual_seed(settings.seed))
    rows = order[:options.batch_size]
    images = normalise(splits.train.images[rows].to(settings.device))
    labels = splits.train.labels[rows].to(settings.device)

    def fresh() -> nn.Module:
        shape = dict(channels=splits.channels, image_size=settings.image_size)
        encoder = (build(settings.encoder, **shape) if scratch else
                   named_encoder(options.weights, *reversed(shape.values()))[0])
        return nn.Sequential(encoder, nn.Linear(encoder.num_features, len(splits.classes)))

    runs = search_learning_rate(fresh, images, labels, rates, max_steps=options.max_steps,
                                tolerance=options.tolerance, seed=settings.seed)
    for rate, run in runs.items():
        said = "  ".join(f"{step} {run.losses[step]:.3g}"
                         for step in range(0, len(run.losses), options.log_every))
        end = "learnt by heart" if run.reached else "not learnt"
        print(f"rate {rate:g}: {end} in {run.steps} steps, {run.seconds:.1f} s; loss by step "
              + said)
    best = best_learning_rate(runs)
    if not runs[best].reached:
        print(f"no rate brings the loss of {len(rows)} images below {options.tolerance:g}, nearest "
              f"is {best:g}: try more steps or other rates; if none helps, look for a fault with "
              "notebook 13")
        return 1
    print(f"the quickest: rate {best:g}")
    return 0
