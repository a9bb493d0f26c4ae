"""A trained slim encoder grows into a slim_fine one, and so keeps what it has learned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.models.encoder import Encoder, build


def finer(kernel: Tensor) -> Tensor:
    """A 3x3 convolution's weights, O x I x 3 x 3, as those of a 6x6 convolution of stride 2.

    On an image of twice the side it gives what the 3x3 convolution gives on that image halved, each
    four pixels averaged (as Chen et al. 2016, arXiv:1511.05641, grow networks that go on as they
    were).
    """
    return F.interpolate(kernel, scale_factor=2, mode="nearest") / 4


def grown(encoder: Encoder) -> Encoder:
    """A slim_fine encoder for images of the same size that begins with the weights of a slim one.

    The first three blocks are the old ones; the last is new, its weights are random.
    """
    options = {key: value for key, value in encoder.config.items() if key != "name"}
    state = encoder.state_dict()
    state["backbone.stem.0.weight"] = finer(state["backbone.stem.0.weight"])
    new = build("slim_fine", **options | dict(width=len(state["backbone.stem.0.weight"])))
    with torch.no_grad():
        new.load_state_dict(new.state_dict() | state)
    return new
