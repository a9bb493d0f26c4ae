"""Multi-crop: sizes, areas, and what each dataset's views may do."""

import pytest
import torch

from helpers.multicrop import DRAWN_PART, MultiCrop, Part, crops_for, local_size
from helpers.views import CleanView, DigitView, PhotoView, normalise


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(count=5, size=32, channels=3):
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


def slopes(count=64, size=64):
    """Pictures whose red is the column and whose green is the row, so that a pixel tells where it is from."""
    line = torch.linspace(0, 255, size)
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size), torch.zeros(size, size)]).to(
        torch.uint8).expand(count, 3, size, size)


@pytest.mark.parametrize("image_size,step,expected", [(224, 16, 96), (224, 8, 96), (96, 8, 40), (32, 4, 12), (16, 8, 8),
                                                      (16, 4, 8), (64, 32, 32)])
def test_parts_are_three_sevenths_of_the_side_in_whole_patches(image_size, step, expected):
    assert local_size(image_size, step) == expected


@pytest.mark.parametrize("dataset,size,channels", [("digits", 16, 1), ("fashion-mnist", 28, 1), ("stl10", 96, 3),
                                                   ("my/folder", 32, 3)])
def test_views_have_two_sizes_and_normalised_units(dataset, size, channels):
    whole, parts = crops_for(dataset, size, parts=6)(pictures(5, size, channels))
    small = local_size(size)
    assert whole.shape == (10, channels, size, size) and parts.shape == (30, channels, small, small)
    assert whole.dtype == parts.dtype == torch.float32
    assert whole.isfinite().all() and parts.isfinite().all()
    if dataset != "digits":  # digits get noise, which is not clipped
        assert max(whole.abs().max(), parts.abs().max()) <= 1 + 1e-5


@pytest.mark.parametrize("image_size,step,whole,part", [(48, 6, 30, 12), (48, 8, 32, 16), (96, 8, 96, 40),
                                                         (224, 16, 224, 96)])
def test_sides_of_photographs_are_whole_patches(image_size, step, whole, part):
    views = crops_for("my/folder", image_size, step=step, parts=1)(pictures(2, image_size))
    assert [view.shape[-1] for view in views] == [whole, part]


def test_views_follow_one_another_so_that_chunks_are_views():
    images = pictures(4)
    crops = MultiCrop(CleanView(), lambda x: -normalise(x), CleanView(), parts=3)
    whole, parts = crops(images)
    first, second = whole.chunk(2)
    assert torch.equal(first, normalise(images)) and torch.equal(second, -first)
    assert all(torch.equal(view, first) for view in parts.chunk(3))


def test_each_part_of_a_picture_is_another_one():
    parts = crops_for("stl10", 64, parts=4)(pictures(3, 64))[1].chunk(4)
    assert not torch.allclose(parts[0], parts[1])


def area(views):
    """The share of `slopes` that each view shows, from the range of its red and green."""
    views = (views + 1) / 2
    sides = views.flatten(2).amax(2) - views.flatten(2).amin(2)
    return sides[:, 0] * sides[:, 1]


@pytest.mark.parametrize("border", [0.4, 0.14])
def test_wholes_and_parts_lie_on_their_side_of_the_border(border):
    plain = dict(jitter_chance=0.0, gray=0.0, blur=0.0)
    whole = PhotoView(scale=(border, 1.0), **plain)
    crops = MultiCrop(whole, whole, PhotoView(size=24, scale=(0.05, border), **plain), 2)
    shown, parts = (area(views) for views in crops(slopes()))
    # A view of n pixels shows n - 1 steps between their middles.
    assert shown.min() >= border - 0.06 and shown.max() > 0.8
    assert parts.max() <= border + 0.02 and parts.min() < 0.5 * border


def test_a_part_of_a_drawing_shows_its_share_of_it():
    part = Part(CleanView(), 24, DRAWN_PART)
    shown = area(part(slopes()))
    assert shown.min() >= 0.18 and shown.max() <= DRAWN_PART[1] + 0.02


def test_strengths_are_the_papers():
    crops = crops_for("stl10", 96)
    assert (crops.first.blur, crops.first.solarize) == (1.0, 0.0)
    assert (crops.second.blur, crops.second.solarize) == (0.1, 0.2)
    assert (crops.part.blur, crops.part.solarize) == (0.5, 0.0)
    assert crops.first.scale == (0.4, 1.0) and crops.part.scale == (0.05, 0.4)
    assert (crops.first.flip, crops.first.jitter_chance, crops.first.gray) == (0.5, 0.8, 0.2)


def test_digits_keep_their_gentle_view():
    crops = crops_for("digits", 16)
    assert crops.first == crops.second == crops.part.view == DigitView()


def test_the_same_seed_makes_the_same_views():
    crops, images = crops_for("stl10", 32), pictures()
    torch.manual_seed(3)
    first = crops(images)
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(first, crops(images), strict=True))
