"""What `python -m helpers weights {list,fetch NAME,check FILE}` does (`release` is in `helpers.commands`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from helpers.checkpoints import manifest
from helpers.checkpoints.fetching import default_folder, fetch
from helpers.checkpoints.foreign import read_weights
from helpers.checkpoints.saving import is_own, load_encoder
from helpers.errors import UserError


def weights(options: argparse.Namespace) -> None:
    """Run one action: `options.action` is "list", "fetch" (`options.name`) or "check" (`options.file`)."""
    if options.action == "list":
        print("\n".join(listing()))
    elif options.action == "fetch":
        path = fetch(options.name)
        print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {manifest.sha256(path)}")
    else:
        print("\n".join(description(Path(options.file))))


def listing() -> list[str]:
    """The manifest as lines of text: name, what it is, how good, and whether it is here."""
    lines = []
    for entry in manifest.entries().values():
        here = manifest.kept(entry) or (default_folder() / entry.file).is_file()
        scores = ", ".join(f"{name} {value:.1%}" for name, value in entry.accuracy.items())
        lines += [f"{entry.name:<28} {entry.encoder:<10} {'here' if here else 'to be fetched'}",
                  f"    {entry.what}" + (f" ({scores})" if scores else ""),
                  f"    made by {entry.command}; licence: {entry.licence}"]
    return lines


def description(path: Path) -> list[str]:
    """What a file of weights is, what it was trained on, and that it is whole.

    Raises:
        UserError: it is missing, damaged, hostile or of no known layout.
    """
    if not path.exists():
        raise UserError(f"no file {path}: check the name")
    lines = _own(path) if is_own(path) else str(read_weights(path)[1]).splitlines()
    digits = manifest.sha256(path)
    same = [name for name, entry in manifest.entries().items()
            if entry.sha256 and digits.startswith(entry.sha256)]
    lines.append(f"  {path.stat().st_size:,} bytes, SHA-256 {digits}")
    return [*lines, f"  listed as {same[0]}" if same else "  not in the list of known weights by its hash",
            f"{path} is whole"]


def _own(path: Path) -> list[str]:
    encoder = load_encoder(path)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    options = ", ".join(f"{key} {value}" for key, value in encoder.config.items() if key != "name")
    lines = [f"{path.name}: a checkpoint of this suite, {encoder.name} ({options})",
             f"  {count:,} parameters, {encoder.num_features} features; its digest agrees"]
    return lines + [f"  {key}: {value}" for key, value in encoder.meta.items()]
