"""Views: what a batch of random images may and may not do, against PIL, torchvision, lightly and
closed forms."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightly.transforms import BYOLView1Transform, BYOLView2Transform
from lightly.transforms.utils import IMAGENET_NORMALIZE
from PIL import Image, ImageFilter
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as tv

from helpers.transforms import functional as pixels
from helpers.transforms import views

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.throughput import lightly_views  # noqa: E402

PEERS = (BYOLView1Transform, BYOLView2Transform)
BOTH = pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])


@pytest.fixture(autouse=True)
def seeded():
    seed()


def seed():
    torch.manual_seed(0)
    np.random.seed(0)  # lightly draws blur and solarize with numpy


def photos(count=16, size=32, colours=4):
    """Smooth colourful images: random colours on a grid of side `colours`, enlarged."""
    coarse = torch.rand(count, 3, colours, colours)
    return (torch.nn.functional.interpolate(coarse, size, mode="bilinear") * 255).to(torch.uint8)


def test_normalise_maps_the_pixel_range_to_minus_one_and_one():
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    assert views.normalise(ends).flatten().tolist() == [-1.0, 1.0]


def test_sigma_is_in_normalised_units():
    x = torch.zeros(1, 1, 256, 256)
    assert views.add_noise(x, 0.5).std().item() == pytest.approx(0.5, rel=0.02)


def test_each_image_has_its_own_noise_strength():
    noisy = views.Noisy(views.CleanView(), (0.0, 2.0))(torch.full((64, 1, 32, 32), 128,
                                                                  dtype=torch.uint8))
    deviations = noisy.flatten(1).std(1)
    assert deviations.min() < 0.3 and deviations.max() > 1.7


def test_strength_zero_switches_the_noise_off():
    images = photos()
    assert torch.equal(
        views.Noisy(views.CleanView(), (1.0, 2.0))(images, 0.0), views.normalise(images))


@pytest.mark.parametrize("view", [views.PhotoView(), views.PhotoView(size=20, solarize=0.2),
                                  views.DigitView()])
def test_a_view_stays_in_range_and_has_the_right_shape(view):
    images = photos()
    out = view(images)
    size = getattr(view, "size", None) or 32
    assert out.shape == (16, 3, size, size)
    assert out.dtype == torch.float32 and torch.isfinite(out).all()
    # stronger ink may pass the top a little
    assert out.min() >= -1 - 1e-4 and out.max() <= 1 + 0.45


def test_views_of_the_same_seed_are_equal_and_of_another_differ():
    images, view = photos(), views.PhotoView()
    torch.manual_seed(3)
    first = view(images)
    torch.manual_seed(3)
    assert torch.equal(first, view(images))
    assert not torch.equal(first, view(images))


def test_images_of_a_batch_get_different_parameters():
    one = photos(1).expand(8, -1, -1, -1)
    out = views.PhotoView()(one)
    assert len({round(x.mean().item(), 5) for x in out}) == 8


def test_cropping_the_whole_image_changes_nothing():
    x = photos().float() / 255
    zero, side = torch.zeros(16), torch.full((16,), 32.0)
    same = pixels.crop(x, (zero, zero, side, side), 32, torch.zeros(16, dtype=torch.bool))
    assert torch.allclose(same, x, atol=1e-6)


def test_flip_mirrors_left_and_right():
    x = photos().float() / 255
    zero, side = torch.zeros(16), torch.full((16,), 32.0)
    mirrored = pixels.crop(x, (zero, zero, side, side), 32, torch.ones(16, dtype=torch.bool))
    assert torch.allclose(mirrored, x.flip(3), atol=1e-5)


@pytest.mark.parametrize("box,size", [((2, 5, 20, 16), 24), ((0, 0, 32, 32), 12)])
def test_a_crop_equals_torchvisions_antialiased_resize(box, size):
    x = photos(2).float() / 255
    top, left, height, width = box
    expected = tv.resized_crop(x, top, left, height, width, [size, size], antialias=True)
    boxes = tuple(torch.full((2,), float(v)) for v in box)
    ours = pixels.crop(x, boxes, size, torch.zeros(2, dtype=torch.bool))
    # ours reads across the box's edge, theirs stops
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert (ours - expected)[inner].abs().max() < 2e-2


def test_crop_boxes_are_distributed_as_torchvisions():
    ours = pixels.crop_boxes(4000, 96, 96, (0.08, 1.0), (3 / 4, 4 / 3), torch.device("cpu"))
    blank = torch.zeros(3, 96, 96)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]).T
    for mine, reference in zip(ours, theirs.float(), strict=True):
        assert mine.mean().item() == pytest.approx(reference.mean().item(), abs=1.5)
        assert mine.std().item() == pytest.approx(reference.std().item(), abs=1.5)
    area = (ours[2] * ours[3] / 96**2).numpy()
    reference_area = (theirs[2] * theirs[3] / 96**2).numpy()
    histogram, bins = np.histogram(area, 10, (0, 1))
    expected, _ = np.histogram(reference_area, bins)
    assert np.abs(histogram - expected).max() < 4 * np.sqrt(2 * expected.max())


def test_boxes_stay_inside_the_image():
    top, left, height, width = pixels.crop_boxes(2000, 40, 64, (0.08, 1.0), (3 / 4, 4 / 3),
                                                 torch.device("cpu"))
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 40).all() and (left + width <= 64).all()


def test_blur_equals_pils_gaussian_inside_the_image():
    image = np.zeros((33, 33), dtype=np.uint8)
    image[16, 16] = 255
    expected = np.asarray(
        Image.fromarray(image).filter(ImageFilter.GaussianBlur(2.0)), dtype=float) / 255
    ours = pixels.blur(
        torch.from_numpy(image).float()[None, None] / 255, torch.full((1, 1, 1, 1), 2.0))[0, 0]
    assert np.abs(ours.numpy() - expected).max() < 6e-3  # PIL approximates by box blurs and 8 bits
    assert ours.sum().item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("turn", [-0.4, -0.1, 0.05, 0.3])
def test_hue_shift_equals_torchvisions(turn):
    x = photos().float() / 255
    ours = pixels.shift_hue(x, torch.full((16, 1, 1, 1), turn))
    assert torch.allclose(ours, tv.adjust_hue(x, turn), atol=2e-3)


def test_grayscale_equals_torchvisions():
    x = photos().float() / 255
    # torchvision rounds the weights
    assert torch.allclose(pixels.grayscale(x), tv.rgb_to_grayscale(x), atol=2e-4)


@pytest.mark.parametrize("place,reference", [(0, tv.adjust_brightness), (1, tv.adjust_contrast),
                                             (2, tv.adjust_saturation)])
def test_jitter_factors_stay_within_their_strength(place, reference):
    x = (photos(1).float() / 255 * 0.5 + 0.2).expand(200, -1, -1, -1)
    strength = [0.0] * 4
    strength[place] = 0.3
    out = pixels.jitter(x, tuple(strength))
    low, high = reference(x[0], 0.7), reference(x[0], 1.3)
    smallest, largest = torch.minimum(low, high) - 2e-3, torch.maximum(low, high) + 2e-3
    assert ((out >= smallest) & (out <= largest)).all()
    assert out.std(0).max() > 0.01


# --- the pair of BYOL against lightly's -------------------------------------------------------

def made(view, images):
    """What a view of ours or of lightly makes of B x 3 x H x W, in [0, 1]."""
    if isinstance(view, views.PhotoView):
        return view(images) * 0.5 + 0.5
    normalised = torch.stack(
        [view(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    mean, std = (torch.tensor(IMAGENET_NORMALIZE[name]).view(3, 1, 1) for name in ("mean", "std"))
    return normalised * std + mean


def distance(measure, ours, theirs):
    """Kolmogorov and Smirnov's: how far the distributions of a measure (B x 3 x S x S to B) are
    apart, 0 to 1."""
    return ks_2samp(measure(ours), measure(theirs)).statistic


def changes(x):
    """Absolute differences of neighbours, B x 3 x N, to the right and below."""
    return torch.cat([x.diff(dim=3).flatten(2), x.diff(dim=2).flatten(2)], 2).abs()


@pytest.fixture(scope="module", params=[0, 1], ids=["first", "second"])
def imaged(request):
    """1200 views of ours and 600 of lightly's of the same images."""
    seed()
    images = photos(100, 48, colours=16)
    peer = PEERS[request.param](input_size=48)
    return made(lightly_views(48)[request.param],
                images.repeat(12, 1, 1, 1)), made(peer, images.repeat(6, 1, 1, 1))


def test_every_channel_has_lightlys_mean_and_deviation(imaged):
    (mean, std), (peers_mean, peers_std) = ((x.mean((0, 2, 3)).tolist(), x.std((0, 2, 3)).tolist())
                                            for x in imaged)
    assert mean == pytest.approx(peers_mean, abs=0.015) and std == pytest.approx(
        peers_std, abs=0.01)


def test_the_gradient_of_every_channel_has_lightlys_mean_and_deviation(imaged):
    ours, theirs = (changes(x).transpose(0, 1).flatten(1) for x in imaged)
    assert ours.mean(1).tolist() == pytest.approx(theirs.mean(1).tolist(), rel=0.06)
    assert ours.std(1).tolist() == pytest.approx(theirs.std(1).tolist(), rel=0.06)


@pytest.mark.parametrize(
    "measure",
    [lambda x: x.mean((1, 2, 3)), lambda x: x.flatten(1).std(1), lambda x: changes(x).mean(
        (1, 2))], ids=["brightness", "contrast", "sharpness"])
def test_single_views_vary_as_lightlys(imaged, measure):
    assert distance(measure, *imaged) < 0.08


def plain(*colour, size=32):
    return torch.tensor(colour, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, size, size).clone()


def ramp(low, high, size=32):
    """Gray from `low` on the left to `high` on the right."""
    return torch.linspace(low, high, size).to(torch.uint8).expand(1, 3, size, size)


EVENTS = {  # an image, and how a view of it shows that it happened
    "flip": (ramp(20, 70), lambda x: x[..., :8].mean((1, 2, 3)) > x[..., 8:].mean((1, 2, 3))),
    "colours": (plain(80, 80, 80), lambda x: (x.mean((1, 2, 3)) * 255 - 80).abs() > 2),
    "gray": (plain(180, 90, 60), lambda x: x.amax(1).sub(x.amin(1)).amax((1, 2)) < 0.01),
    "solarize": (plain(255, 255, 255), lambda x: x.mean((1, 2, 3)) < 0.5),
}


@BOTH
@pytest.mark.parametrize("event", EVENTS)
def test_things_happen_as_often_as_in_lightlys_views(which, event):
    image, happened = EVENTS[event]
    ours, theirs = (made(view, image.expand(count, -1, -1, -1))
                    for view, count in ((lightly_views(16)[which], 4000),
                                        (PEERS[which](input_size=16), 800)))
    assert happened(ours).float().mean().item() == pytest.approx(
        happened(theirs).float().mean().item(), abs=0.05)


# lightly's names for torchvision's ColorJitter
COLOURS = ("cj_bright", "cj_contrast", "cj_sat", "cj_hue")


def saturation(x):
    return (x.amax(1) - x.amin(1)).mean((1, 2))


def hue(x):
    """Angle around the axis of grays: B numbers."""
    red, green, blue = x.mean((2, 3)).T
    return torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue)


@BOTH
@pytest.mark.parametrize("place,image,measure", [(0, plain(120, 120, 120), lambda x: x.mean(
    (1, 2, 3))), (1, ramp(60, 180), lambda x: x.flatten(1).std(1)),
                                                 (2, plain(200, 80, 80), saturation),
                                                 (3, plain(200, 80, 80), hue)], ids=COLOURS)
def test_colour_factors_are_distributed_as_torchvisions(which, place, image, measure):
    ours = lightly_views(16)[which]
    jitter = tuple(strength if i == place else 0.0 for i, strength in enumerate(ours.jitter))
    ours = replace(ours, scale=(1.0, 1.0), jitter=jitter, jitter_chance=1.0, gray=0.0, blur=0.0,
                   solarize=0.0)
    theirs = PEERS[which](16, cj_prob=1.0, min_scale=1.0, random_gray_scale=0.0, gaussian_blur=0.0,
                          solarization_prob=0.0,
                          **{name: 0.0
                             for i, name in enumerate(COLOURS)
                             if i != place})
    assert distance(measure, *(made(view, image.expand(count, -1, -1, -1))
                               for view, count in ((ours, 4000), (theirs, 800)))) < 0.07


def spread(x):
    """Variance of what a bright column in the middle became, in square pixels: a blur's sigma
    squared.

    Half a pixel and less count as the same: there PIL's box filters and a sampled Gaussian differ.
    """
    profile = x.mean((1, 2))  # B x S
    place = torch.arange(profile.shape[1]) - profile.shape[1] // 2
    return ((profile * place**2).sum(1) / profile.sum(1)).clamp(min=0.25)


@BOTH
def test_blur_is_as_strong_and_as_frequent_as_lightlys(which):
    column = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    column[..., 16] = 255
    ours = replace(
        lightly_views(33)[which], scale=(1.0, 1.0), jitter_chance=0.0, gray=0.0, solarize=0.0)
    theirs = PEERS[which](33, cj_prob=0.0, min_scale=1.0, random_gray_scale=0.0,
                          solarization_prob=0.0)
    ours, theirs = (made(view, column.expand(count, -1, -1, -1))
                    for view, count in ((ours, 2000), (theirs, 800)))
    assert distance(spread, ours, theirs) < 0.07


def slopes(count, size=96):
    """Images whose red is the column and whose green is the row, so that a pixel tells where it is
    from."""
    line = torch.linspace(0, 255, size)
    return torch.stack(
        [line.expand(size, size), line[:, None].expand(size, size),
         torch.zeros(size, size)]).to(torch.uint8).expand(count, 3, size, size)


def sides(x):
    """Width and height of a crop of `slopes`, as shares of the image's: from the middle half of
    its view."""
    size = x.shape[-1]
    low, high = size // 4, size // 4 + size // 2
    return 2 * (x[:, 0, :, high] - x[:, 0, :, low]).abs().mean(1), 2 * (x[:, 1, high]
                                                                        - x[:, 1, low]).mean(1)


@pytest.fixture(scope="module", params=[0, 1], ids=["first", "second"])
def cropped(request):
    """4000 crops of ours and 800 of lightly's of slopes."""
    seed()
    ours = replace(
        lightly_views(32)[request.param], jitter_chance=0.0, gray=0.0, blur=0.0, solarize=0.0)
    theirs = PEERS[request.param](32, cj_prob=0.0, random_gray_scale=0.0, gaussian_blur=0.0,
                                  solarization_prob=0.0)
    return made(ours, slopes(4000)), made(theirs, slopes(800))


@pytest.mark.parametrize("measure", [
    lambda x: sides(x)[0] * sides(x)[1], lambda x: sides(x)[0] / sides(x)[1],
    lambda x: x[:, 0].mean((1, 2)), lambda x: x[:, 1].mean((1, 2))
], ids=["area", "aspect", "column", "row"])
def test_crops_are_distributed_as_lightlys(cropped, measure):
    assert distance(measure, *cropped) < 0.07


def test_a_digit_view_without_strength_is_the_image():
    still = views.DigitView(angle=0, zoom=0, stretch=0, shear=0, shift=0, warp=0, ink=0)
    digits = photos()[:, :1]
    assert torch.allclose(still(digits), views.normalise(digits), atol=1e-5)


def test_a_digit_view_has_no_noise_unless_it_is_asked_for():
    still = dict(angle=0, zoom=0, stretch=0, shear=0, shift=0, warp=0)
    black = torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
    assert (views.DigitView(**still)(black) == -1).all()
    assert views.DigitView(**still, noise=0.1)(black).std() > 0.01


def test_a_digit_view_turns_by_at_most_its_angle():
    matrices = views.DigitView(zoom=0, stretch=0, shear=0, shift=0).affine(500, torch.device("cpu"))
    angles = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).rad2deg()
    assert angles.abs().max() <= 12.5 + 1e-3 and angles.abs().max() > 11
    assert angles.mean().abs() < 1.5 and math.isclose(angles.std().item(), 12.5 / 3**0.5,
                                                      rel_tol=0.1)


@pytest.mark.parametrize("image_size,side", [(32, 32), (48, 32), (64, 40), (96, 96)])
def test_views_of_photographs_are_smaller_where_a_cpu_trains(image_size, side):
    view = views.view_for("my_images", image_size)
    assert view(torch.zeros(2, 3, image_size, image_size,
                            dtype=torch.uint8)).shape == (2, 3, side, side)


def test_a_vit_gets_views_of_whole_patches():
    assert views.view_for("my_images", 48, patch=8).size == 32
    assert views.view_for("my_images", 48, patch=6).size is None
