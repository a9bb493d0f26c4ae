"""The cache of decoded images: reused, verified, rebuilt, and never half there."""

import errno
import json
import os
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from image_folders import SIZE, colors, make_folder, one_line, paint

from helpers.common.errors import UserError
from helpers.data import cache, folder
from helpers.data import loading as data
from helpers.data.scan import scan


@pytest.fixture
def load(tmp_path):
    def load(root, image_size=SIZE, **options):
        return data.load(root, image_size=image_size, data_dir=tmp_path / "data", **options)

    return load


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "insects", ("train", "val", "test"))


def cache_of(tmp_path):
    (place,) = (tmp_path / "data" / "cache").iterdir()
    return place


def no_decoding(*_):
    pytest.fail("decoded again")


def test_a_second_load_decodes_nothing(root, load, monkeypatch):
    first = load(root)
    monkeypatch.setattr(folder, "read_image", no_decoding)
    second = load(root)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.train.labels, second.train.labels)


def test_a_cache_left_from_another_size_is_not_used(root, load):
    assert load(root).image_size == SIZE
    assert load(root, image_size=24).image_size == 24


def test_a_changed_image_is_decoded_again(root, load):
    load(root)
    paint(root / "train" / "ant" / "0.png", (250, 251, 252))
    assert (250, 251, 252) in colors(load(root).train.images)


def test_a_touched_image_is_decoded_again(root):
    before = scan(root).key(SIZE, 1)
    os.utime(root / "train" / "ant" / "0.png", (1, 1))
    assert scan(root).key(SIZE, 1) != before


def flip_a_byte(place):
    path = place / cache.BLOCK
    content = bytearray(path.read_bytes())
    content[-5] ^= 255
    path.write_bytes(content)


def shorten(place):
    path = place / cache.BLOCK
    path.write_bytes(path.read_bytes()[:-100])


def break_the_index(place):
    (place / cache.INDEX).write_text("{")


def lose_the_index(place):
    (place / cache.INDEX).unlink()


def lose_the_block(place):
    (place / cache.BLOCK).unlink()


@pytest.mark.parametrize("damage",
                         [flip_a_byte, shorten, break_the_index, lose_the_index, lose_the_block])
def test_a_damaged_cache_is_rebuilt_with_a_word(tmp_path, root, load, capsys, damage):
    good = load(root).train.images.clone()
    damage(cache_of(tmp_path))
    capsys.readouterr()
    assert torch.equal(load(root).train.images, good)
    assert "damaged or incomplete, decoding again" in capsys.readouterr().err
    assert cache.verified(cache_of(tmp_path), (3, SIZE, SIZE))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_decode_leaves_nothing(tmp_path, root, load, monkeypatch, interruption):
    def interrupted(*_):
        raise interruption

    monkeypatch.setattr(folder, "read_image", interrupted)
    with pytest.raises(interruption):
        load(root)
    assert list((tmp_path / "data" / "cache").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, root, load, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.BlockWriter, "append", full)
    with pytest.raises(UserError, match="No space .*: free .* smaller image") as caught:
        load(root)
    assert one_line(caught)
    assert list((tmp_path / "data" / "cache").iterdir()) == []


def test_a_disk_that_is_too_small_is_said_before_decoding(root, load, monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    monkeypatch.setattr(folder, "read_image", no_decoding)
    with pytest.raises(UserError, match="GB needed, .*: free some space, .* smaller image"):
        load(root)


def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path, root, load):
    (tmp_path / "data").write_text("a file is in the way")
    with pytest.raises(UserError,
                       match="cannot write .*: choose another data folder"):
        load(root)


def test_changing_images_or_moving_rows_leaves_the_file_alone(tmp_path, root, load):
    shutil.rmtree(root / "val")  # so that validation rows are moved within the block
    images = load(root).train.images
    block = cache_of(tmp_path) / cache.BLOCK
    before = block.read_bytes()
    images.zero_()
    load(root, seed=3)
    assert block.read_bytes() == before


def test_folders_of_killed_processes_are_removed_after_a_day(tmp_path, root, load):
    old, new = (tmp_path / "data" / "cache" / name for name in (".part-old", ".part-new"))
    for place in (old, new):
        place.mkdir(parents=True)
    os.utime(old, (time.time() - 2 * cache.STALE_SECONDS,) * 2)
    load(root)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_block_is_a_plain_npy_file_with_an_index(tmp_path, root, load):
    load(root)
    place = cache_of(tmp_path)
    assert np.load(place / cache.BLOCK).shape == (60, 3, SIZE, SIZE)
    assert json.loads((place / cache.INDEX).read_text())["images"] == 60


def test_decoding_keeps_only_one_chunk_in_memory(tmp_path, root, load, monkeypatch):
    sizes = []
    append = cache.BlockWriter.append
    monkeypatch.setattr(folder, "CHUNK", 7)
    monkeypatch.setattr(cache.BlockWriter, "append",
                        lambda writer, images: (sizes.append(len(images)), append(writer, images)))
    load(root)
    assert max(sizes) == 7 and sum(sizes) == 60
