"""Where files of weights come from: one attempt at Google Drive (with gdown) or an address.

A source is a dictionary of the manifest, see `helpers.models.weights.registry.Entry`.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

import requests
from torchvision.models import get_weight

from helpers.common.download import MOST_BYTES, SILENCE_SECONDS, Failed, resume
from helpers.common.environment import offline
from helpers.common.errors import UserError
from helpers.common.files import FULL

TITLES = {"drive": "Google Drive", "drive_folder": "Google Drive", "torchvision": "torchvision",
          "file": "the repository"}
PACKED_CHUNK = 1 << 14  # bytes of a packed answer that are unpacked at a time
LONGEST_PAGE = 1 << 24  # bytes of a page of Drive, which are far fewer


def title(source: dict[str, str]) -> str:
    """What a source is called, in words; an address by its host."""
    known = [words for kind, words in TITLES.items() if kind in source]
    return known[0] if known else urlsplit(source.get("url", "")).netloc


def download_from(source: dict[str, str], target: Path, most: int | None = None) -> None:
    """One attempt to download from a source to `target`; what arrived before is continued.

    Args:
        most: bytes that the file has, where that is known.

    Raises:
        Failed: no network, a refusal, an interrupted download, or nothing to download there.
        UserError: the disk is full.
    """
    if "drive" in source:
        _from_drive(source["drive"], target, most)
    elif "drive_folder" in source:
        _from_drive(_file_of_folder(source["drive_folder"], source["name"]), target, most)
    elif "torchvision" in source:
        try:
            address = get_weight(source["torchvision"]).url
        except (ValueError, AttributeError, KeyError):
            raise Failed(f"this torchvision has no {source['torchvision'][:80]}") from None
        _from_web(address, target, most)
    elif "url" in source:
        _from_web(source["url"], target, most)
    else:
        raise Failed("the repository's copy is missing")


class TooMuch(Exception):
    """An answer that is longer than what was asked for can be."""


@contextmanager
def _answers_of_at_most(most: int) -> Iterator[None]:
    """Ends every answer of the package requests, gdown's among them, that grows beyond `most`
    bytes, unpacked where it is packed."""
    whole = requests.Response.iter_content

    def counted(answer: requests.Response, chunk_size: int | None = 1, *rest: bool) -> Iterator:
        packed = answer.headers.get("Content-Encoding", "identity").lower() != "identity"
        amount = 0
        for chunk in whole(answer, PACKED_CHUNK if packed else chunk_size, *rest):
            amount += len(chunk)
            if amount > most:
                raise TooMuch(f"the server sends more than the {most:,} bytes that the file can "
                              "have")
            yield chunk

    with mock.patch.object(requests.Response, "iter_content", counted):
        yield


def _from_drive(file_id: str, target: Path, most: int | None) -> None:
    """Download a shared file with gdown, which shows its progress."""
    gdown = _gdown()
    limits = {}
    if "timeout" in inspect.signature(gdown.download).parameters:  # gdown 5 has no such argument
        limits["timeout"] = SILENCE_SECONDS
    try:
        with _answers_of_at_most(max(most or MOST_BYTES, LONGEST_PAGE)):
            got = gdown.download(id=file_id, output=str(target), resume=True, use_cookies=False,
                                 **limits)
    except TooMuch as problem:
        _remove_parts(target)
        raise Failed(str(problem)) from problem
    except Exception as problem:  # gdown lets through whatever its own helpers raise
        raise _drive_failure(problem) from problem
    if got is None or not target.is_file():
        _remove_parts(target)
        raise Failed("gdown gave no file", again=True)


def _remove_parts(target: Path) -> None:
    for part in target.parent.glob(f"{target.name}*.part"):
        part.unlink(missing_ok=True)


def _file_of_folder(folder_id: str, name: str) -> str:
    """The id of the file called `name` in a shared folder; only letters and digits have to
    agree."""
    gdown = _gdown()
    try:
        with _answers_of_at_most(LONGEST_PAGE):
            listed = gdown.download_folder(id=folder_id, quiet=True, skip_download=True,
                                           use_cookies=False)
    except TooMuch as problem:
        raise Failed("Google Drive's page has no end") from problem
    except Exception as problem:
        raise _drive_failure(problem) from problem
    same = [file for file in listed or [] if _letters(Path(file.path).name) == _letters(name)]
    if not same:
        names = ", ".join(Path(file.path).name for file in listed or []) or "nothing"
        raise Failed(f"the Drive folder has no {name}, but {names[:200]}")
    return same[0].id


def _from_web(url: str, target: Path, most: int | None) -> None:
    part = target.with_name(f"web-{target.name}.part")
    try:
        resume(url, part, target.name, most)
        os.replace(part, target)
    except OSError as problem:
        raise UserError(
            f"cannot write to {target.parent} ({problem.strerror or problem}): make room, or "
            "choose another folder") from problem


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
        return Failed("Google Drive's quota for this file is used up, which lasts up to 24 hours")
    if isinstance(problem, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        return Failed("no connection (is there a network?)", again=True)
    if isinstance(problem, OSError) and problem.errno in FULL:
        return UserError("the disk is full: make room, or choose another folder")
    if "retrieve" in text or "permission" in text:
        return Failed("Google Drive does not give the file out (no longer shared, or too many "
                      "downloads)")
    return Failed(f"gdown says: {text[:160] or type(problem).__name__}", again=True)


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()
