"""How other projects name the tensors of the encoders that this suite has.

A layout is recognised by two tensors that every such file has. Whatever stands before their names
(`net/backbone.`, `teacher/module.backbone.`) is where in the file the encoder is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.models.vit import ViT, interpolate_positions
from helpers.models.weights.checkpoint import misfits

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


Weights = dict[str, Tensor]
Change = Callable[[Weights], Weights]


@dataclass(frozen=True)
class Layout:
    """One way of naming an encoder's tensors.

    Args:
        title: for people.
        family: "resnet", "vit" or "slim".
        anchors: two names (without what stands before them) that every such file has.
        names: regular expressions of their names and what they are here; tried in order, all of
            them.
        change: turns renamed weights into ours where a name alone does not do.
        options: of `build`, for what no tensor tells.
        normalisation: what the makers feed their networks, see `helpers.models.encoder.Encoder`;
            a function of the encoder's prefix and of the names of all tensors.
        remark: what a careful reader should know about such a file; may hold `{trained_on}`.
    """

    title: str
    family: str
    anchors: tuple[str, str]
    names: list[tuple[str, str]]
    change: Change = dict
    options: dict[str, str] = field(default_factory=dict)
    normalisation: Callable[[str, set[str]], str] = lambda prefix, names: "symmetric"
    remark: str = ""


def _of_torchvision(prefix: str, names: set[str]) -> str:
    """ImageNet's, but [-1, 1] where BYOL was trained on top of a torchvision network."""
    byol = "byolnet." in prefix or "encoder.backbone." in prefix
    return "symmetric" if byol else "imagenet"


def _of_sequential(prefix: str, names: set[str]) -> str:
    """ImageNet's, but PyTorch-BYOL trains on pixels as they are."""
    pytorch_byol = "network_state_dict/encoder." in prefix or prefix == "encoder_state_dict/"
    return "unit" if pytorch_byol else "imagenet"


def _of_timm_or_dino(prefix: str, names: set[str]) -> str:
    """DINO's released files have no head, timm's have."""
    return "symmetric" if f"{prefix}head.weight" in names else "imagenet"


def _joined(weights: Weights) -> Weights:
    """Query, key and value in one tensor, as our attention has them."""
    out = {name: value for name, value in weights.items() if not re.search(r"\.qkv\.[012]\.", name)}
    for first in [name for name in weights if ".qkv.0." in name]:
        parts = [weights[first.replace(".qkv.0.", f".qkv.{i}.")] for i in range(3)]
        out[first.replace(".qkv.0.", ".qkv.")] = torch.cat(parts)
    return out


def _lucidrains(weights: Weights) -> Weights:
    """Patches that were cut as rows x columns x channels, and attention without a bias."""
    patches = weights["patches.weight"]
    pixels = patches.shape[1]
    channels = 1 if math.isqrt(pixels) ** 2 == pixels else 3
    side = math.isqrt(pixels // channels)
    patches = patches.unflatten(1, (side, side, channels)).permute(0, 3, 1, 2)       # W, C, P, P
    biases = {name.replace("weight", "bias"): torch.zeros(len(value))
              for name, value in weights.items() if name.endswith("qkv.weight")}
    return {**biases, **weights, "patches.weight": patches}


def _dinov2(weights: Weights) -> Weights:
    """Layer scale, a factor on what a branch adds, goes into the branch's last layer. timm's files
    have added the class token's position to the token itself."""
    weights = dict(weights)
    for name in [name for name in weights if name.endswith(".gamma")]:
        branch = re.sub(r"ls1\.gamma$", "attention.out.", name)
        branch = re.sub(r"ls2\.gamma$", "mlp.3.", branch)
        gamma = weights.pop(name)
        weights[branch + "weight"] = gamma[:, None] * weights[branch + "weight"]
        weights[branch + "bias"] = gamma * weights[branch + "bias"]
    positions = weights["positions"]
    if math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        weights["positions"] = torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)
    return weights


TIMM_NAMES = [
    (r"^patch_embed\.proj\.", "patches."),
    (r"^cls_token$", "class_token"),
    (r"^pos_embed$", "positions"),
    (r"^(register_tokens|reg_token)$", "registers"),
    (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # in chunks, as they are trained
    (r"\.attn\.proj\.", ".attention.out."),
    (r"\.attn\.", ".attention."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
]
BLOCKS = r"^blocks\.(\d+)\."
LAYOUTS = [
    Layout("torchvision ResNet", "resnet", ("conv1.weight", "layer1.0.conv1.weight"), [],
           normalisation=_of_torchvision),
    Layout("ResNet as a Sequential", "resnet", ("0.weight", "4.0.conv1.weight"),
           [(r"^0\.", "conv1."), (r"^1\.", "bn1."), (r"^4\.", "layer1."), (r"^5\.", "layer2."),
            (r"^6\.", "layer3."), (r"^7\.", "layer4.")], normalisation=_of_sequential),
    Layout("torchvision ViT", "vit", ("class_token", "conv_proj.weight"), TORCHVISION_NAMES,
           normalisation=_of_torchvision),
    *[Layout("DINOv2 ViT with registers", "vit", (first, "patch_embed.proj.weight"), TIMM_NAMES,
             _dinov2, {"stretch": "smooth"}, lambda *_: "imagenet")
      for first in ("register_tokens", "reg_token")],
    *[Layout("DINOv2 ViT", "vit", (first, "patch_embed.proj.weight"), TIMM_NAMES, _dinov2,
             {"stretch": "dino"}, lambda *_: "imagenet")
      for first in ("blocks.0.ls1.gamma", "blocks.0.0.ls1.gamma")],
    Layout("timm or DINO ViT", "vit", ("cls_token", "patch_embed.proj.weight"),
           TIMM_NAMES, options={"stretch": "dino"},
           normalisation=_of_timm_or_dino,
           remark="taken as trained on {trained_on} images; say normalisation=... if it was not "
                  "so"),
    Layout("Hugging Face ViT", "vit",
           ("embeddings.cls_token", "embeddings.patch_embeddings.projection.weight"),
           [(r"^embeddings\.patch_embeddings\.projection\.", "patches."),
            (r"^embeddings\.cls_token$", "class_token"),
            (r"^embeddings\.position_embeddings$", "positions"),
            (r"^encoder\.layer\.(\d+)\.", r"blocks.\1."),
            (BLOCKS + r"layernorm_before\.", r"blocks.\1.norm1."),
            (BLOCKS + r"layernorm_after\.", r"blocks.\1.norm2."),
            (r"\.attention\.attention\.query\.", ".attention.qkv.0."),
            (r"\.attention\.attention\.key\.", ".attention.qkv.1."),
            (r"\.attention\.attention\.value\.", ".attention.qkv.2."),
            (r"\.attention\.output\.dense\.", ".attention.out."),
            (r"\.intermediate\.dense\.", ".mlp.0."),
            (BLOCKS + r"output\.dense\.", r"blocks.\1.mlp.3."),
            (r"^layernorm\.", "norm.")], _joined),
    Layout("vit-pytorch ViT", "vit", ("cls_token", "to_patch_embedding.1.weight"),
           [(r"^to_patch_embedding\.1\.", "patches."), (r"^cls_token$", "class_token"),
            (r"^pos_embedding$", "positions"), (r"^transformer\.layers\.(\d+)\.", r"blocks.\1."),
            (BLOCKS + r"0\.norm\.", r"blocks.\1.norm1."),
            (BLOCKS + r"1\.norm\.", r"blocks.\1.norm2."),
            (BLOCKS + r"0\.fn\.to_qkv\.", r"blocks.\1.attention.qkv."),
            (BLOCKS + r"0\.fn\.to_out\.0\.", r"blocks.\1.attention.out."),
            (BLOCKS + r"1\.fn\.net\.", r"blocks.\1.mlp."), (r"^mlp_head\.0\.", "norm."),
            (r"^mlp_head\.1\.", "head.")], _lucidrains,
           remark="the suite applies the final LayerNorm; ViT-BYOL's own code leaves it out"),
    Layout("this suite's ViT", "vit", ("class_token", "patches.weight"), []),
    Layout("this suite's slim encoder", "slim", ("stem.0.weight", "blocks.0.residual.0.weight"),
           []),
]


def find_encoders(names: set[str]) -> list[tuple[Layout, str]]:
    """The encoders among the names of a file's tensors, with what stands before their own names;
    the one to use first.

    The network that was trained comes before its slowly moving copy, except in DINO's files, where
    the teacher is the better encoder (Caron et al. 2021, section 5.2).
    """
    found = []
    for layout in LAYOUTS:
        first, second = layout.anchors
        starts = [name[:-len(first)] for name in names if name.endswith(first)]
        found += [(layout, start) for start in starts
                  if (not start or start[-1] in "./") and start + second in names]
    return sorted(found, key=lambda one: (rank(one[1]), len(one[1]), one[1]))


SLOW_COPY = r"(?:^|[./])(?:(?:\w+_)?[km]|[km]_\w+)(?:[./]|$)"  # MoCo's encoder_k, ALBEF's encoder_m


def rank(prefix: str) -> int:
    """What an encoder is, by the names before it: 0 the trained one, the others its copies."""
    words = (r"teacher|ema", "student", rf"momentum|target|key|{SLOW_COPY}")
    return max((rank for rank, word in enumerate(words, 1) if re.search(word, prefix)), default=0)


def rename(names: list[tuple[str, str]], name: str) -> str:
    """Our name of one of their tensors."""
    for theirs, ours in names:
        name = re.sub(theirs, ours, name)
    return name


def load_torchvision(vit: ViT, state_dict: dict[str, Tensor]) -> ViT:
    """Copy the weights of a torchvision VisionTransformer (`vit_b_16` and its kin) into `vit`.

    The head is left out if `vit` gives features; positions of another grid are interpolated.

    Raises:
        UserError: the weights belong to a network of another shape or another layout.
    """
    own = vit.state_dict()
    weights = {rename(TORCHVISION_NAMES, name): value for name, value in state_dict.items()}
    weights = {name: value for name, value in weights.items()
               if name in own or not name.startswith("head.")}
    if "positions" in weights:
        old_grid = math.isqrt(weights["positions"].shape[1] - 1)
        weights["positions"] = interpolate_positions(weights["positions"], old_grid, vit.grid)
    wrong = misfits(own, weights)
    if wrong:
        raise UserError(f"these weights do not fit this ViT: {wrong}; "
                        "build the ViT with the weights' own sizes")
    vit.load_state_dict(weights)
    return vit
