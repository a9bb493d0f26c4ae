"""Which images make which batch, and where they are kept."""

import gc
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.methods.classifier import Classifier
from helpers.methods.recipes import ClassifierRecipe
from helpers.training import loader as batches
from helpers.training.loader import BatchLoader
from helpers.training.trainer import fit

IMAGES = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8,
                       generator=torch.Generator().manual_seed(0))


def loader(steps, **options):
    return BatchLoader(IMAGES, None, batch_size=16, steps=steps, **options)


def test_every_image_comes_once_an_epoch():
    stream = torch.cat([loader(25).indices(step) for step in range(25)])  # 400 = 8 epochs of 50
    for epoch in stream.split(50):
        assert sorted(epoch.tolist()) == list(range(50))


def test_batches_depend_on_the_seed_and_the_step_alone():
    assert torch.equal(loader(9).indices(7), loader(20).indices(7))
    assert not torch.equal(loader(9).indices(7), loader(9, seed=1).indices(7))


def test_a_set_smaller_than_a_batch_is_repeated():
    small = BatchLoader(IMAGES[:10], torch.arange(10), batch_size=64, steps=1)
    images, labels = next(iter(small))
    assert len(images) == 64
    assert set(labels.bincount().tolist()) <= {6, 7}


def test_two_processes_share_a_batch_without_overlap(monkeypatch):
    whole, shares = loader(1).indices(0), []
    for rank in (0, 1):
        monkeypatch.setattr(batches, "rank_and_world", lambda rank=rank: (rank, 2))
        shares.append(next(iter(loader(1)))[0])
    assert [len(share) for share in shares] == [8, 8]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), IMAGES[whole])


def block(folder, megabytes):
    """A file of that many MB of black images, memory-mapped as in the cache; sparse, without room
    on the disk."""
    shape = (megabytes * 2**20 // (3 * 64 * 64), 3, 64, 64)
    with open(folder / "images.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + int(np.prod(shape)))
    return torch.from_numpy(np.load(folder / "images.npy", mmap_mode="c"))


def own_memory():
    """Bytes of this process's memory that are not a file's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("on_host", [False, True])
def test_memory_stays_flat_whatever_the_size_of_the_file(tmp_path, on_host):
    images = block(tmp_path, 2048)
    loader = BatchLoader(images, torch.zeros(len(images), dtype=torch.long), batch_size=64,
                         steps=100, on_host=on_host)
    next(iter(loader))  # what the first use of anything takes
    loader.position, before = 0, own_memory()
    seen = sum(len(images) for images, _ in loader)
    assert seen == 6400
    assert own_memory() - before < 48 * 2**20
    assert loader.images.data_ptr() == images.data_ptr()


def test_the_host_path_gives_the_same_batches():
    direct, fetched = (loader(11, on_host=on_host) for on_host in (False, True))
    for (a, x), (b, y) in zip(direct, fetched, strict=True):
        assert torch.equal(a, b) and torch.equal(x, y)


def test_the_host_path_goes_on_where_it_stopped_not_where_it_had_fetched():
    whole = [images for images, _ in loader(11, on_host=True)]
    first, second = loader(11, on_host=True), loader(11, on_host=True)
    stream = iter(first)
    for _ in range(4):
        next(stream)
    second.load_state_dict(first.state_dict())
    stream.close()
    assert first.state_dict() == {"position": 4}
    rest = [images for images, _ in second]
    assert len(rest) == 7 and all(torch.equal(a, b) for a, b in zip(rest, whole[4:], strict=True))


def test_too_large_a_block_stays_on_the_host(monkeypatch):
    moved = []
    monkeypatch.setattr(BatchLoader, "_picked",
                        lambda self, steps: moved.extend(steps) or iter([(IMAGES, IMAGES)] * 2))
    monkeypatch.setattr(batches, "free_memory", lambda device: IMAGES.nbytes /
                        (batches.MOST_OF_FREE + 0.01))
    list(loader(2))
    assert moved == []
    monkeypatch.setattr(batches, "free_memory", lambda device: IMAGES.nbytes /
                        (batches.MOST_OF_FREE - 0.01))
    list(loader(2))
    assert moved == [0, 1]


def test_a_loader_keeps_no_images_on_the_device_once_its_batches_have_ended():
    loader = BatchLoader(IMAGES, None, batch_size=8, steps=2, device="meta")
    assert [images.device.type for images, _ in loader] == ["meta", "meta"]
    assert loader.images is IMAGES and loader.labels.device.type == "cpu"


def test_an_epoch_is_shuffled_once(monkeypatch):
    shuffled, shuffle = [], torch.randperm
    monkeypatch.setattr(torch, "randperm",
                        lambda *args, **kwargs: shuffled.append(args) or shuffle(*args, **kwargs))
    list(loader(25))
    assert len(shuffled) == 8


def test_ahead_keeps_the_order_and_makes_a_few_only():
    made = []
    stream = batches.ahead(lambda n: made.append(n) or n * n, range(100), 3)
    assert [next(stream) for _ in range(5)] == [0, 1, 4, 9, 16]
    stream.close()
    assert len(made) <= 5 + 3
    assert list(batches.ahead(abs, [])) == []


@pytest.mark.parametrize("ends", ["by an error", "by hand", "at the end"])
def test_the_thread_ends_with_the_iteration(ends):
    before = threading.active_count()
    stream = batches.ahead(lambda n: 1 // (3 - n), range(5 if ends == "by an error" else 3), 2)
    assert next(stream) == 0
    if ends == "by an error":
        with pytest.raises(ZeroDivisionError):
            list(stream)
    elif ends == "by hand":
        stream.close()
    else:
        list(stream)
    assert threading.active_count() == before


def train(on_host, fails_at=None):
    def view(images):
        if module.global_step == fails_at:
            raise RuntimeError("half-way")
        return images.float() / 127.5 - 1

    torch.manual_seed(0)
    module = Classifier(torch.nn.Flatten(), torch.nn.Linear(256, 2), view,
                        ClassifierRecipe(steps=8))
    batches = BatchLoader(IMAGES, torch.arange(50) % 2, batch_size=16, steps=8, on_host=on_host)
    return fit(module, batches).losses


def test_a_training_from_the_host_is_the_one_from_the_device():
    assert train(on_host=True) == train(on_host=False)


def test_a_training_that_fails_leaves_no_thread_behind():
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="half-way"):
        train(on_host=True, fails_at=3)
    gc.collect()
    assert threading.active_count() == before
