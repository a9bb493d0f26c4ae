"""All images of a folder, whatever its subfolders mean: to be labelled, not to be learned from."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time
from helpers.data.cache import cached
from helpers.data.folder import FORMAT, decode
from helpers.data.images import EXTENSIONS
from helpers.data.scan import ImageFile, Listing


def load_photos(folder: str | Path, image_size: int,
                data_dir: str | Path = "data") -> tuple[Tensor, tuple[str, ...]]:
    """Every image under a folder that can be read, and its name relative to the folder.

    Returns:
        uint8, N x 3 x S x S, from a cache in `data_dir`; N names.

    Raises:
        UserError: no such folder, or no image in it.
    """
    root, data = Path(folder).expanduser(), Path(data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"no folder {root}: name the folder of the photos to be labelled")
    paths = [path for path in sorted(root.rglob("*")) if path.suffix.lower() in EXTENSIONS
             and not any(part.startswith(".") for part in path.relative_to(root).parts)]
    if not paths:
        raise UserError(f"folder {root}: no images in it to be labelled")
    listing = Listing(root.resolve().name, root)
    listing.images = [ImageFile(path, "pretext", -1) for path in paths]
    place = data / "cache" / f"{listing.name}-{listing.key(image_size, FORMAT)}"
    with one_at_a_time(data):
        images, kept = cached(place, (3, image_size, image_size),
                              lambda writer: decode(listing, image_size, writer))
    return images, tuple(kept["names"])
