"""The suite's own checkpoints: one safetensors file that can be rebuilt without asking anybody.

The tensors lie beside a few strings: how to build the encoder, what its input has to look like,
what it was trained on, and a digest over all of it, so that a single flipped bit is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor

import helpers
from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.models.encoder import Encoder, build

FORMAT, VERSION = "few-labels encoder", "1"
# what the digest covers, with the tensors
STRINGS = ("format", "version", "config", "normalisation", "meta")
BESIDE = "beside."  # how tensors that are no part of the encoder begin
LARGEST_OPTION = 1 << 14  # a width or an image size beyond this is damage, not a choice


def save_encoder(encoder: Encoder, path: str | Path, half: bool = False,
                 beside: Mapping[str, Tensor] | None = None, **meta: Any) -> Path:
    """Write an encoder to `path` (safetensors), in one step: the file is whole or not there.

    Args:
        encoder: made by `helpers.models.encoder.build`; it may be on any device.
        half: keep the weights in half precision; read again they are float32, rounded.
        beside: tensors that are no part of the encoder, such as a classifier's head.
        meta: what a person wants to know later (method, dataset, steps, accuracy, command, ...);
            anything JSON can hold. The versions of torch and of this suite are added.

    Raises:
        UserError: the file cannot be written there, or a weight is too large for half precision.
    """
    state = halved(encoder) if half else encoder.state_dict()
    state |= {BESIDE + name: value for name, value in (beside or {}).items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    meta = {"torch": str(torch.__version__), "suite": helpers.__version__, **meta}
    strings = {
        "format": FORMAT, "version": VERSION, "config": json.dumps(encoder.config, sort_keys=True),
        "normalisation": encoder.config.get("normalisation", "symmetric"),
        "meta": json.dumps(meta, sort_keys=True, default=str)
    }
    strings["digest"] = digest(tensors, strings)
    # save_file would let nobody else read it
    write_atomically(path, save(tensors, metadata=strings))
    return Path(path)


def halved(encoder: Encoder) -> dict[str, Tensor]:
    """An encoder's tensors in half precision; a UserError where a number is too large for it."""
    tensors = {name: value.half() if value.is_floating_point() else value
               for name, value in encoder.state_dict().items()}
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise UserError(
                f"{name} has numbers too large for half precision: keep this encoder as it is")
    return tensors


def load_encoder(path: str | Path) -> Encoder:
    """Rebuild what `save_encoder` wrote; `encoder.meta` holds what was said about it.

    The encoder is on the CPU and in training mode, as a fresh one. Random numbers are not used up.

    Raises:
        UserError: the file is missing, not whole, changed, or not one of the suite's checkpoints.
    """
    return load_parts(path)[0]


def load_parts(path: str | Path) -> tuple[Encoder, dict[str, Tensor]]:
    """As `load_encoder`, with the tensors that were saved `beside` it."""
    path = Path(path)
    strings = metadata(path)
    if not _ours(strings):
        raise UserError(
            f"{path} is a safetensors file of another project: "
            "use helpers.models.weights.convert.read_weights, which knows other layouts")
    if strings.get("version") != VERSION or not strings.keys() >= {*STRINGS}:
        raise UserError(
            f"{path} has the format version {strings.get('version')!r}, this suite reads "
            f"{VERSION!r}: update the suite, or save the encoder again")
    tensors = load_file(path)
    if strings.get("digest") != digest(tensors, strings):
        raise UserError(f"{path} was damaged or changed after it was saved (its digest differs): "
                        "fetch or save it again")
    beside = {name.removeprefix(BESIDE): tensors.pop(name)
              for name in list(tensors) if name.startswith(BESIDE)}
    encoder = assembled(path, _config(path, strings["config"], len(tensors)), tensors)
    encoder.meta = _table(path, strings["meta"])
    return encoder, beside


def assembled(path: Path, config: dict[str, Any], tensors: dict[str, Tensor],
              cure: str = "fetch or save it again") -> Encoder:
    """The encoder that `config` (arguments of `build`) describes, with `tensors` in it.

    Args:
        cure: what an error of tensors that do not fit advises.

    Raises:
        UserError: it cannot be built, or a tensor is missing, unknown or of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):  # no memory yet: the file may ask for anything
                outline = build(**config)
        except (TypeError, ValueError, RuntimeError, UserError) as problem:
            why = " ".join(str(problem).split())
            raise UserError(f"{path} describes an encoder that this suite cannot build ({why}): "
                            "update the suite, or save the encoder again") from None
        wrong = misfits(outline.state_dict(), tensors).replace("backbone.", "")
        if wrong:
            raise UserError(f"{path} does not hold a whole {config['name']}: {wrong}; {cure}, or "
                            "use another file")
        encoder = build(**config)
    encoder.load_state_dict(tensors)
    return encoder


def is_own(path: str | Path) -> bool:
    """Whether a file says that this suite wrote it (which does not make it whole)."""
    try:
        return _ours(metadata(Path(path)))
    except UserError:
        return False


def _ours(strings: dict[str, str]) -> bool:
    # One damaged string must not turn ours into a file of somebody else's, which has no digest to
    # check.
    return strings.get("format") == FORMAT or len(strings.keys() & {*STRINGS, "digest"}) > 2


def metadata(path: Path) -> dict[str, str]:
    """The strings in a safetensors file's header; empty when it has none.

    Raises:
        UserError: the file is missing or not a whole safetensors file.
    """
    if not path.is_file():
        raise UserError(f"no file {path}: check the name, or train and save the encoder first")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError) as problem:
        why = " ".join(str(problem).split())
        raise UserError(
            f"{path} is not a whole safetensors file ({why}): fetch or save it again") from None


def facts(path: Path) -> dict[str, Any]:
    """`meta` of one of the suite's checkpoints, unverified; nothing for other files."""
    strings = metadata(path) if is_own(path) else {}
    return _table(path, strings["meta"]) if "meta" in strings else {}


def digest(tensors: dict[str, Tensor], strings: dict[str, str]) -> str:
    """SHA-256 over the strings and over every tensor's name, type, shape and bytes."""
    total = hashlib.sha256()
    for key in STRINGS:
        total.update(f"{key}={strings[key]}\n".encode())
    for name in sorted(tensors):
        value = tensors[name]
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def misfits(own: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """What keeps `given` from being loaded into `own`, in words; "" when everything fits."""
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or unknown:
        said = [f"lacks {name}" for name in missing[:1]]
        said += [f"has an unknown {name}" for name in unknown[:1]]
        return f"it {' and '.join(said)} ({len(missing)} missing, {len(unknown)} unknown)"
    for name, value in own.items():
        if value.shape != given[name].shape:
            return f"{name} is {_shape(given[name])}, not {_shape(value)}"
    return ""


def _shape(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "a single number"


def _config(path: Path, text: str, tensors: int) -> dict[str, Any]:
    """The arguments of `build`, with sizes that no damaged or hostile file can make harmful."""
    config = _table(path, text)
    sizes = [value for value in config.values() if isinstance(value, (int, float))]
    if not all(0 <= size <= LARGEST_OPTION for size in sizes) or config.get("depth", 0) > tensors:
        raise UserError(f"{path} describes an encoder of impossible size ({text[:200]}): "
                        "fetch or save it again")
    return config


def _table(path: Path, text: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise UserError(f"{path} does not say what it holds ({text[:80]!r} is no table): "
                        "fetch or save it again")
    return table
