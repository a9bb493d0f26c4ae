"""Anybody's weights as one of our encoders, with every tensor of the file accounted for."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from helpers.common.errors import UserError
from helpers.models.encoder import Encoder
from helpers.models.weights import fitting
from helpers.models.weights.checkpoint import FORMAT, is_own, load_encoder
from helpers.models.weights.layouts import Found, find_encoders, rename
from helpers.models.weights.safe_read import read_tensors

# how our encoders' tensors begin
ROOTS = {"patches", "class_token", "positions", "blocks", "norm", "conv1", "bn1", "layer1",
         "layer2", "layer3", "layer4", "stem"}
CHANGES_FEATURES = "reg_token|register|dist_token|norm_pre|fc_norm|rope|relative_position"
# What tensors of odd names and shapes can lead to; the file is at fault, not the code.
BROKEN = (KeyError, IndexError, TypeError, ValueError, ArithmeticError, RuntimeError)
# Why a tensor outside the encoder is left out: the first pattern that is found in its name decides.
REASONS = {"optim|lr_sched|scaler|momentum_buffer|exp_avg": "state of the training",
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
        used: our name of each tensor of the encoder, and its names in the file (several where we
            join them).
        left_out: every other tensor's name, and why it was left out.
        notes: what else a careful reader should know.
    """

    path: Path
    layout: str
    place: str
    encoder: str
    used: dict[str, tuple[str, ...]]
    left_out: dict[str, str]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        reasons = Counter(self.left_out.values()).most_common()
        left = ", ".join(f"{count} ({reason})" for reason, count in reasons) or "none"
        lines = [
            f"{self.path.name}: {self.layout} at {self.place or 'the top'}, read as {self.encoder}",
            f"  tensors used: {sum(map(len, self.used.values()))}; left out: {left}"
        ]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def read_weights(path: str | Path, encoder: str = "auto", image_size: int | None = None,
                 channels: int = 3, normalisation: str = "auto") -> tuple[Encoder, Report]:
    """Read weights in any layout that `layouts.LAYOUTS` knows, our own among them.

    Args:
        path: safetensors, or a file of torch.save (.pth, .pt, .ckpt); nothing in it is executed.
        encoder: the encoder you expect; "auto" takes what the file holds.
        image_size: side of your images, in pixels; None keeps the file's. Positions are
            interpolated.
        channels: of your images, 1 or 3; colour weights are folded to grey ones, and grey to
            colour.
        normalisation: what the weights were trained on: "imagenet", "symmetric" ([-1, 1]), "unit"
            ([0, 1]), or "auto" for what the layout's makers use.

    Returns:
        The encoder (its `meta` says where it came from) and the report.

    Raises:
        UserError: unreadable, unknown, or of another shape; a misfit names the tensor and the
            likely encoder.
    """
    path = Path(path)
    own = load_encoder(path) if is_own(path) else None
    tensors = dict(own.state_dict()) if own else read_tensors(path)
    places = _places(path, tensors)
    found = places[0]
    weights, used = _ours(path, found, tensors)
    trained_on = own.config["normalisation"] if own else normalisation
    if trained_on == "auto":
        trained_on = found.layout.normalisation(found.prefix, set(tensors))
    try:
        config = own.config if own else {**fitting.deduce(path, weights), **found.layout.options}
        fitting.check_expected(path, encoder, config, weights)
        fit = fitting.fit(path, config, weights, image_size, channels, trained_on)
    except BROKEN as problem:
        raise _not_whole(path, found, problem) from None
    layout = FORMAT if own else found.layout.title
    fit.encoder.meta = own.meta if own else {"source": path.name, "layout": layout}
    notes = fit.notes
    if found.layout.remark and own is None:
        notes += (found.layout.remark.format(trained_on=trained_on),)
    return fit.encoder, Report(path, layout, found.prefix, config["name"], used,
                               _left_out(tensors, used, places), notes)


def _places(path: Path, tensors: dict[str, Tensor]) -> list[Found]:
    places = find_encoders(set(tensors))
    if not places:
        raise UserError(
            f"{path} holds no encoder known here (its first tensor is {min(tensors)[:80]}); "
            "known are ResNet18, ResNet50 and ViTs in the usual layouts")
    return places


def _ours(path: Path, found: Found,
          tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, tuple]]:
    """The encoder's tensors under our names, and the names that each has in the file."""
    weights: dict[str, Tensor] = {}
    used: dict[str, tuple[str, ...]] = {}
    for name in sorted(name for name in tensors if name.startswith(found.prefix)):
        ours = rename(found.layout.names, name.removeprefix(found.prefix))
        if re.search(CHANGES_FEATURES, ours):
            raise UserError(f"{path} has {name}, which its features need and this suite's "
                            f"{found.layout.family} does not have: use a plain one")
        if ours.split(".")[0] in ROOTS:
            value = tensors[name]
            weights[ours] = value.float() if value.is_floating_point() else value
            whole = re.sub(r"\.qkv\.[012]\.", ".qkv.", ours)
            used[whole] = (*used.get(whole, ()), name)
    try:
        return found.layout.change(weights), used
    except BROKEN as problem:
        raise _not_whole(path, found, problem) from None


def _not_whole(path: Path, found: Found, problem: Exception) -> UserError:
    why = " ".join(str(problem).split())[:120]
    return UserError(f"{path} is not a whole {found.layout.title} ({why} is missing or of no use): "
                     "fetch it again or use another file")


def _left_out(tensors: dict[str, Tensor], used: dict[str, tuple],
              places: list[Found]) -> dict[str, str]:
    """Why each tensor that is not in `used` was left out."""
    taken = {name for names in used.values() for name in names}
    others = [place.prefix for place in places[1:] if not places[0].prefix.startswith(place.prefix)]
    return {name: _reason(name, places[0].prefix, others) for name in tensors if name not in taken}


def _reason(name: str, prefix: str, others: list[str]) -> str:
    for other in others:
        inner = name.removeprefix(other)
        if name.startswith(other) and not re.search("head|fc|proj_|projetion|pooler", inner):
            return f"another copy of the encoder, {other.rstrip('./')}"
    # What stands before the encoder's own names (`online_network_state_dict/`) says nothing about a
    # head.
    shared = prefix.rpartition("/")[0]
    name = name.removeprefix(shared).lower()
    return next((reason for pattern, reason in REASONS.items() if re.search(pattern, name)),
                "not a part of an encoder")
