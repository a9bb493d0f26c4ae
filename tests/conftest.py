"""What holds for all tests: their threads, which of them are slow, which begin first."""

import os
from pathlib import Path

import pytest

from helpers.common.startup import nothing_is_garbage

HERE = Path(__file__).parent
SLOW = (HERE / "slow.txt").read_text(encoding="utf-8").split()
# What has to begin first: one that takes minutes on all cores, and one that waits for a page.
FIRST = ("tests/notebooks/test_whole_run.py", "tests/notebooks/test_browser.py")

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: their threads would fight
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    with nothing_is_garbage():  # the tests are imported; what they import stays
        return (yield)


def pytest_collection_modifyitems(items):
    """Mark the tests that slow.txt lists, a line each: a file, or a test of it with all its
    parameters."""
    for item in items:
        test = item.nodeid.split("[")[0]
        if test in SLOW or test.split("::")[0] in SLOW:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: [not item.nodeid.startswith(file) for file in FIRST])
