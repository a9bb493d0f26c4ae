"""Stands in for Colab's own package, as far as the notebooks use it.

Like Colab's it is an extension that IPython loads when a kernel starts, so that "google.colab" is
among the loaded modules before a notebook's first cell.
"""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Loading it is all there is to do."""
