"""How many threads a probe takes."""

import pytest

from helpers.common import compute


def threads() -> set[int]:
    return {pool.num_threads for pool in compute._numpy_pools().lib_controllers}


@pytest.mark.parametrize("small,most,expected", [(True, 4, {1}), (False, 4, {3}), (False, 2, {2})])
def test_a_probe_takes_one_thread_or_a_few_and_never_more_than_there_were(
        monkeypatch, small, most, expected):
    monkeypatch.setattr(compute, "MOST_THREADS", most)
    with compute._numpy_pools().limit(limits=3):
        with compute.numpy_threads(small):
            assert threads() == expected
        assert threads() == {3}
