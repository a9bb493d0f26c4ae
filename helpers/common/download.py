"""Downloads that go on where they stopped, and are checked before they get their final name."""

from __future__ import annotations

import os
import re
from pathlib import Path

import requests
from torchvision.datasets.utils import check_integrity
from urllib3.exceptions import HTTPError

from helpers.common.environment import offline
from helpers.common.errors import UserError
from helpers.common.files import FULL
from helpers.common.progress_bar import progress

SILENCE_SECONDS = 30.0  # a server that says nothing for so long is asked again
CHUNK_BYTES = 1 << 18
LARGE_BYTES = 1 << 24  # from here on progress counts in MB
MOST_BYTES = 8 << 30  # of a file whose size nobody knows


class Failed(Exception):
    """An attempt that failed, in words; `again` says whether another one may help."""

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


def download(url: str, target: Path, md5: str, name: str) -> None:
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
    except (Failed, OSError) as problem:
        raise _explained(problem, target, name) from problem
    if not check_integrity(part, md5):
        part.unlink()
        raise UserError(f"{name}: {target.name} arrived damaged (wrong checksum) and was removed: "
                        f"{_way_out(target)}")
    os.replace(part, target)


def resume(url: str, part: Path, name: str, most: int | None = None) -> None:
    """One attempt to fill `part` with what is at `url`, going on where an earlier one has stopped.

    Args:
        name: of what is downloaded, for the progress bar.
        most: bytes that the file has, where that is known; one that is larger is not kept.

    Raises:
        Failed: no network, an error of the server, a connection that ended early, or an answer that
            cannot be the file.
        OSError: `part` cannot be written.
    """
    if offline():
        raise Failed("FEWLABELS_OFFLINE is set")
    have = _size(part)
    # Encoded bytes could not be counted; a range of them would make no sense.
    headers = {"Accept-Encoding": "identity", "User-Agent": "few-labels"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=SILENCE_SECONDS) as answer:
            _check_status(answer, part)
            if answer.status_code != 416:
                _receive(answer, part, have, name, most or MOST_BYTES)
    except (requests.RequestException, HTTPError, ValueError) as problem:
        why = str(problem).rpartition(": ")[2].strip("'\")>")
        raise Failed("the connection broke off" if _size(part) > have else f"no connection ({why})",
                     again=True) from problem


def _download(url: str, part: Path, name: str) -> None:
    """Fill `part`, asking again as long as every attempt brings something new."""
    while True:
        before = _size(part)
        try:
            return resume(url, part, name)
        except Failed as problem:
            if not problem.again or _size(part) <= before:
                raise


def _check_status(answer: requests.Response, part: Path) -> None:
    # asked for what comes after the end: whole, or not this file at all
    if answer.status_code == 416:
        if answer.headers.get("Content-Range", "").endswith(f"/{_size(part)}"):
            return
        part.unlink()
        raise Failed("the partial download does not belong to the file there", again=True)
    if answer.status_code not in (200, 206):
        raise Failed(f"the server answers {answer.status_code} {answer.reason}",
                     again=answer.status_code in (408, 429) or answer.status_code >= 500)


def _receive(answer: requests.Response, part: Path, have: int, name: str, most: int) -> None:
    if answer.status_code == 200:
        have = 0  # this server starts from the beginning
    elif not re.match(rf"bytes {have}-|$", answer.headers.get("Content-Range", "")):
        part.unlink(missing_ok=True)
        raise Failed("the server sent another part than was asked for", again=True)
    # or urllib3 throws away the last piece of what has come
    answer.raw.enforce_content_length = False
    total = have + _announced(answer, part)
    _check_amount(total, most, part)
    shift, unit = (20, "MB") if total >= LARGE_BYTES else (10, "KB")
    with open(part, "ab" if have else "wb") as file, \
            progress(None, f"downloading {name}", unit, total=total >> shift,
                     initial=have >> shift) as bar:
        for chunk in answer.iter_content(CHUNK_BYTES):
            before = file.tell() >> shift
            _check_amount(file.tell() + len(chunk), most, part)
            file.write(chunk)
            bar.update((file.tell() >> shift) - before)
    if _size(part) < total:
        raise Failed("the connection ended early", again=True)


def _announced(answer: requests.Response, part: Path) -> int:
    """How many bytes the server says that it sends; 0 where it does not say."""
    length = answer.headers.get("Content-Length") or "0"
    packed = answer.headers.get("Content-Encoding", "identity").lower() != "identity"
    if packed or not (length.isascii() and length.isdigit()):
        part.unlink(missing_ok=True)
        raise Failed("the server packs the file, which was not asked for" if packed
                     else f"the server announces {length[:40]!r} bytes")
    return int(length)


def _check_amount(amount: int, most: int, part: Path) -> None:
    if amount > most:
        part.unlink(missing_ok=True)
        raise Failed(f"the server sends more than the {most:,} bytes that the file can have")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _explained(problem: Exception, target: Path, name: str) -> UserError:
    if getattr(problem, "errno", None) in FULL:
        return UserError(
            f"{name}: the disk of {target.parent} is full: free some space and run again, "
            "or choose another data folder")
    why = " ".join(str(problem).split()) or type(problem).__name__
    damaged = f" ({target} is there, but damaged)" if target.exists() else ""
    return UserError(f"{name}: the download failed, {why}{damaged}: {_way_out(target)}")


def _way_out(target: Path) -> str:
    return (f"check the connection and run again (what has arrived is kept), put {target.name} "
            f"into {target.parent} by hand, or use the dataset digits")
