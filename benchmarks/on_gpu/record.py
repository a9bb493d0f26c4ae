"""What a run on a borrowed machine knows so far, in a file that is whole at any second."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from helpers.common.errors import UserError
from helpers.common.files import write_atomically
from helpers.models.encoder import Encoder
from helpers.models.weights.checkpoint import save_encoder

PART = 12 << 20  # bytes; larger files may not come back


class Record:
    """summary.json in `out`, written anew whenever something is added.

    Args:
        seconds: that the whole run may take.
        began: when it did, by `time.monotonic`; None is now.
    """

    def __init__(self, out: Path, seconds: float, began: float | None = None) -> None:
        self.out, self.seconds = out, seconds
        self.began = time.monotonic() if began is None else began
        self.facts: dict[str, dict[str, Any]] = {}
        out.mkdir(parents=True, exist_ok=True)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.began + self.seconds - time.monotonic()

    def add(self, stage: str, **facts: Any) -> None:
        """Keep facts of a stage, and print them."""
        self.facts.setdefault(stage, {}).update(facts)
        write_atomically(self.out / "summary.json",
                         json.dumps(self.facts, indent=1, default=str) + "\n")
        print(f"[{self.seconds - self.left:5.0f} s] {stage}: {facts}", flush=True)

    def run(self, stage: str, least: float, work: Callable, *arguments: Any) -> Any:
        """What `work(*arguments)` returns; None where it failed, or fewer than `least` seconds are
        left: the next stage has its turn all the same."""
        if self.left < least:
            self.add(stage, skipped=f"{self.left:.0f} seconds left, {least:.0f} needed")
            return None
        began = time.monotonic()
        try:
            return work(*arguments)
        except Exception as problem:
            self.add(stage, error=f"{type(problem).__name__}: {problem}",
                     where=traceback.format_exc()[-1500:])
            return None
        finally:
            self.add(stage, seconds=round(time.monotonic() - began, 1))

    def attempt(self, stage: str, name: str, work: Callable, *arguments: Any) -> Any:
        """Keep what `work(*arguments)`, a part of a stage, returns, or why it failed; returns the
        same, or None."""
        found = None
        try:
            found = work(*arguments)
            self.add(stage, **{name: found})
        except Exception as problem:
            self.add(stage, **{name: f"failed, {type(problem).__name__}: {str(problem)[:300]}"})
        return found

    def keep(self, stage: str, encoder: Encoder, **meta: Any) -> None:
        """Write an encoder in half precision, in parts; `joined` makes a file of them.

        The parts before stay until the summary names these.
        """
        before = self.facts.get(stage, {}).get("weights", [])
        whole = save_encoder(encoder, self.out / f".{stage}.safetensors", half=True, **meta)
        data = whole.read_bytes()
        whole.unlink()
        step = meta.get("steps", 0)
        parts = [data[start:start + PART] for start in range(0, len(data), PART)]
        names = [f"{stage}-{step}.safetensors.{number}" for number in range(len(parts))]
        for name, part in zip(names, parts, strict=True):
            write_atomically(self.out / name, part)
        self.add(stage, weights=names)
        for name in set(before) - set(names):
            with suppress(OSError):
                (self.out / name).unlink()


def facts_in(folder: Path) -> dict[str, dict[str, Any]]:
    """What a run has left in its summary.

    Raises:
        UserError: there is none.
    """
    try:
        return json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError):
        raise UserError(f"no summary.json of benchmarks/gpu.py in {folder}: name the folder that "
                        "was its --out") from None


def joined(folder: Path, stage: str) -> bytes:
    """The file whose parts a run has left."""
    names = facts_in(folder).get(stage, {}).get("weights")
    if not names:
        raise UserError(f"the run in {folder} has no weights of {stage}")
    return b"".join((folder / name).read_bytes() for name in names)
