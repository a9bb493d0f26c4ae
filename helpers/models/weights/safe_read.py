"""Tensors out of anybody's file, without running anything that the file holds.

A .pth file is a pickle, and a pickle is a program. What it would do is read first (see
`pickle_check`); only then does torch's `weights_only` unpickler make tensors and plain containers
of it.
"""

from __future__ import annotations

import io
import mmap
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.kinds import kind_of
from helpers.models.weights.checkpoint import metadata
from helpers.models.weights.harmless import STAND_INS
from helpers.models.weights.pickle_check import MOST_BYTES, Machine, Refused

SAFETENSORS, ZIP, LEGACY = "safetensors", "torch zip", "torch before 1.6"
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # before torch 1.6
WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors", ".tar")  # in an archive of something else
LEGACY_PICKLES = 5  # before the numbers: magic number, protocol, system, content, keys
DEEPEST = 8  # levels of dicts and lists; real checkpoints have four
MOST_VALUES = 1_000_000  # looked at in all; lists that share their items have more than they hold
USUAL_NAME = 100  # characters; longer ones count as several values
MOST_ENTRIES = 50_000  # of an archive: a file each tensor
LARGEST_HEADER = 4 << 20  # bytes of a safetensors file; real ones take kilobytes
WAYS_OUT = "fetch it again or use another file"


def sniff(path: Path) -> str:
    """What a file's first bytes say it is; a UserError if that is nothing to be read here."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file of weights in it")
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
        if int.from_bytes(head[:8], "little") > LARGEST_HEADER:
            raise UserError(f"{path} describes more tensors than any weights have: {WAYS_OUT}")
        return SAFETENSORS
    if head.startswith(b"PK\x03\x04"):
        return ZIP
    if head.startswith(LEGACY_MAGIC):
        return LEGACY
    if head.startswith(b"\x80"):
        raise UserError(
            f"{path} is a bare pickle, which could run anything and is not opened: {WAYS_OUT}")
    what, _, cure = kind_of(head).partition(": ")
    if what:
        raise UserError(f"{path} is {what}, in place of weights: {cure or WAYS_OUT}")
    if head[8:9] == b"{":
        raise UserError(f"{path} is a safetensors file that was cut off: {WAYS_OUT}")
    if not any(head):
        raise UserError(f"{path} begins with nothing but zeros, as an unfinished download does: "
                        f"{WAYS_OUT}")
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
    content = _guarded(path, load_file) if kind == SAFETENSORS else load_pickled(path)
    tensors = {name: _plain(path, name, value) for name, value in _leaves(path, content)}
    if not tensors:
        raise UserError(f"{path} holds no tensors: {WAYS_OUT}")
    return tensors


def load_pickled(path: Path) -> Any:
    """What torch.save wrote, once its pickle has been looked through.

    Raises:
        UserError: missing, truncated, damaged, or it asks for more than tensors and containers or
            for more memory than the file explains.
    """
    kind = sniff(path)
    if kind == ZIP:
        _check_zip(path)
    machine = Machine()
    _guarded(path, lambda path: _look_through(path, kind, machine))
    claimed, size = sum(machine.claimed.values()), path.stat().st_size
    if claimed > size:
        raise UserError(f"{path} claims to hold {claimed:,} bytes of numbers and has {size:,}: "
                        f"{WAYS_OUT}")
    return _guarded(path, _load)


def _look_through(path: Path, kind: str, machine: Machine) -> None:
    if kind == ZIP:
        # torch's own reader, so that both look at the same bytes
        machine.read(io.BytesIO(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")))
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for _ in range(LEGACY_PICKLES):
            machine.read(whole)


def _load(path: Path) -> Any:
    harmless = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    with torch.serialization.safe_globals(harmless), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def _guarded(path: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(path)
    except Exception as problem:  # a damaged pickle can raise anything at all
        text = " ".join(str(problem).split()) or type(problem).__name__
        what = getattr(problem, "what", "")
        if what or "weights_only" in text.lower() or "Unsupported" in text:
            raise UserError(
                f"{path} holds more than tensors ({what[:80] or 'something else'}), which could "
                "run anything and is not opened: save its state_dict alone where it was made, or "
                "use another") from None
        if isinstance(problem, Refused):
            raise UserError(f"{path} is refused ({text[:120]}): {WAYS_OUT}") from None
        raise UserError(f"{path} is damaged or cut off ({text[:120]}): {WAYS_OUT}") from None


def _check_zip(path: Path) -> None:
    """Refuse a cut-off or altered archive, and one that unpacks to more than it is."""
    try:
        _count_entries(path)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _name_other_archives(path, archive.namelist())
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise UserError(
                    f"{path} is a compressed archive, not a file of torch.save: unpack it first")
            _check_sizes(path, entries)
            damaged = archive.testzip()
    except UserError:
        raise
    except Exception as problem:  # zipfile raises a dozen kinds on damaged archives
        raise UserError(f"{path} is damaged or cut off ({problem}): {WAYS_OUT}") from None
    if damaged:
        raise UserError(f"{path} is damaged (wrong checksum of {damaged}): {WAYS_OUT}")


def _name_other_archives(path: Path, names: list[str]) -> None:
    """Refuse a zip that is something else than a file of torch.save, by its own name."""
    packed = [name for name in names if name.lower().endswith(WEIGHTS)]
    if packed:
        raise UserError(f"{path} is an archive that holds {packed[0]}: unpack it and name that "
                        "file")
    if any(name.endswith(".npy") for name in names):
        raise UserError(f"{path} holds NumPy arrays (.npz), which are not known here: convert them "
                        "to a state_dict of PyTorch, or use another file")
    if any("/code/" in name for name in names):
        raise UserError(f"{path} is a TorchScript program, which is not run here: save its "
                        "state_dict where you trust it (torch.jit.load), or use another file")


def _count_entries(path: Path) -> None:
    """Refuse a list of contents that would take more memory than the file."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        count, at = 0, whole.find(b"PK\x01\x02")
        while at >= 0 and count <= MOST_ENTRIES:
            count, at = count + 1, whole.find(b"PK\x01\x02", at + 4)
    if count > MOST_ENTRIES:
        raise UserError(f"{path} lists more files inside than any weights have: {WAYS_OUT}")


def _check_sizes(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive whose entries share bytes, a name, or are larger than they can be."""
    sizes = sum(max(entry.file_size, entry.compress_size) for entry in entries)
    names = {entry.filename.lower() for entry in entries}
    if sizes > path.stat().st_size or len(names) < len(entries):
        raise UserError(f"{path} claims to hold {sizes:,} bytes in {len(entries)} files, which it "
                        f"cannot: {WAYS_OUT}")
    if any(entry.filename.endswith(".pkl") and entry.file_size > MOST_BYTES for entry in entries):
        raise UserError(f"{path} holds more beside its tensors than any weights do: {WAYS_OUT}")


def _leaves(path: Path, content: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested containers, with their places."""
    waiting: list[tuple[str, Any, int]] = []
    if isinstance(content, (Tensor, Mapping, list, tuple)):
        waiting.append(("", content, 0))
    left = MOST_VALUES
    while waiting:
        place, value, depth = waiting.pop()
        if isinstance(value, Tensor):
            yield place or "tensor", value
            continue
        if depth > DEEPEST:
            raise UserError(
                f"{path} is nested deeper than {DEEPEST} levels, as no weights are: {WAYS_OUT}")
        start = f"{place}/" if place else ""
        left -= len(value) * (1 + len(start) // USUAL_NAME)
        if left < 0:
            raise UserError(f"{path} refers to more than {MOST_VALUES:,} values, as no weights "
                            f"do: {WAYS_OUT}")
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        waiting += [(f"{start}{key}", inner, depth + 1) for key, inner in items
                    if isinstance(inner, (Tensor, Mapping, list, tuple))]


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
