"""Which dataset suits this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

PUBLIC_HOST = ("ai.stanford.edu", 80)  # serves STL-10, the dataset that `choose` decides about


def has_network(timeout: float = 2.0) -> bool:
    """Whether the server of STL-10 answers within `timeout` seconds; never with FEWLABELS_OFFLINE=1."""
    if offline():
        return False
    answered = threading.Event()
    # In a thread, because looking up a name can take much longer than the timeout of the socket.
    thread = threading.Thread(target=_connect, args=(timeout, answered), daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def offline() -> bool:
    """Whether FEWLABELS_OFFLINE=1 asks to leave the network alone."""
    return os.environ.get("FEWLABELS_OFFLINE", "").strip().lower() in {"1", "true", "yes", "on"}


def _connect(timeout: float, answered: threading.Event) -> None:
    with contextlib.suppress(OSError), socket.create_connection(PUBLIC_HOST, timeout=timeout):
        answered.set()


def choose(device: str, network: bool) -> str:
    """The dataset that `auto` stands for: "stl10" on a GPU ("cuda") with a network, else "digits"."""
    return "stl10" if device.startswith("cuda") and network else "digits"
