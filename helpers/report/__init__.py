"""Results: kept in files, compared, tabulated and drawn."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    results="record summary table",
)
