"""Views: what a batch of random pictures may and may not do, against PIL, torchvision, lightly and closed forms."""

import math

import numpy as np
import pytest
import torch
from lightly.transforms.byol_transform import BYOLView1Transform
from PIL import Image, ImageFilter
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as tv

from helpers import pixels, views


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def photos(count=16, size=32):
    """Smooth colourful pictures: random 4x4 colours, enlarged."""
    coarse = torch.rand(count, 3, 4, 4)
    return (torch.nn.functional.interpolate(coarse, size, mode="bilinear") * 255).to(torch.uint8)


def test_normalise_maps_the_pixel_range_to_minus_one_and_one():
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    assert views.normalise(ends).flatten().tolist() == [-1.0, 1.0]


def test_sigma_is_in_normalised_units():
    x = torch.zeros(1, 1, 256, 256)
    assert views.add_noise(x, 0.5).std().item() == pytest.approx(0.5, rel=0.02)


def test_each_picture_has_its_own_noise_strength():
    noisy = views.Noisy(views.CleanView(), (0.0, 2.0))(torch.full((64, 1, 32, 32), 128, dtype=torch.uint8))
    deviations = noisy.flatten(1).std(1)
    assert deviations.min() < 0.3 and deviations.max() > 1.7


def test_strength_zero_switches_the_noise_off():
    images = photos()
    assert torch.equal(views.Noisy(views.CleanView(), (1.0, 2.0))(images, 0.0), views.normalise(images))


@pytest.mark.parametrize("view", [views.PhotoView(), views.PhotoView(size=20, solarize=0.2),
                                  views.DigitView(noise=0.0)])
def test_a_view_stays_in_range_and_has_the_right_shape(view):
    images = photos()
    out = view(images)
    size = getattr(view, "size", None) or 32
    assert out.shape == (16, 3, size, size)
    assert out.dtype == torch.float32 and torch.isfinite(out).all()
    assert out.min() >= -1 - 1e-4 and out.max() <= 1 + 0.45  # stronger ink may pass the top a little


def test_views_of_the_same_seed_are_equal_and_of_another_differ():
    images, view = photos(), views.PhotoView()
    torch.manual_seed(3)
    first = view(images)
    torch.manual_seed(3)
    assert torch.equal(first, view(images))
    assert not torch.equal(first, view(images))


def test_pictures_of_a_batch_get_different_parameters():
    one = photos(1).expand(8, -1, -1, -1)
    out = views.PhotoView()(one)
    assert len({round(x.mean().item(), 5) for x in out}) == 8


def test_cropping_the_whole_picture_changes_nothing():
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
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))  # ours reads across the box's edge, theirs stops
    assert (ours - expected)[inner].abs().max() < 2e-2


def test_crop_boxes_are_distributed_as_torchvisions():
    ours = pixels.crop_boxes(4000, 96, 96, (0.08, 1.0), (3 / 4, 4 / 3), torch.device("cpu"))
    blank = torch.zeros(3, 96, 96)
    theirs = torch.tensor([RandomResizedCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]).T
    for mine, reference in zip(ours, theirs.float(), strict=True):
        assert mine.mean().item() == pytest.approx(reference.mean().item(), abs=1.5)
        assert mine.std().item() == pytest.approx(reference.std().item(), abs=1.5)
    area = (ours[2] * ours[3] / 96**2).numpy()
    reference_area = (theirs[2] * theirs[3] / 96**2).numpy()
    histogram, bins = np.histogram(area, 10, (0, 1))
    expected, _ = np.histogram(reference_area, bins)
    assert np.abs(histogram - expected).max() < 4 * np.sqrt(2 * expected.max())


def test_boxes_stay_inside_the_picture():
    top, left, height, width = pixels.crop_boxes(2000, 40, 64, (0.08, 1.0), (3 / 4, 4 / 3), torch.device("cpu"))
    assert (top >= 0).all() and (left >= 0).all()
    assert (top + height <= 40).all() and (left + width <= 64).all()


def test_blur_equals_pils_gaussian_inside_the_picture():
    picture = np.zeros((33, 33), dtype=np.uint8)
    picture[16, 16] = 255
    expected = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(2.0)), dtype=float) / 255
    ours = pixels.blur(torch.from_numpy(picture).float()[None, None] / 255, torch.full((1, 1, 1, 1), 2.0))[0, 0]
    assert np.abs(ours.numpy() - expected).max() < 6e-3  # PIL approximates by box blurs and 8 bits
    assert ours.sum().item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("turn", [-0.4, -0.1, 0.05, 0.3])
def test_hue_shift_equals_torchvisions(turn):
    x = photos().float() / 255
    ours = pixels.shift_hue(x, torch.full((16, 1, 1, 1), turn))
    assert torch.allclose(ours, tv.adjust_hue(x, turn), atol=2e-3)


def test_grayscale_equals_torchvisions():
    x = photos().float() / 255
    assert torch.allclose(pixels.grayscale(x), tv.rgb_to_grayscale(x), atol=2e-4)  # torchvision rounds the weights


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


def test_photo_views_have_the_moments_of_lightlys():
    images = photos(64, 48)
    reference = BYOLView1Transform(input_size=48, normalize=None)
    many = images.repeat(6, 1, 1, 1)
    theirs = torch.stack([reference(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in many])
    ours = views.PhotoView()(many) * 0.5 + 0.5
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), abs=0.02)
    assert ours.std().item() == pytest.approx(theirs.std().item(), abs=0.02)
    gray = [(x.std(1).mean((1, 2)) < 1e-3).float().mean().item() for x in (ours, theirs)]
    assert gray[0] == pytest.approx(gray[1], abs=0.1)


def test_a_digit_view_without_strength_is_the_picture():
    still = views.DigitView(angle=0, zoom=0, stretch=0, shear=0, shift=0, warp=0, ink=0, noise=0)
    digits = photos()[:, :1]
    assert torch.allclose(still(digits), views.normalise(digits), atol=1e-5)


def test_a_digit_view_turns_by_at_most_its_angle():
    matrices = views.DigitView(zoom=0, stretch=0, shear=0, shift=0).affine(500, torch.device("cpu"))
    angles = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).rad2deg()
    assert angles.abs().max() <= 12.5 + 1e-3 and angles.abs().max() > 11
    assert angles.mean().abs() < 1.5 and math.isclose(angles.std().item(), 12.5 / 3**0.5, rel_tol=0.1)


@pytest.mark.parametrize("image_size,side", [(32, 32), (48, 32), (64, 40), (96, 96)])
def test_views_of_photographs_are_smaller_where_a_cpu_trains(image_size, side):
    view = views.view_for("my_pictures", image_size)
    assert view(torch.zeros(2, 3, image_size, image_size, dtype=torch.uint8)).shape == (2, 3, side, side)


def test_a_vit_gets_views_of_whole_patches():
    assert views.view_for("my_pictures", 48, patch=8).size == 32
    assert views.view_for("my_pictures", 48, patch=6).size is None
