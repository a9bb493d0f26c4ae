"""All images of a folder, whatever its subfolders mean: to be labelled, not to be learned from."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import one_at_a_time
from helpers.data.folder import decoded_listing
from helpers.data.listing import ImageFile, Listing, images_under


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
    listing = Listing(root.resolve().name, root)
    paths = list(images_under(root, listing))
    if not paths:
        raise UserError(f"folder {root}: no images in it to be labelled")
    if listing.unread:
        print(f"{root.name}: {len(listing.unread)} images that cannot be read here are left out, "
              f"such as {listing.unread[0].name}: convert them to JPEG", file=sys.stderr)
    listing.images = [ImageFile(path, "pretext", -1) for path in paths]
    with one_at_a_time(data):
        images, kept = decoded_listing(listing, image_size, data)
    return images, tuple(kept["names"])
