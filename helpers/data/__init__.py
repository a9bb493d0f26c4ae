"""Datasets behind one name: `load("digits")` or `load("my/folder")` gives `Splits`."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    loading="load",
    carving="Shares carve",
    splits="Labeled Splits describe everything halves only_classes pretext_sets require",
    arrays="resize",
    faults="inject injected_share",
    archive="unpacked",
    audit="folder_report",
    unlabelled="load_photos",
    latents="made_by read_latents write_latents",
)
