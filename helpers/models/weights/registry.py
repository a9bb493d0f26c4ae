"""The list of known weights, `weights/manifest.json`, and the lock of what was fetched.

The manifest says what each file is and where it can be had. Where its SHA-256 is not known, the
hash of the first download is written to `weights.lock.json` beside it and holds from then on.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import shutil
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from helpers.common.environment import ROOT
from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically
from helpers.models.weights.checkpoint import load_encoder, save_encoder

MANIFEST = ROOT / "weights" / "manifest.json"
LOCK = "weights.lock.json"
LARGEST_BYTES = 25 << 20  # of a file that is kept in the repository


@dataclass(frozen=True)
class Entry:
    """One line of the manifest.

    Args:
        name: what `fetch` is given.
        what, method, encoder, dataset, command, licence: in words; `command` is what made it.
        epochs: passes over the data; None where nobody says.
        accuracy: protocol -> test accuracy in [0, 1], as its makers report it.
        file: its name on disk.
        bytes, sha256: of the file, None where unknown; 8 or more leading digits of the hash will
            do.
        good_for: which images and tasks, in words; "" where nobody has measured.
        megabytes: about how large the file is, where `bytes` is unknown; None: unknown as well.
        input_size: side in pixels that images are enlarged to on their way in; None: left as they
            are.
        sources: where it is, in the order to try: {"file": path in the repository}, {"drive": id},
            {"drive_folder": id, "name": ...}, {"torchvision": weights enum}, {"url": address}.
    """

    name: str
    what: str
    method: str
    encoder: str
    dataset: str
    epochs: int | None
    accuracy: dict[str, float]
    command: str
    licence: str
    file: str
    bytes: int | None
    sha256: str | None
    sources: list[dict[str, str]]
    good_for: str = ""
    megabytes: int | None = None
    input_size: int | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """What the file is called here, and what its makers call it."""
        return (self.file, *(source["name"] for source in self.sources if "name" in source))

    @property
    def most_bytes(self) -> int | None:
        """How many bytes may come when it is fetched; None where nobody knows."""
        about = self.megabytes and round(1.2e6 * self.megabytes)
        return self.bytes or about

    @property
    def size(self) -> str:
        """How large the file is, in words."""
        if self.bytes:
            return f"{self.bytes / 1e6:.1f} MB"
        return f"about {self.megabytes} MB" if self.megabytes else "of unknown size"

    @property
    def in_words(self) -> str:
        """What the weights are, how large, and what they are good for."""
        good = f"; good for {self.good_for}" if self.good_for else ""
        return f"{self.what} ({self.size}{good})"


def entries() -> dict[str, Entry]:
    """Every entry of the manifest by name; a UserError when it is missing or not in its format."""
    try:
        table = json.loads(MANIFEST.read_text(encoding="utf-8"))
        return {name: _as_expected(Entry(name=name, **fields)) for name, fields in table.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        raise UserError(f"the list of weights {MANIFEST} cannot be read ({problem}): "
                        "get the repository again") from None


def _as_expected(entry: Entry) -> Entry:
    """The entry; a ValueError where a field is of another type, or leads out of its folder."""
    for name, kind in get_type_hints(Entry).items():
        kinds = get_args(kind) if get_origin(kind) is UnionType else (kind,)
        if not isinstance(getattr(entry, name), tuple(get_origin(each) or each for each in kinds)):
            raise ValueError(f"{entry.name}: {name} is not what it has to be")
    inside = [entry.file, *(source.get("file", entry.file) for source in entry.sources)]
    texts = [word for source in entry.sources for word in (*source, *source.values())]
    right = {
        "file": entry.file and PurePath(entry.file).name == entry.file and not any(
            PurePath(path).is_absolute() or ".." in PurePath(path).parts for path in inside),
        "sources": all(isinstance(word, str) for word in texts) and all(
            "name" in source for source in entry.sources if "drive_folder" in source),
        "accuracy": all(isinstance(value, int | float) for value in entry.accuracy.values()),
        "sha256": entry.sha256 is None or re.fullmatch("[0-9a-f]{8,64}", entry.sha256),
        "bytes": entry.bytes is None or entry.bytes > 0}
    wrong = [name for name, fits in right.items() if not fits]
    if wrong:
        raise ValueError(f"{entry.name}: {wrong[0]} is not what it has to be")
    return entry


def of_file(name: str) -> str:
    """The name of the entry whose file is called so, here or by its makers; "" if there is none."""
    return next((entry.name for entry in entries().values() if name in entry.files), "")


def kept(entry: Entry) -> Path | None:
    """The file of an entry where the repository itself has it, else None."""
    paths = [ROOT / source["file"] for source in entry.sources if "file" in source]
    return next((path for path in paths if path.is_file()), None)


def entry(name: str) -> Entry:
    """The entry called `name`; a UserError that offers the nearest names when there is none."""
    known = entries()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or list(known)
        raise UserError(f"no weights are called {name!r}: perhaps {', '.join(near)} "
                        "(`python -m helpers weights list` names all)")
    return known[name]


def card(name: str) -> str:
    """The address of the page that says what released weights learned from and where they end."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['urls']['Repository']}/blob/main/weights/{name}.md"


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_hash(entry: Entry, path: Path, folder: Path) -> str:
    """Why a file is not the one that the manifest or the lock in `folder` records; "" if it is."""
    locked = lock(folder).get(entry.name, {})
    size, wanted = entry.bytes or locked.get("bytes"), locked.get("sha256") or entry.sha256
    if size and path.stat().st_size != size:
        return f"it has {path.stat().st_size:,} bytes and {size:,} are recorded"
    found = sha256(path)
    for recorded in (entry.sha256, wanted):
        if recorded and not found.startswith(recorded):
            return f"its SHA-256 begins with {found[:8]} and {recorded[:8]} is recorded"
    return ""


def lock(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> {"sha256", "bytes", "source"} of everything that was ever fetched into `folder`."""
    path = folder / LOCK
    if not path.exists():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        for fields in table.values():
            if not (isinstance(fields["sha256"], str) and isinstance(fields["bytes"], int)):
                raise ValueError
        return table
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        raise UserError(f"{path} is damaged: restore it, or delete it to trust the files beside it "
                        "anew") from None


def lock_hash(folder: Path, name: str, path: Path, source: str) -> None:
    """Write the hash of a file that has arrived to the lock, unless it is there already."""
    table = lock(folder)
    if name not in table:
        table[name] = {"sha256": sha256(path), "bytes": path.stat().st_size, "source": source}
        write_atomically(folder / LOCK, json.dumps(table, indent=1, sort_keys=True) + "\n")


def _record(entry: Entry) -> dict[str, Any]:
    """An entry as the manifest has it, without its name and what nobody has said."""
    optional = {field.name: field.default for field in fields(Entry)}
    return {name: value for name, value in asdict(entry).items()
            if name != "name" and value != optional[name]}


def release(checkpoint: str | Path, name: str, *, what: str | None = None, licence: str = "MIT",
            accuracy: dict[str, float] | None = None, half: bool = False,
            input_size: int | None = None) -> Entry:
    """Copy one of our own checkpoints beside the manifest and list it there, with what it says of
    itself (method, dataset, epochs, command). An entry of that name is replaced.

    Args:
        what: one line for the list; None puts it together from what the checkpoint says.
        accuracy: protocol -> test accuracy in [0, 1].
        half: keep it in half precision.
        input_size: side in pixels to which images are resized on their way in; None: not at all.

    Raises:
        UserError: it is not a whole checkpoint of the suite or larger than 25 MB, or the name is no
            plain word or taken by weights from elsewhere.
    """
    listed = entries()
    foreign = name in listed and not any("file" in source for source in listed[name].sources)
    if foreign or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UserError(
            f"{name!r} cannot be a new name: take one of small letters, digits and hyphens that "
            "is not in the list yet")
    encoder = load_encoder(checkpoint)
    meta, target = encoder.meta, MANIFEST.parent / f"{name}.safetensors"
    with atomic_path(target) as temporary:
        if half:
            save_encoder(encoder, temporary, half=True, **meta)
        else:
            shutil.copyfile(checkpoint, temporary)
        size = temporary.stat().st_size
        if size > LARGEST_BYTES:
            hint = "" if half else "; try --half"
            raise UserError(
                f"{checkpoint} takes {size >> 20} MB: the repository keeps files of up to 25 MB "
                f"only{hint}")
    what = what or (f"{meta.get('method')} on {meta.get('dataset')}, {meta.get('epochs')} epochs, "
                    "by this suite")
    new = Entry(
        name=name, what=what, method=str(meta.get("method", "")), encoder=encoder.name,
        dataset=str(meta.get("dataset", "")), epochs=meta.get("epochs"), accuracy=accuracy or {},
        command=str(meta.get("command", "")), licence=licence, file=target.name, bytes=size,
        sha256=sha256(target), sources=[{"file": f"{MANIFEST.parent.name}/{target.name}"}],
        good_for=listed[name].good_for if name in listed else "", input_size=input_size)
    table = {key: _record(value) for key, value in {**listed, name: new}.items()}
    write_atomically(MANIFEST, json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    return new
