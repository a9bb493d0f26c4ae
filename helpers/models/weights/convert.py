"""Anybody's weights as one of our encoders, with every tensor of the file accounted for."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from helpers.common.errors import UserError
from helpers.models.encoder import Encoder
from helpers.models.vit import PRESETS
from helpers.models.weights import fitting
from helpers.models.weights.checkpoint import FORMAT, is_own, load_encoder
from helpers.models.weights.layouts import Layout, find_encoders, rank, rename
from helpers.models.weights.safe_read import read_tensors

# how our encoders' tensors begin
ROOTS = {"patches", "class_token", "positions", "registers", "blocks", "norm", "conv1", "bn1",
         "layer1", "layer2", "layer3", "layer4", "stem"}
CHANGES_FEATURES = (r"reg_token|register_|dist_token|norm_pre|fc_norm|rope|relative_position|"
                    r"storage_token|to_patch_embedding|[qk]_norm\.|mlp\.(w\d|fc1_|gate)|\.se\.")
# what wraps a part of a network while it is trained, within the names of the part's tensors
WRAPPERS = (r"(?<=\.)(?:module|_orig_mod|_forward_module|_fsdp_wrapped_module|"
            r"_checkpoint_wrapped_module)\.")
HEADS = "FEWLABELS_HEADS"  # the variable that says how many heads a ViT has
# What tensors of odd names and shapes can lead to; the file is at fault, not the code.
BROKEN = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, RuntimeError)
# Why a tensor outside the encoder is left out: the first pattern that is found in its name decides.
REASONS = {"mask_token": "for a training with masks",
           "optim|lr_sched|scaler|momentum_buffer|exp_avg": "state of the training",
           "momentum|target|teacher|student": "head of the other network",
           "predict": "prediction head", "proj": "projection head", "pooler": "pooling head",
           "head|fc|classif|linear|mlp": "classification head", "loss|center": "state of the loss"}


@dataclass(frozen=True)
class Report:
    """What became of every tensor in a file of weights.

    Args:
        path: the file.
        layout: how it names its tensors, in words.
        place: where in the file the encoder was, such as "net/backbone.".
        encoder: the name for `helpers.models.encoder.build`.
        used: the names in the file of the tensors that the encoder is made of.
        left_out: every other tensor's name, and why it was left out.
        notes: what else a careful reader should know.
    """

    path: Path
    layout: str
    place: str
    encoder: str
    used: list[str]
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons = Counter(self.left_out.values()).most_common()
        left = ", ".join(f"{count} ({reason})" for reason, count in reasons) or "none"
        lines = [
            f"{self.path.name}: {self.layout} at {self.place or 'the top'}, read as {self.encoder}",
            f"  tensors used: {len(self.used)}; left out: {left}"
        ]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def read_weights(path: str | Path, *, image_size: int | None = None, channels: int | None = None,
                 normalisation: str = "auto", input_size: int | None = None,
                 heads: int | None = None) -> tuple[Encoder, Report]:
    """Read weights in any layout that `layouts.LAYOUTS` knows, our own among them.

    Args:
        path: safetensors, or a file of torch.save (.pth, .pt, .ckpt); nothing in it is executed.
        image_size: side of your images, in pixels; None keeps the file's. Positions are
            interpolated.
        channels: of your images, 1 or 3; colour weights are folded to grey ones, and grey to
            colour. None keeps the file's.
        normalisation: what the weights were trained on: "imagenet", "symmetric" ([-1, 1]), "unit"
            ([0, 1]), or "auto" for what the layout's makers use.
        input_size: side in pixels to which the encoder resizes your images; None: it takes them as
            they are.
        heads: attention heads of a ViT, which no tensor tells; None takes FEWLABELS_HEADS, and
            without it the usual number of its width. Our own files say it.

    Returns:
        The encoder (its `meta` says where it came from) and the report.

    Raises:
        UserError: unreadable, unknown, or of another shape; a misfit names the tensor.
    """
    path = Path(path)
    own = load_encoder(path) if is_own(path) else None
    names, tensors = _unwrapped(own.state_dict() if own else read_tensors(path))
    places = find_encoders(set(tensors))
    if not places:
        raise UserError(
            f"{path} holds no encoder known here (its first tensor is {min(tensors)[:80]}); "
            "known are ResNets of 18 to 101 layers and ViTs in the usual layouts")
    (layout, prefix), *others = places
    trained_on = own.config["normalisation"] if own else normalisation
    if trained_on == "auto":
        trained_on = layout.normalisation(prefix, set(tensors))
    try:
        weights, used = _under_our_names(path, layout, prefix, tensors)
        heads = heads or _heads_asked()
        config = own.config if own else {
            **fitting.deduce(path, layout.family, weights, heads), **layout.options}
        if input_size:
            config = {**config, "input_size": input_size}
        made, notes = fitting.fit(path, layout.family, config, weights, image_size, channels,
                                  trained_on)
    except BROKEN as problem:
        why = " ".join(str(problem).split())[:120]
        raise UserError(f"{path} is not a {layout.title} as it is known here ({why} is missing or "
                        "of no use): it may be another architecture, or cut off; use another file"
                        ) from None
    made.meta = own.meta if own else {"source": path.name, "layout": layout.title}
    if own is None:
        notes += tuple(_remarks(layout, config, trained_on, heads))
    rivals = sorted({start for _, start in others if start != prefix
                     and rank(start) == rank(prefix)})
    if rivals:
        notes += (f"no name tells which of its networks was trained: {prefix or 'the first'} is "
                  f"taken, not {', '.join(rivals)}; save the one that you mean alone",)
    copies = [start for _, start in others if not prefix.startswith(start)]
    left_out = {names[name]: _reason(name, prefix, copies)
                for name in tensors if name not in used}
    return made, Report(path, FORMAT if own else layout.title, prefix, made.name,
                        sorted(map(names.get, used)), left_out, notes)


def _unwrapped(tensors: Mapping[str, Tensor]) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Tensors by their names without `WRAPPERS`, and the names that they have in the file.

    Names stay as they are where two tensors would have one.
    """
    names = {re.sub(WRAPPERS, "", name): name for name in tensors}
    if len(names) < len(tensors):
        names = {name: name for name in tensors}
    return names, {name: tensors[theirs] for name, theirs in names.items()}


def _heads_asked() -> int | None:
    text = os.environ.get(HEADS, "").strip()
    if text and not (text.isdecimal() and int(text)):
        raise UserError(f"{HEADS} must be a whole number above zero, not {text!r}")
    return int(text) if text else None


def _remarks(layout: Layout, config: dict[str, Any], trained_on: str, heads: int | None
             ) -> Iterator[str]:
    """What a reader should know of weights that are not ours."""
    unusual = not config.keys().isdisjoint(("width", "depth"))
    if layout.family == "vit" and unusual and not heads:
        guess = config.get("heads", PRESETS[config["name"]]["heads"])
        yield (f"no tensor tells the number of heads: {guess} are a guess, and with another number "
               f"the features are others; {HEADS} sets it")
    if config["name"] == "slim_deep":
        yield ("no tensor tells slim_deep from slim_joined, whose features are of two stages: it "
               "is taken for slim_deep, and ENCODER = slim_joined goes on with the other")
    if layout.remark:
        yield layout.remark.format(trained_on=trained_on)


def _under_our_names(path: Path, layout: Layout, prefix: str, tensors: dict[str, Tensor]
                     ) -> tuple[dict[str, Tensor], set[str]]:
    """The encoder's tensors under our names, and the names in the file of those that it needs."""
    used: set[str] = set()
    weights: dict[str, Tensor] = {}
    for name in sorted(name for name in tensors if name.startswith(prefix)):
        ours = rename(layout.names, name.removeprefix(prefix))
        if re.search(CHANGES_FEATURES, ours):
            raise UserError(f"{path} has {name}, which its features need and this suite's "
                            f"{layout.family} does not have: use a plain one")
        if ours.split(".")[0] in ROOTS:
            value = tensors[name]
            weights[ours] = value.float() if value.is_floating_point() else value
            used.add(name)
    return layout.change(weights), used


def _reason(name: str, prefix: str, copies: list[str]) -> str:
    """Why a tensor was left out."""
    for copy in copies:
        inner = name.removeprefix(copy)
        if name.startswith(copy) and not re.search("head|fc|proj_|projetion|pooler", inner):
            return f"another copy of the encoder, {copy.rstrip('./')}"
    # What stands before the encoder's own names (`online_network_state_dict/`) says nothing about a
    # head.
    name = name.removeprefix(prefix.rpartition("/")[0]).lower()
    return next((reason for pattern, reason in REASONS.items() if re.search(pattern, name)),
                "not a part of an encoder")
