"""Datasets behind one name: `load("digits")`, `load("stl10")` or `load("my/folder")` gives
`Splits`."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    loading="load",
    splits="Labeled Shares Splits carve describe only_classes require",
    arrays="resize",
    faults="plant planted_share",
    archive="unpacked",
    audit="folder_report",
    whole="everything",
)
