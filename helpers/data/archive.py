"""A zip file of images as a folder: unpacked once into the cache, and never outside of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from helpers.common.errors import UserError
from helpers.common.files import FULL, one_at_a_time
from helpers.data.folder_names import is_leftover, split_of
from helpers.data.images import EXTENSIONS, UNREAD

# an image is compressed already: what unpacks to more than this many times its size is a trap
MOST_TIMES = 200
LEAST_TRAP = 1 << 24  # bytes; smaller ones do no harm
UTF8_NAME = 0x800  # a flag of a zip's member
KNOWN = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
DRIVE = re.compile("[A-Za-z]:")  # of Windows


def unpacked(archive: Path, data_dir: Path) -> Path:
    """The folder with the images of a zip file; a second call finds what the first one unpacked.

    Only images are taken, and only under names that stay inside. If the zip holds one folder with
    everything in it, that folder is returned.

    Raises:
        UserError: it is no zip, damaged, encrypted, holds no images, reaches outside, or unpacks to
            more than the disk holds or than its own size can explain.
    """
    state = archive.stat()
    text = f"{archive.resolve()} {state.st_size} {state.st_mtime_ns}"
    mark = hashlib.blake2b(text.encode(), digest_size=5).hexdigest()
    folder = data_dir / "cache" / f"zip-{mark}" / archive.stem
    if not folder.is_dir():
        with one_at_a_time(folder.parent):
            _unpack_once(archive, folder)
    first, *others = folder.iterdir()
    wrapped = not others and first.is_dir() and not split_of(first.name)[0]
    return first if wrapped else folder


def _unpack_once(archive: Path, folder: Path) -> None:
    """Unpack into `folder`, unless another process has just done so."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob(".part-*"):  # of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    if folder.is_dir():
        return
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as temporary:
        made = Path(temporary, folder.name)
        made.mkdir()
        _unpack(archive, made)
        made.rename(folder)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            images = [member for member in file.infolist() if _is_image(member)]
            members = [member for member in images if not _is_hidden(member)]
            _check(archive, members, folder)
            _say(archive, members, len(images) - len(members))
            for member in members:
                member.filename = str(_name(member))
                file.extract(member, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as problem:
        raise UserError(
            f"{archive}: this zip file is truncated or damaged ({' '.join(str(problem).split())}): "
            "copy or download it again") from problem
    except RuntimeError as problem:  # what zipfile raises for a missing password
        raise UserError(
            f"{archive}: this zip file is encrypted: unpack it and name the folder") from problem
    except OSError as problem:
        reason = problem.strerror or problem
        if problem.filename == str(archive):
            raise UserError(f"{archive}: cannot be read ({reason}): change its permissions, or "
                            "copy it again") from problem
        if problem.errno == errno.ENAMETOOLONG:
            raise UserError(f"{archive}: {Path(problem.filename).name[:60]}... is too long a name "
                            "for this disk: unpack it elsewhere with shorter names, and name the "
                            "folder") from problem
        raise UserError(
            f"{archive}: cannot be unpacked into {folder.parent} ({reason}): "
            f"{'free some disk space' if problem.errno in FULL else 'choose another data folder'}"
        ) from problem


def _name(member: zipfile.ZipInfo) -> PurePosixPath:
    text = member.filename
    if not member.flag_bits & UTF8_NAME:  # as a Mac's packer leaves it
        with contextlib.suppress(UnicodeError):
            text = text.encode("cp437").decode("utf-8")
    # some programs of Windows write backslashes
    return PurePosixPath(text.replace("\\", "/"))


def _say(archive: Path, members: list[zipfile.ZipInfo], hidden: int) -> None:
    """What a person should know of the names in a zip."""
    if hidden:
        print(f"{archive}: {hidden} images that are hidden, or that a system or a program keeps "
              "for itself, were left out", file=sys.stderr)
    guessed = [member.filename for member in members
               if not member.filename.isascii() and not member.flag_bits & UTF8_NAME
               and _name(member) == PurePosixPath(member.filename)]
    if guessed:
        print(f"{archive}: names such as {guessed[0]} are in a code page that it does not tell and "
              "may read wrong: rename the folders of the classes if it matters", file=sys.stderr)


def _is_image(member: zipfile.ZipInfo) -> bool:
    # Those of a kind that is not read go along, for the listing to name them.
    return not member.is_dir() and _name(member).suffix.lower() in EXTENSIONS | UNREAD


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    return any(is_leftover(part) and part != ".." for part in _name(member).parts)


def _check(archive: Path, members: list[zipfile.ZipInfo], folder: Path) -> None:
    if not members:
        raise UserError(f"{archive}: no images in this zip file")
    for member in members:
        name = _name(member)
        if name.is_absolute() or ".." in name.parts or DRIVE.match(name.parts[0]):
            raise UserError(
                f"{archive}: it wants to write outside of its folder ({member.filename[:80]!r}): "
                "it was made to do harm, or by a broken program; unpack nothing of it")
    odd = {member.compress_type for member in members} - KNOWN
    if odd:
        name = zipfile.compressor_names.get(min(odd), f"method {min(odd)}")
        raise UserError(f"{archive}: it is packed by {name}, as Windows does with large folders, "
                        "which cannot be unpacked here: unpack it yourself and name the folder")
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if packed > archive.stat().st_size:
        raise UserError(
            f"{archive}: it claims to hold {packed:,} bytes in {archive.stat().st_size:,}: unpack "
            "nothing of it")
    if total > max(LEAST_TRAP, MOST_TIMES * packed):
        raise UserError(
            f"{archive}: {packed:,} bytes that unpack to {total:,} are no images: unpack nothing "
            "of it")
    free = shutil.disk_usage(folder).free
    if total > free:
        raise UserError(
            f"{archive}: {total / 1e6:,.0f} MB of images, {free / 1e6:,.0f} MB free: free some "
            "disk space")
