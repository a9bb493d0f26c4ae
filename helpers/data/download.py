"""Downloads that go on where they stopped, and are checked before they get their final name."""

from __future__ import annotations

import errno
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from torchvision.datasets.utils import check_integrity

from helpers.data.auto import offline
from helpers.errors import UserError
from helpers.progress import Progress

STALL_SECONDS = 30.0  # a server that is silent for so long is asked again
CHUNK_BYTES = 1 << 18


def fetch(url: str, target: Path, md5: str, name: str) -> None:
    """Download `url` to `target`, unless it is there and whole.

    What has arrived is kept as `<target>.part`, and the next call continues it. A file that is at
    `target` already, but damaged, is replaced only by a whole one.

    Args:
        md5: of the whole file.
        name: of the dataset, for messages.

    Raises:
        UserError: no network, a server that fails, a full disk or a wrong checksum.
    """
    if check_integrity(target, md5):
        return
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part, name)
    except (OSError, http.client.HTTPException) as problem:
        raise _explained(problem, target, name) from problem
    if not check_integrity(part, md5):
        part.unlink()
        raise UserError(f"{name}: {target.name} arrived damaged (wrong checksum) and was removed: "
                        f"{_way_out(target)}")
    os.replace(part, target)


def _download(url: str, part: Path, name: str) -> None:
    """Fill `part`, asking again as long as every attempt brings something new."""
    if offline():
        raise ConnectionError("FEWLABELS_OFFLINE is set")
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(url, part, name)
        except (OSError, http.client.HTTPException) as problem:
            after = part.stat().st_size if part.exists() else 0
            if after <= before or getattr(problem, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise


def _attempt(url: str, part: Path, name: str) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "few-labels"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=STALL_SECONDS)
    except urllib.error.HTTPError as problem:
        if have and problem.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the checksum decides
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # this server starts from the beginning
        total = have + int(response.headers.get("Content-Length") or 0)
        with open(part, "ab" if have else "wb") as file, \
                Progress(total >> 20, f"downloading {name}", "MB", start=have >> 20) as bar:
            while chunk := response.read(CHUNK_BYTES):
                megabytes = file.tell() >> 20
                file.write(chunk)
                bar.update((file.tell() >> 20) - megabytes)
        if part.stat().st_size < total:
            raise ConnectionError("the connection ended early")


def _explained(problem: Exception, target: Path, name: str) -> UserError:
    if getattr(problem, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{name}: the disk of {target.parent} is full: free some space and run again, "
                         "or choose another data folder")
    why = " ".join(str(getattr(problem, "reason", problem)).split()) or type(problem).__name__
    damaged = f" ({target} is there, but damaged)" if target.exists() else ""
    return UserError(f"{name}: the download failed, {why}{damaged}: {_way_out(target)}")


def _way_out(target: Path) -> str:
    return (f"check the connection and run again (what has arrived is kept), put {target.name} "
            f"into {target.parent} by hand, or use the dataset digits")
