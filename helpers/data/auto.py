"""Which dataset suits this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

PUBLIC_HOST = ("pypi.org", 443)


def has_network(timeout: float = 2.0) -> bool:
    """Whether a public server answers within `timeout` seconds; False with FEWLABELS_OFFLINE=1."""
    if os.environ.get("FEWLABELS_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}:
        return False
    answered = threading.Event()
    # In a thread, because looking up a name can take much longer than the timeout of the socket.
    threading.Thread(target=_connect, args=(timeout, answered), daemon=True).start()
    return answered.wait(timeout)


def _connect(timeout: float, answered: threading.Event) -> None:
    with contextlib.suppress(OSError), socket.create_connection(PUBLIC_HOST, timeout=timeout):
        answered.set()


def choose(device: str, network: bool) -> str:
    """The dataset that `auto` stands for: "stl10" on a GPU ("cuda") with a network, else "digits"."""
    return "stl10" if device.startswith("cuda") and network else "digits"
