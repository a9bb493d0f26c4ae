"""What `python -m helpers weights {list,fetch,check,export}` does.

`release` is in `helpers.cli.commands`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from helpers.common.errors import UserError
from helpers.common.markup import in_columns, wrapped
from helpers.models.classifier_file import is_classifier, load_classifier
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import is_own, load_encoder
from helpers.models.weights.convert import read_weights
from helpers.models.weights.export import export_onnx, export_program
from helpers.models.weights.hub import at_hand, default_folder, fetch, weights_file


def weights(options: argparse.Namespace) -> None:
    """`weights ACTION`: list; fetch a name; check a file; or export a file to a target."""
    if options.action == "list":
        print(details() if options.details else listing())
    elif options.action == "fetch":
        path = fetch(options.name)
        print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {registry.sha256(path)}")
    elif options.action == "export":
        print(exported(options.file, Path(options.target)))
    else:
        print("\n".join(description(weights_file(options.file))))


def listing() -> str:
    """The manifest as a table of at most 100 columns."""
    rows = [(entry.name, entry.encoder, entry.method.partition(" (")[0],
             _cut(entry.dataset, 40),
             entry.size.replace("of unknown size", "?").replace("about ", "~"),
             "yes" if at_hand(entry.name) else "no") for entry in registry.entries().values()]
    heads = ("name", "encoder", "method", "trained on", "size", "here")
    return "\n".join([*in_columns([heads, *rows], gap=" "), "",
                      "accuracies, commands and licences: add --details"])


def details() -> str:
    """What stands in the manifest of each entry, a paragraph each."""
    return "\n\n".join(map(_in_detail, registry.entries().values()))


def _in_detail(entry: registry.Entry) -> str:
    scores = ", ".join(f"{name} {value:.1%}" for name, value in entry.accuracy.items())
    facts = [entry.in_words, scores, f"made by {entry.command}", f"licence: {entry.licence}"]
    lines = [wrapped(fact, indent="    ", further="      ") for fact in facts if fact]
    here = "here" if at_hand(entry.name) else "to be fetched"
    return "\n".join([f"{entry.name}, {entry.encoder}, {here}", *lines])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[:width - 3]}..."


def description(path: Path) -> list[str]:
    """What a file of weights is, what it was trained on, and that it is whole.

    Raises:
        UserError: it is missing, damaged, hostile or of no known layout.
    """
    if not path.exists():
        raise UserError(f"no file {path}: check the name")
    own = is_own(path)
    lines = _own(path) if own else _foreign(path)
    digits = registry.sha256(path)
    entry = _listed(digits)
    lines.append(f"  {path.stat().st_size:,} bytes, SHA-256 {digits}")
    if entry:
        lines.append(f"  listed as {entry.name}: {entry.what}; trained on {entry.dataset}")
    else:
        lines.append("  not in the list of known weights by its hash"
                     + ("" if own else "; the file itself does not say what it was trained on"))
    return [*lines, f"{path} is whole"]


def _listed(digits: str) -> registry.Entry | None:
    """The entry of this SHA-256, as the manifest or the lock of what was fetched has it."""
    locked = registry.lock(default_folder())
    for name, entry in registry.entries().items():
        known = locked.get(name, {}).get("sha256") or entry.sha256
        if known and digits.startswith(known):
            return entry
    return None


def exported(source: str, target: Path) -> str:
    """Write an encoder for other programs; returns what was written, in words.

    Args:
        source: a file of weights, or the name of released ones.
        target: its ending decides the format: .onnx or .pt2.

    Raises:
        UserError: an unknown ending, no whole file of weights, or a program whose features differ.
    """
    kinds = {".onnx": export_onnx, ".pt2": export_program}
    if target.suffix not in kinds:
        raise UserError(f"{target} must end in .onnx (ONNX) or .pt2 (a program of torch.export)")
    path = weights_file(source)
    if is_classifier(path):
        classifier = load_classifier(path)
        kinds[target.suffix](classifier, target)
        return (f"{target}: {target.stat().st_size:,} bytes; takes images N x 3 x height x width, "
                "uint8 of any size, gives N probabilities of "
                f"{', '.join(classifier.classes)}, the same as {source}")
    encoder, _ = read_weights(path)
    kinds[target.suffix](encoder, target)
    size, channels = encoder.config["image_size"], encoder.config["channels"]
    return (
        f"{target}: {target.stat().st_size:,} bytes; takes images N x {channels} x {size} x "
        f"{size} in [-1, 1], gives N x {encoder.num_features} features, the same as {source}")


def _foreign(path: Path) -> list[str]:
    encoder, report = read_weights(path)
    size, channels = encoder.config["image_size"], encoder.config["channels"]
    return [*str(report).splitlines(),
            f"  for images of {channels} x {size} x {size}, taken as trained with "
            f"{encoder.normalisation} normalisation"]


def _own(path: Path) -> list[str]:
    encoder = load_encoder(path)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    options = ", ".join(f"{key} {value}" for key, value in encoder.config.items() if key != "name")
    lines = [f"{path.name}: a checkpoint of this suite, {encoder.name} ({options})",
             f"  {count:,} parameters, {encoder.num_features} features; its digest agrees"]
    return lines + [f"  {key}: {value}" for key, value in encoder.meta.items()]
