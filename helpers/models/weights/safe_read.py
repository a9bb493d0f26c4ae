"""Tensors out of anybody's file, without running anything that the file holds.

A .pth file is a pickle, and a pickle is a program. It is read with torch's `weights_only`
unpickler, which knows tensors and plain containers and nothing else; what it refuses is refused
here.
"""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from helpers.common.errors import UserError
from helpers.models.weights.checkpoint import metadata

SAFETENSORS, ZIP, LEGACY = "safetensors", "torch zip", "torch before 1.6"
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # before torch 1.6
DEEPEST = 8  # levels of dicts and lists; real checkpoints have four
WAYS_OUT = "fetch it again or use another file"


def sniff(path: Path) -> str:
    """What a file's first bytes say it is; a UserError if that is nothing to be read here."""
    if not path.is_file():
        raise UserError(f"no file {path}: check the name, or list the known ones with "
                        "`python -m helpers weights list`")
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise UserError(f"{path} is empty: {WAYS_OUT}")
    if head.lstrip()[:1] == b"<":
        raise UserError(f"{path} is a web page in place of weights: {WAYS_OUT}")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return SAFETENSORS
    if head.startswith(b"PK\x03\x04"):
        return ZIP
    if head.startswith(LEGACY_MAGIC):
        return LEGACY
    if head.startswith(b"\x80"):
        raise UserError(
            f"{path} is a bare pickle, which could run anything and is not opened: {WAYS_OUT}")
    raise UserError(
        f"{path} is neither safetensors nor a file of torch.save, or its beginning is damaged: "
        f"{WAYS_OUT}")


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Every tensor in a file of weights, by its place: `teacher/module.backbone.cls_token`.

    Levels of containers are parted by "/". Nothing in the file is executed, and the process's
    memory is not at the mercy of sizes that the file only claims.

    Raises:
        UserError: missing, truncated, damaged, hostile, or without tensors.
    """
    path = Path(path)
    kind = sniff(path)
    if kind == SAFETENSORS:
        metadata(path)  # explains damage in one line
    if kind == ZIP:
        _check_zip(path)
    content = _guarded(path, load_file if kind == SAFETENSORS else _load)
    tensors = {name: _plain(path, name, value) for name, value in _leaves(path, content)}
    if not tensors:
        raise UserError(f"{path} holds no tensors: {WAYS_OUT}")
    return tensors


def _load(path: Path) -> Any:
    # A Namespace holds a training script's options (facebookresearch/dino saves one); making it
    # runs nothing.
    with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _guarded(path: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(path)
    except Exception as problem:  # a damaged pickle can raise anything at all
        text = " ".join(str(problem).split()) or type(problem).__name__
        if "GLOBAL" in text or "weights_only" in text.lower() or "Unsupported" in text:
            what = text.split("GLOBAL ")[1].split(" ")[0] if "GLOBAL " in text else "something else"
            raise UserError(
                f"{path} holds more than tensors ({what}), which could run anything and is not "
                "opened: save its state_dict alone where it was made, or use another") from None
        raise UserError(f"{path} is damaged or cut off ({text[:120]}): {WAYS_OUT}") from None


def _check_zip(path: Path) -> None:
    """Refuse a cut-off or altered archive, and one that unpacks to more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise UserError(
                    f"{path} is a compressed archive, not a file of torch.save: unpack it first")
            damaged = archive.testzip()
    except UserError:
        raise
    except Exception as problem:  # zipfile raises a dozen kinds on damaged archives
        raise UserError(f"{path} is damaged or cut off ({problem}): {WAYS_OUT}") from None
    if damaged:
        raise UserError(f"{path} is damaged (wrong checksum of {damaged}): {WAYS_OUT}")


def _leaves(path: Path, content: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested containers, with their places."""
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > DEEPEST:
            raise UserError(
                f"{path} is nested deeper than {DEEPEST} levels, as no weights are: {WAYS_OUT}")
        if isinstance(value, Tensor):
            yield place or "tensor", value
            continue
        items = (value.items() if isinstance(value, Mapping)
                 else enumerate(value) if isinstance(value, (list, tuple)) else ())
        start = f"{place}/" if place else ""
        waiting += [(f"{start}{key}", inner, depth + 1) for key, inner in items]


def _plain(path: Path, name: str, value: Tensor) -> Tensor:
    """`value` if it is an ordinary tensor that owns as much memory as it shows."""
    plain = type(value) in (Tensor, torch.nn.Parameter) and value.layout == torch.strided
    if not plain or value.is_quantized or value.device.type != "cpu":
        raise UserError(
            f"{path}: {name} is not an ordinary tensor: save the weights as plain float tensors")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(
            f"{path}: {name} claims to be {tuple(value.shape)} but holds less: {WAYS_OUT}")
    return value.detach()
