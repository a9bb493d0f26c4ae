"""Shared code of the notebooks: everything that two of them would otherwise repeat.

Importing this package is cheap on purpose (no torch): the first cell of every notebook
imports it before the heavy packages are known to be installed.
"""

__version__ = "0.1.0"
