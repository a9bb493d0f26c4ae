"""Weights from elsewhere for the ViT: other names, another grid of patches."""

from __future__ import annotations

import math
import re

from torch import Tensor

from helpers.encoders.vit import ViT, interpolate_positions
from helpers.errors import UserError

# Where torchvision's VisionTransformer keeps what; `linear_1` is how its older files spell `mlp.0`.
TORCHVISION_NAMES = [
    (r"^conv_proj\.", "patches."),
    (r"^encoder\.pos_embedding$", "positions"),
    (r"^encoder\.ln\.", "norm."),
    (r"^heads\.head\.", "head."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attention.qkv."),
    (r"\.self_attention\.out_proj\.", ".attention.out."),
    (r"\.mlp\.linear_1\.", ".mlp.0."),
    (r"\.mlp\.linear_2\.", ".mlp.3."),
]


def load_torchvision(vit: ViT, state_dict: dict[str, Tensor]) -> ViT:
    """Copy the weights of a torchvision VisionTransformer (`vit_b_16` and its kin) into `vit`.

    The head is left out if `vit` gives features; positions of another grid are interpolated.

    Raises:
        UserError: the weights belong to a network of another shape or another layout.
    """
    weights = {}
    for name, value in state_dict.items():
        for theirs, ours in TORCHVISION_NAMES:
            name = re.sub(theirs, ours, name)
        weights[name] = value
    own = vit.state_dict()
    if "head.weight" not in own:
        weights = {name: value for name, value in weights.items() if not name.startswith("head.")}
    if "positions" in weights:
        old_grid = math.isqrt(weights["positions"].shape[1] - 1)
        weights["positions"] = interpolate_positions(weights["positions"], old_grid, vit.grid)
    wrong = sorted(weights.keys() ^ own.keys()) or [
        name for name in own if own[name].shape != weights[name].shape]
    if wrong:
        raise UserError(f"these weights do not fit this ViT: {len(wrong)} tensors are missing, unknown or of "
                        f"another shape, first {wrong[0]}; build the ViT with the weights' own sizes")
    vit.load_state_dict(weights)
    return vit
