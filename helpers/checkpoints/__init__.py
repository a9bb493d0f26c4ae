"""Weights: saved, found by name, fetched, checked, and read from other projects' layouts."""

from helpers.checkpoints.saving import load_encoder, save_encoder

__all__ = ["load_encoder", "save_encoder"]
