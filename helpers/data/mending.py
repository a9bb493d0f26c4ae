"""Files whose pixels are whole though something beside them is broken."""

from __future__ import annotations

import struct

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
PNG_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})  # all that pixels need
END = b"\xff\xd9"  # of a JPEG
FILLS = (b"\x00", b"\xa5")
FILL = 4096  # bytes


def mended(data: bytes) -> list[bytes]:
    """Versions of a PNG or JPEG that a decoder may accept where it refuses `data`.

    The pixels are to be trusted only if all versions give the same ones. None for other formats.
    """
    if data.startswith(PNG):
        return [_pixels_only(data)]
    if data.startswith(JPEG):
        # A JPEG without its last bytes: where rows are missing, the decoder would take them from
        # what is appended, and they would differ.
        return [data + fill * FILL + END for fill in FILLS]
    return []


def _pixels_only(data: bytes) -> bytes:
    """A PNG without texts, colour profiles and times, which may be broken or too many."""
    kept, at = [PNG], len(PNG)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in PNG_CHUNKS:
            kept.append(data[at:at + 12 + length])
        at += 12 + length
    return b"".join(kept)
