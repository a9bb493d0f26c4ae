"""Weights: saved, found by name, fetched, checked, and read from other projects' layouts."""
