"""The list of slow tests names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_slow_test_is_there():
    for line in (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").split():
        file, _, test = line.partition("::")
        assert re.search(rf"^def {test or 'test_'}", (ROOT / file).read_text(), re.M), line
