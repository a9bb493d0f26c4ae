"""The form fields that Colab makes of a notebook's parameters, read as Colab reads them."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

FIELD = re.compile(r"^(\w+) *= *(.+?) *# *@param *(.*)$", re.MULTILINE)
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool}


def problems(path: Path) -> list[str]:
    """What Colab would not make a field of, "NAME: why"; a parameter without a field counts too."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = [
        "".join(cell["source"])
        for cell in cells
        if "parameters" in cell["metadata"].get("tags", [])
    ]
    found = []
    for source in sources:
        fields = {name: _problem(value, rest) for name, value, rest in FIELD.findall(source)}
        names = [
            node.targets[0].id for node in ast.parse(source).body if isinstance(node, ast.Assign)
        ]
        found += [
            f"{name}: {fields.get(name, 'no form field')}" for name in names
            if fields.get(name, "none")
        ]
    return found if sources else ["no parameters"]


def _problem(value: str, rest: str) -> str:
    """Why a field with this default and this description cannot be shown, or ""."""
    try:
        default = ast.literal_eval(value)
        options, flags = _described(rest)
    except (ValueError, SyntaxError):
        return f"cannot be read: {rest}"
    if options is not None:
        free = flags.get("allow-input") == "true"
        return "" if free or default in options else f"{default!r} is not among {options}"
    kind = KINDS.get(flags.get("type", ""))
    fits = kind and isinstance(default, kind) and (kind is bool or not isinstance(default, bool))
    return "" if fits else f"{default!r} is no {flags.get('type', 'known type')}"


def _described(rest: str) -> tuple[list[Any] | None, dict[str, str]]:
    """The options of `["a", "b"] {allow-input: true}`, and its flags."""
    match = re.fullmatch(r"(\[.*\])? *(?:\{(.*)\})?", rest.strip())
    if match is None:
        raise ValueError(rest)
    flags = re.findall(r'([\w-]+) *: *"?([\w.-]+)"?', match[2] or "")
    return (json.loads(match[1]) if match[1] else None), dict(flags)
