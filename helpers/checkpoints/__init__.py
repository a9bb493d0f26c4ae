"""Weights: saved, found by name, fetched, checked, and read from other projects' layouts."""

from helpers.checkpoints.fetching import fetch, load, pretrained, upload
from helpers.checkpoints.foreign import Report, read_weights
from helpers.checkpoints.saving import load_encoder, save_encoder

__all__ = ["Report", "fetch", "load", "load_encoder", "pretrained", "read_weights", "save_encoder", "upload"]
