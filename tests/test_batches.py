"""Which images make which batch, and where they are kept."""

import torch

from helpers import batches
from helpers.batches import BatchLoader

IMAGES = torch.randint(0, 256, (50, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


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
