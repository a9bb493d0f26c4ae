"""timm's models with random weights, and their tensors as other projects release them."""

import timm
import torch
from foreign_weights import randomised

MODELS = {"dinov2-vits14": "vit_small_patch14_dinov2", "dino-vits16": "vit_small_patch16_224.dino",
          "dinov2-vits14-reg": "vit_small_patch14_reg4_dinov2",
          "dino-vits8": "vit_small_patch8_224.dino"}


def peer_of(name, size, depth):
    """timm's model with random weights, for images of `size` pixels."""
    return randomised(timm.create_model(MODELS[name], img_size=size, num_classes=0, depth=depth))


def as_released(peer):
    """A timm model's tensors as the project's own file has them."""
    state = dict(peer.state_dict())
    if "blocks.0.ls1.gamma" in state:
        state["mask_token"] = torch.ones(1, state["cls_token"].shape[-1])
    if "reg_token" in state:
        state["register_tokens"] = state.pop("reg_token")
        first = torch.full_like(state["cls_token"], 0.25)
        state["pos_embed"] = torch.cat([first, state["pos_embed"]], 1)
        state["cls_token"] = state["cls_token"] - first
    return state
