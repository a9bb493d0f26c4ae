"""The names that a room offers, imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def offer(room: str, **names: str) -> tuple[Callable[[str], Any], list[str]]:
    """`__getattr__` and `__all__` of a room.

    A notebook's first cell asks a room for one name; without this it would wait for the packages
    that all the others need.

    Args:
        room: the package's `__name__`.
        names: for each module of the room (a dot is written as two underscores) what it offers, in
            one string.
    """
    homes = {name: f"{room}.{module.replace('__', '.')}"
             for module, offered in names.items() for name in offered.split()}

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[room], name, value)
        return value

    return get, sorted(homes)
