"""Our encoders written as other projects write theirs; the names are spelled out again on
purpose."""

import argparse

import torch

from helpers.models.encoder import build

BLOCK_NAMES = {  # ours -> theirs, inside block {i}
    "timm": {
        "norm1": "norm1", "attention.qkv": "attn.qkv", "attention.out": "attn.proj",
        "norm2": "norm2", "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2",
    },
    "torchvision": {
        "norm1": "ln_1", "attention.out": "self_attention.out_proj", "norm2": "ln_2",
        "mlp.0": "mlp.0", "mlp.3": "mlp.3",
    },
    "hugging face": {
        "norm1": "layernorm_before", "attention.out": "attention.output.dense",
        "norm2": "layernorm_after", "mlp.0": "intermediate.dense", "mlp.3": "output.dense",
    },
    "vit-pytorch": {
        "norm1": "0.norm", "attention.out": "0.fn.to_out.0", "norm2": "1.norm",
        "mlp.0": "1.fn.net.0", "mlp.3": "1.fn.net.3",
    },
}
BLOCK_PLACE = {"timm": "blocks.{}.", "torchvision": "encoder.layers.encoder_layer_{}.",
               "hugging face": "encoder.layer.{}.", "vit-pytorch": "transformer.layers.{}."}
TOP = {
    "timm": {
        "class_token": "cls_token", "positions": "pos_embed", "patches": "patch_embed.proj",
        "norm": "norm"
    },
    "torchvision": {
        "class_token": "class_token", "positions": "encoder.pos_embedding", "patches": "conv_proj",
        "norm": "encoder.ln"
    },
    "hugging face": {
        "class_token": "embeddings.cls_token", "positions": "embeddings.position_embeddings",
        "patches": "embeddings.patch_embeddings.projection", "norm": "layernorm"
    },
    "vit-pytorch": {
        "class_token": "cls_token", "positions": "pos_embedding", "patches": "to_patch_embedding.1",
        "norm": "mlp_head.0"
    },
}


def randomised(encoder, seed=0):
    """`encoder` in eval mode with every tensor random, running statistics and biases too."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in encoder.state_dict().items():
        if value.is_floating_point():
            low = 0.5 if "running_var" in name else -0.5
            value.copy_(torch.rand(value.shape, generator=generator) + low)
            if value.ndim > 1:
                value.mul_(value[0].numel() ** -0.5)
    return encoder.eval()


def some_images(encoder, channels=None, size=None):
    config = encoder.config
    shape = (2, channels or config["channels"], *[size or config["image_size"]] * 2)
    return torch.rand(shape, generator=torch.Generator().manual_seed(7)) * 2 - 1


def small_vit(**options):
    sizes = dict(channels=3, image_size=16, patch_size=8, width=64, depth=2, heads=1)
    return build("vit_tiny", **sizes | options)


def as_vit(layout, encoder):
    """The state dict of one of our ViTs under another project's names."""
    out = {}
    for name, value in encoder.backbone.state_dict().items():
        if name.startswith("blocks."):
            _, block, inner = name.split(".", 2)
            stem, _, kind = inner.rpartition(".")
            place = BLOCK_PLACE[layout].format(block)
            out |= _attention(layout, place, kind,
                              value) if stem == "attention.qkv" and layout != "timm" else {
                                  f"{place}{BLOCK_NAMES[layout][stem]}.{kind}": value
                              }
        else:
            stem, _, kind = name.partition(".")
            out[TOP[layout][stem] + (f".{kind}" if kind else "")] = value
    if layout == "vit-pytorch":
        weight = out["to_patch_embedding.1.weight"]
        out["to_patch_embedding.1.weight"] = weight.permute(0, 2, 3, 1).flatten(1)  # W, P * P * C
    return out


def _attention(layout, place, kind, value):
    if layout == "torchvision":
        return {f"{place}self_attention.in_proj_{kind}": value}
    if layout == "vit-pytorch":
        assert kind == "weight" or not value.any(), "its attention has no bias"
        return {f"{place}0.fn.to_qkv.weight": value} if kind == "weight" else {}
    return {f"{place}attention.attention.{name}.{kind}": part.clone()
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True)}


def as_sequential(encoder):
    """A ResNet's state dict as that of `nn.Sequential(*list(resnet.children())[:-1])`."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    state = encoder.backbone.state_dict()
    return {
        ".".join([places[name.split(".")[0]], *name.split(".")[1:]]): value
        for name, value in state.items()
    }


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def other(state):
    """A different network of the same names."""
    return {name: value + 1 for name, value in state.items()}


def self_learner(state):
    heads = {
        "projection_head.layers.0.weight": torch.ones(3, 3),
        "prediction_head.layers.0.weight": torch.ones(3, 3)
    }
    copies = under("backbone_momentum.",
                   other(state)) | {"projection_head_momentum.layers.0.weight": torch.ones(3)}
    return {
        "net": under("backbone.", state) | heads | copies,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}, "epoch": 3
    }


def pytorch_byol(state, inner="encoder."):
    online = under(inner, state) | {"projetion.net.0.weight": torch.ones(3, 3)}
    return {
        "online_network_state_dict": online, "target_network_state_dict": other(online),
        "predictor_network_state_dict": {"net.0.weight": torch.ones(3, 3)},
        "optimizer_state_dict": {
            "state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]
        }
    }


def dino(state):
    head = {
        "module.head.mlp.0.weight": torch.ones(3, 3),
        "module.head.last_layer.weight_g": torch.ones(3)
    }
    teacher = under("module.backbone.", state) | head
    return {
        "teacher": teacher, "student": other(teacher), "epoch": 1,
        "args": argparse.Namespace(arch="vit_small"),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
        "dino_loss": {"center": torch.ones(1, 3)}
    }


def lightning(state):
    heads = {
        "projection_head.layers.0.weight": torch.ones(3, 3),
        "online_classifier.linear.weight": torch.ones(3, 3)
    }
    copies = under("teacher_backbone.", other(state))
    return {
        "state_dict": under("backbone.", state) | heads | copies, "epoch": 3, "global_step": 7,
        "pytorch-lightning_version": "2.0.4", "loops": {}, "callbacks": {}, "lr_schedulers": [],
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": []}]
    }
