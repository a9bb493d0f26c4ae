"""Does a network learn at all? Measurements, injected faults, and the checks that catch them."""

from helpers.evaluation.diagnostics import checks, faults, measures, overfit

__all__ = ["checks", "faults", "measures", "overfit"]
