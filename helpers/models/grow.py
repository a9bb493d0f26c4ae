"""A trained slim encoder grows into a larger kind and goes on as it was (as Chen et al. 2016 let
networks grow, arXiv:1511.05641)."""

from __future__ import annotations

import re

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.models.encoder import Encoder, build

State = dict[str, Tensor]


def grown(encoder: Encoder, name: str) -> Encoder:
    """An encoder called `name` with the weights of a smaller kind, which takes views and images as
    they come (`input_size` is gone); the encoder itself where its kind grows into no such one."""
    smaller, grow = GROWTH.get(name, ("", None))
    begun = grown(encoder, smaller) if smaller else encoder
    if begun.name != smaller:
        return encoder
    options = {key: value for key, value in begun.config.items()
               if key not in ("name", "input_size")}
    state = begun.state_dict()
    new = build(name, **options | dict(width=len(state["backbone.stem.0.weight"])))
    with torch.no_grad():
        new.load_state_dict(grow(new.state_dict(), state))
    return new


def finer(kernel: Tensor) -> Tensor:
    """A 3x3 convolution's weights, O x I x 3 x 3, as those of a 6x6 convolution of stride 2.

    On an image of twice the side it gives what the 3x3 convolution gives on that image halved, each
    four pixels averaged.
    """
    return F.interpolate(kernel, scale_factor=2, mode="nearest") / 4


def _with_finer_stem(new: State, old: State) -> State:
    """The first three blocks are slim's; the last is new, its weights are random."""
    name = "backbone.stem.0.weight"
    return new | old | {name: finer(old[name])}


def _with_more_blocks(new: State, old: State) -> State:
    """The second block of a stage adds nothing at first: the scales of its last normalisation are
    0."""
    kept = {re.sub(r"(blocks\.[1-9]\.)", r"\g<1>0.", name): value for name, value in old.items()}
    silent = {name: torch.zeros_like(value) for name, value in new.items()
              if re.search(r"blocks\.\d\.1\.residual\.4\.weight", name)}
    return new | kept | silent


def _with_the_same(new: State, old: State) -> State:
    """What is joined for features has weights already."""
    return old


# the kind that each grows from, and how
GROWTH = {"slim_fine": ("slim", _with_finer_stem), "slim_deep": ("slim_fine", _with_more_blocks),
          "slim_joined": ("slim_deep", _with_the_same)}
