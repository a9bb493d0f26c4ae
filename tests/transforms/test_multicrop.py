"""Multi-crop: sizes, areas, what each dataset's views may do, and lightly's transform for DINO as
a peer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lightly.transforms import DINOTransform
from lightly.transforms.utils import IMAGENET_NORMALIZE
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode

from helpers.transforms.multicrop import (
    DRAWN_LOCAL,
    LocalCrop,
    MultiCrop,
    local_size,
    multicrop_for,
)
from helpers.transforms.views import CleanView, DigitView, PhotoView, normalise


@pytest.fixture(autouse=True)
def seeded():
    seed()


def seed():
    torch.manual_seed(0)
    np.random.seed(0)  # lightly draws blur and solarize with numpy


def some_images(count=5, size=32, channels=3):
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8)


def slopes(count=64, size=64):
    """Images whose red is the column and whose green is the row, so that a pixel tells where it is
    from."""
    line = torch.linspace(0, 255, size)
    return torch.stack(
        [line.expand(size, size), line[:, None].expand(size, size),
         torch.zeros(size, size)]).to(torch.uint8).expand(count, 3, size, size)


@pytest.mark.parametrize("image_size,step,expected", [(224, 16, 96), (224, 8, 96), (96, 8, 40),
                                                      (32, 4, 12), (16, 8, 8), (16, 4, 8),
                                                      (64, 32, 32)])
def test_parts_are_three_sevenths_of_the_side_in_whole_patches(image_size, step, expected):
    assert local_size(image_size, step) == expected


@pytest.mark.parametrize("dataset,size,channels", [("digits", 16, 1), ("fashion-mnist", 28, 1),
                                                   ("stl10", 96, 3), ("my/folder", 32, 3)])
def test_views_have_two_sizes_and_normalised_units(dataset, size, channels):
    whole, parts = multicrop_for(dataset, size, local_crops=6)(some_images(5, size, channels))
    small = local_size(size)
    assert whole.shape == (10, channels, size, size) and parts.shape == (30, channels, small, small)
    assert whole.dtype == parts.dtype == torch.float32
    assert whole.isfinite().all() and parts.isfinite().all()
    most = 1.45 if dataset == "digits" else 1 + 1e-5  # stronger ink may pass the top
    assert max(whole.abs().max(), parts.abs().max()) <= most


@pytest.mark.parametrize("image_size,step,whole,part", [(48, 6, 30, 12), (48, 8, 32, 16),
                                                        (96, 8, 96, 40), (224, 16, 224, 96)])
def test_sides_of_photographs_are_whole_patches(image_size, step, whole, part):
    crops = multicrop_for("my/folder", image_size, step=step, local_crops=1)
    views = crops(some_images(2, image_size))
    assert [view.shape[-1] for view in views] == [whole, part]


def test_views_follow_one_another_so_that_chunks_are_views():
    images = some_images(4)
    crops = MultiCrop(CleanView(), lambda x: -normalise(x), CleanView(), local_crops=3)
    whole, parts = crops(images)
    first, second = whole.chunk(2)
    assert torch.equal(first, normalise(images)) and torch.equal(second, -first)
    assert all(torch.equal(view, first) for view in parts.chunk(3))


def test_each_part_of_an_image_is_another_one():
    parts = multicrop_for("stl10", 64, local_crops=4)(some_images(3, 64))[1].chunk(4)
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
    part = LocalCrop(CleanView(), 24, DRAWN_LOCAL)
    shown = area(part(slopes()))
    assert shown.min() >= 0.18 and shown.max() <= DRAWN_LOCAL[1] + 0.02


def test_strengths_are_the_papers():
    crops = multicrop_for("stl10", 96)
    assert (crops.first.blur, crops.first.solarize) == (1.0, 0.0)
    assert (crops.second.blur, crops.second.solarize) == (0.1, 0.2)
    assert (crops.local.blur, crops.local.solarize) == (0.5, 0.0)
    assert crops.first.scale == (0.4, 1.0) and crops.local.scale == (0.05, 0.4)
    assert (crops.first.flip, crops.first.jitter_chance, crops.first.gray) == (0.5, 0.8, 0.2)


def test_digits_keep_their_gentle_view():
    crops = multicrop_for("digits", 16)
    assert crops.first == crops.second == crops.local.view == DigitView()


def test_the_same_seed_makes_the_same_views():
    crops, images = multicrop_for("stl10", 32), some_images()
    torch.manual_seed(3)
    first = crops(images)
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(first, crops(images), strict=True))


# --- against lightly's transform --------------------------------------------------------------

KINDS = {"first": 0, "second": 1, "part": 2}


def of_ours(images, parts=2):
    """First, second and part views in [0, 1], of B x 3 x 72 x 72."""
    whole, part = multicrop_for("my/folder", 72, local_crops=parts)(images)
    return [view * 0.5 + 0.5 for view in (*whole.chunk(2), part)]


def of_lightly(images, parts=2, **options):
    """The same from lightly, at the same sides, its normalisation undone."""
    transform = DINOTransform(72, local_crop_size=32, n_local_views=parts, **options)
    # its cubic filter is sharper; ours is BYOL's, for all methods
    for view in transform.transforms:
        view.transform.transforms[0].interpolation = InterpolationMode.BILINEAR
    views = [transform(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images]
    mean, std = (torch.tensor(IMAGENET_NORMALIZE[name]).view(3, 1, 1) for name in ("mean", "std"))
    first, second, *others = (torch.stack(view) * std + mean for view in zip(*views, strict=True))
    return [first, second, torch.cat(others)]


@pytest.mark.parametrize("image_size,step", [(224, 16), (96, 8)])
def test_lightlys_transform_makes_as_many_views_of_the_same_shapes(image_size, step):
    whole, parts = multicrop_for("my/folder", image_size, step=step)(some_images(1, image_size))
    sides = {} if image_size == 224 else {"global_crop_size": 96, "local_crop_size": 40}
    theirs = DINOTransform(**sides)(Image.fromarray(
        some_images(1, image_size)[0].permute(1, 2, 0).numpy()))
    assert [view.shape for view in (*whole, *parts)] == [view.shape for view in theirs]


@pytest.fixture(scope="module")
def pairs():
    """{kind: (ours, lightly's)}: views of the same 60 images, bright coloured clouds with fine
    detail."""
    seed()
    coarse = torch.rand(60, 3, 24, 24).sqrt()
    images = (torch.nn.functional.interpolate(coarse, 72, mode="bilinear") * 255).to(torch.uint8)
    ours, theirs = of_ours(images.repeat(5, 1, 1, 1)), of_lightly(images.repeat(4, 1, 1, 1))
    return dict(zip(KINDS, zip(ours, theirs, strict=True), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_channel_has_lightlys_mean_and_deviation(pairs, kind):
    (mean, std), (peers_mean, peers_std) = ((x.mean((0, 2, 3)).tolist(), x.std((0, 2, 3)).tolist())
                                            for x in pairs[kind])
    assert mean == pytest.approx(peers_mean, abs=0.02) and std == pytest.approx(
        peers_std, abs=0.015)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_as_strong_as_lightlys(pairs, kind):
    ours, theirs = (x.diff(dim=3).abs().mean((0, 2, 3)).tolist() for x in pairs[kind])
    assert ours == pytest.approx(theirs, rel=0.05)


def share(views):
    """Area that each crop of `slopes` shows, as a share of the image: from the middle half of the
    view."""
    size = views.shape[-1]
    low, high = size // 4, size // 4 + size // 2
    return 4 * (views[:, 0, :, high] - views[:, 0, :, low]).abs().mean(1) * (
        views[:, 1, high] - views[:, 1, low]).mean(1)


@pytest.fixture(scope="module")
def shares():
    """{kind: (ours, lightly's)}: areas of crops without any change of colour or sharpness."""
    seed()
    crops = multicrop_for("my/folder", 72, local_crops=2)
    still = dict(jitter_chance=0.0, gray=0.0, blur=0.0, solarize=0.0)
    views = [replace(view, **still)(slopes(count, 72)) * 0.5 + 0.5
             for view, count in ((crops.first, 600), (crops.second, 600), (crops.local, 1200))]
    theirs = of_lightly(slopes(200, 72), cj_prob=0.0, random_gray_scale=0.0,
                        gaussian_blur=(0.0, 0.0, 0.0), solarization_prob=0.0)
    return {
        kind: (share(ours), share(peers))
        for kind, ours, peers in zip(KINDS, views, theirs, strict=True)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_areas_are_distributed_as_lightlys(shares, kind):
    ours, theirs = shares[kind]
    assert ks_2samp(ours, theirs).statistic < 0.11
