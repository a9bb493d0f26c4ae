"""What a file is, by its first bytes: for a line that names it where something else was wanted."""

from __future__ import annotations

import re

# (bytes, where they stand, what such a file is and what to do with it)
KINDS = (
    (b"version https://git-lfs", 0, "a git-lfs pointer, not the file itself: run `git lfs pull`"),
    (b"\x93NUMPY", 0, "a NumPy array (.npy)"),
    (b"PK\x03\x04", 0, "a zip archive: unpack it"),
    (b"\x1f\x8b", 0, "a gzip archive: unpack it"),
    (b"BZh9", 0, "a bzip2 archive: unpack it"),
    (b"\xfd7zXZ", 0, "an xz archive: unpack it"),
    (b"\x28\xb5\x2f\xfd", 0, "a Zstandard archive: unpack it"),
    (b"Rar!", 0, "a RAR archive: unpack it"),
    (b"7z\xbc\xaf", 0, "a 7z archive: unpack it"),
    (b"ustar", 257, "a tar archive: unpack it"),
    (b"\x89HDF\r\n", 0, "an HDF5 file, as Keras writes"),
    (b"TFL3", 4, "a network of TensorFlow Lite"),
    (b"GGUF", 0, "a GGUF file of llama.cpp"),
    (b"%PDF", 0, "a PDF"),
    (b"%!PS", 0, "a PostScript file"),
    (b"8BPS", 0, "a Photoshop file: export it as PNG"),
    (b"\xff\x0a", 0, "a JPEG XL image: convert it to JPEG"),
    (b"\x00\x00\x00\x0cJXL ", 0, "a JPEG XL image: convert it to JPEG"),
    (b"SIMPLE  =", 0, "a FITS image: convert it to TIFF"),
    (b"DICM", 128, "a DICOM image: convert it to PNG"),
    (b"\xff\xd8\xff", 0, "a JPEG image"),
    (b"\x89PNG", 0, "a PNG image"),
)
HEIC = re.compile(rb"....ftyp(?:heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL)
AVIF = re.compile(rb"....ftypavi[fs]", re.DOTALL)
SVG = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<svg", re.DOTALL)
PAGE = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml|!--)", re.IGNORECASE)
JSON = re.compile(rb"\s*[\[{]\s*[\"\]}\[{]")
HEAD = 512  # bytes that are enough to tell


def kind_of(head: bytes) -> str:
    """What a file that begins with `head` is, in words; "" for what is not known here."""
    for pattern, what in ((HEIC, "a HEIC image: install pillow-heif or convert it to JPEG"),
                          (AVIF, "an AVIF image: convert it to JPEG"),
                          (SVG, "an SVG drawing: export it as PNG"), (PAGE, "a web page"),
                          (JSON, "a text in JSON")):
        if pattern.match(head):
            return what
    for magic, place, what in KINDS:
        if head[place:].startswith(magic):
            return what
    return "a text" if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-3].decode() if len(head) == HEAD else head.decode()  # a letter may be cut
    except UnicodeDecodeError:
        return False
    return bool(text) and all(letter.isprintable() or letter in "\r\n\t\f" for letter in text)
