"""Colab's dialogs: a person who always uploads the file that UPLOADED_FILE names, and whose browser
takes every download."""

import os
from pathlib import Path


def upload() -> dict[str, bytes]:
    """The chosen files, name -> content; like Colab it leaves a copy of each in the current
    folder."""
    chosen = [Path(name) for name in os.environ.get("UPLOADED_FILE", "").split(os.pathsep) if name]
    content = {path.name: path.read_bytes() for path in chosen}
    for name, data in content.items():
        Path(name).write_bytes(data)
        print(f"Saving {name} to {name}")
    return content


def download(filename: str) -> None:
    """The browser saves a file, which has to be there."""
    print(f"Downloading {filename}: {Path(filename).stat().st_size} bytes")
