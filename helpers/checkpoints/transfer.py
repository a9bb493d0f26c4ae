"""One attempt to get one file from one place: Google Drive (by gdown) or an address on the web.

What has arrived of a file is kept beside it and the next attempt goes on from there.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
from pathlib import Path

import requests

from helpers.data.auto import offline
from helpers.errors import UserError
from helpers.progress import Progress

SILENCE_SECONDS = 30.0  # a server that says nothing for so long is asked again
CHUNK_BYTES = 1 << 16
NO_NETWORK = "no connection (is there a network?)"
QUOTA = "Google Drive's quota for this file is used up, which lasts up to 24 hours"
NOT_SHARED = "Google Drive does not give the file out (no longer shared, or too many downloads)"


class Failed(Exception):
    """An attempt that failed, in words; `again` says whether another one may help."""

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


def from_drive(file_id: str, target: Path) -> None:
    """Download a shared file of Google Drive to `target` with gdown, which shows its progress.

    Raises:
        Failed: quota, not shared, no network, an interrupted download.
    """
    gdown = _gdown()
    # gdown 5 has no time limit; where there is one, a silent server is not waited for for ever.
    limits = {"timeout": SILENCE_SECONDS} if "timeout" in inspect.signature(gdown.download).parameters else {}
    try:
        got = gdown.download(id=file_id, output=str(target), resume=True, use_cookies=False, **limits)
    except Exception as problem:  # gdown lets through whatever its own helpers raise
        raise _drive_failure(problem) from problem
    if got is None or not target.is_file():
        _forget_parts(target)
        raise Failed("gdown gave no file", again=True)


def from_drive_folder(folder_id: str, name: str, target: Path) -> None:
    """Download the file called `name` from a shared folder; letters and digits of the name have to agree."""
    gdown = _gdown()
    try:
        listed = gdown.download_folder(id=folder_id, quiet=True, skip_download=True, use_cookies=False)
    except Exception as problem:
        raise _drive_failure(problem) from problem
    same = [file for file in listed or [] if _letters(Path(file.path).name) == _letters(name)]
    if not same:
        names = ", ".join(Path(file.path).name for file in listed or []) or "nothing"
        raise Failed(f"the Drive folder has no {name}, but {names[:200]}")
    from_drive(same[0].id, target)


def from_web(url: str, target: Path) -> None:
    """Download an address to `target`, going on where an earlier attempt has stopped.

    Raises:
        Failed: no network, an error of the server, a connection that ended early.
        UserError: the disk is full.
    """
    if offline():
        raise Failed("FEWLABELS_OFFLINE is set")
    part = target.with_name(f"web-{target.name}.part")
    have = part.stat().st_size if part.exists() else 0
    # Encoded bytes could not be counted; a range of them would make no sense.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=SILENCE_SECONDS) as answer:
            _check_status(answer, part)
            if answer.status_code != 416:
                _receive(answer, part, have, target.name)
    except requests.RequestException as problem:
        kept = part.exists() and part.stat().st_size > have
        raise Failed("the connection broke off" if kept else NO_NETWORK, again=True) from problem
    except OSError as problem:
        raise _disk_failure(problem, target) from problem
    os.replace(part, target)


def _check_status(answer: requests.Response, part: Path) -> None:
    if answer.status_code == 416:  # asked for what comes after the end: whole, or not this file at all
        if answer.headers.get("Content-Range", "").endswith(f"/{part.stat().st_size}"):
            return
        part.unlink()
        raise Failed("the partial download does not belong to the file there", again=True)
    if answer.status_code not in (200, 206):
        raise Failed(f"the server answers {answer.status_code} {answer.reason}",
                     again=answer.status_code in (408, 429) or answer.status_code >= 500)


def _receive(answer: requests.Response, part: Path, have: int, title: str) -> None:
    start = re.match(rf"bytes {have}-", answer.headers.get("Content-Range", ""))
    if answer.status_code == 200 or not start:
        have = 0  # this server starts from the beginning
        if answer.status_code == 206:
            part.unlink(missing_ok=True)
            raise Failed("the server sent another part than was asked for", again=True)
    total = have + int(answer.headers.get("Content-Length") or 0)
    with open(part, "ab" if have else "wb") as file, \
            Progress(total >> 10, f"downloading {title}", "KB", start=have >> 10) as bar:
        for chunk in answer.iter_content(CHUNK_BYTES):
            before = file.tell() >> 10
            file.write(chunk)
            bar.update((file.tell() >> 10) - before)
    if part.stat().st_size < total:
        raise Failed("the connection ended early", again=True)


def _gdown() -> object:
    if offline():
        raise Failed("FEWLABELS_OFFLINE is set")
    try:
        import gdown
    except ImportError:
        raise Failed("the package gdown is missing: pip install gdown") from None
    return gdown


def _drive_failure(problem: Exception) -> Exception:
    text = " ".join(str(problem).split())
    if "Too many users" in text or "quota" in text.lower():
        return Failed(QUOTA)
    if isinstance(problem, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        return Failed(NO_NETWORK, again=True)
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError("the disk is full: make room, or choose another folder")
    if "retrieve" in text or "permission" in text:
        return Failed(NOT_SHARED)
    return Failed(f"gdown says: {text[:160] or type(problem).__name__}", again=True)


def _disk_failure(problem: OSError, target: Path) -> Exception:
    return UserError(f"cannot write to {target.parent} ({problem.strerror or problem}): make room, or choose "
                     "another folder")


def _forget_parts(target: Path) -> None:
    for part in target.parent.glob(f"{target.name}*.part"):
        part.unlink(missing_ok=True)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()
