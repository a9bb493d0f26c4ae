"""Images of any number, one chunk after another: files, folders, and names on standard input."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.progress_bar import progress
from helpers.data import depth
from helpers.data.folder import decoded
from helpers.data.listing import ImageFile, Listing, images_under, some

STANDARD_INPUT = "-"
NAMED = 3  # of many missing files


class Chunk(NamedTuple):
    """Some images that could be read, uint8 n x 3 x S x S, and why the others could not."""

    files: list[ImageFile]
    images: Tensor
    broken: dict[Path, str]


def image_files(names: Sequence[str]) -> list[ImageFile]:
    """The images that a person names: files, folders with all that is under them, and "-" for a
    list on standard input, one a line.

    Raises:
        UserError: a file or folder that is not there, an empty list, or no image at all.
    """
    said: list[str] = []
    for name in names:
        listed = [line.rstrip("\r\n") for line in sys.stdin] if name == STANDARD_INPUT else [name]
        listed = [line for line in listed if line.strip()]
        if not listed:
            raise UserError("no image is named on standard input: write one a line, such as "
                            "`find photos -name '*.jpg' | ...`")
        said += listed
    missing = [name for name in said if not Path(name).expanduser().exists()]
    if missing:
        raise UserError(f"there is no {some(missing, NAMED)} "
                        f"({len(missing):,} of {len(said):,} names): check the list")
    found = dict.fromkeys(path for name in said for path in _under(Path(name).expanduser()))
    if not found:
        raise UserError(f"no image in {', '.join(said[:NAMED])}: name images or folders of them")
    return [ImageFile(path, "test", -1) for path in found]


def _under(path: Path) -> Iterable[Path]:
    return images_under(path, Listing(path.name, path)) if path.is_dir() else [path]


def chunks(files: Sequence[ImageFile], image_size: int, title: str,
           ranges: Mapping[str, Sequence[float]]) -> Iterator[Chunk]:
    """The images as chunks of some hundred, with a progress bar; memory does not grow with them.

    Args:
        ranges: of images of more than 8 bits, as `Splits` has them; the usual ones for the others.
    """
    known = {**depth.USUAL, **depth.from_record(ranges)}
    with warnings.catch_warnings(), progress(None, title, "images", total=len(files)) as bar:
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which we do not use
        for chunk in decoded(files, image_size, known):
            good = [(file, pixels) for file, pixels in chunk if isinstance(pixels, np.ndarray)]
            broken = {file.path: why for file, why in chunk if isinstance(why, str)}
            images = np.stack([pixels for _, pixels in good]) if good else np.empty(0, np.uint8)
            yield Chunk([file for file, _ in good], torch.from_numpy(images), broken)
            bar.update(len(chunk))
