"""How many threads a probe takes."""

import pytest
import torch

from helpers.common import compute


def threads(kind: str) -> set[int]:
    pools = compute._numpy_pools().select(user_api=kind).lib_controllers
    assert pools
    return {pool.num_threads for pool in pools}


@pytest.mark.parametrize("small,most,algebra,rest", [
    (True, 4, {1}, {1}), (False, 4, {3}, {3}), (False, 2, {2}, {3})])
def test_a_probe_takes_one_thread_or_a_few_and_never_more_than_there_were(
        monkeypatch, small, most, algebra, rest):
    monkeypatch.setattr(compute, "MOST_THREADS", most)
    with compute._numpy_pools().limit(limits=3):
        with compute.numpy_threads(small):
            assert threads("blas") == algebra and threads("openmp") == rest
        assert threads("blas") == threads("openmp") == {3}


def test_torch_keeps_its_threads_where_a_probe_is_large(monkeypatch):
    monkeypatch.setattr(compute, "MOST_THREADS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with compute.numpy_threads(False):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
