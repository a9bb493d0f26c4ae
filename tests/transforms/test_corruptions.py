"""Common corruptions: each against its definition, and what all of them share."""

import pytest
import torch

from helpers.transforms import corruptions
from helpers.transforms.corruptions import RANDOM, SEVERITIES, corrupt
from helpers.transforms.views import normalise


def some_images(count=4, channels=1, side=16):
    """Smooth images: random ones of 4 x 4 pixels, enlarged."""
    coarse = torch.rand(count, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return (255 * torch.nn.functional.interpolate(coarse,
                                                  (side, side), mode="bilinear")).to(torch.uint8)


def flat(level, side=64, count=1):
    return torch.full((count, 1, side, side), level, dtype=torch.uint8)


@pytest.mark.parametrize("name", SEVERITIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_corruption_keeps_type_and_shape_and_the_input_as_it_was(name, channels):
    images = some_images(channels=channels)
    before = images.clone()
    damaged = corrupt(images, name, 3)
    assert damaged.dtype == torch.uint8 and damaged.shape == images.shape
    assert torch.equal(images, before) and not torch.equal(damaged, images)


@pytest.mark.parametrize("name", SEVERITIES)
def test_normalised_images_come_back_as_the_uint8_ones_do(name):
    images = some_images()
    damaged = corrupt(normalise(images), name, 2)
    torch.testing.assert_close(damaged, normalise(corrupt(images, name, 2)), atol=0.02, rtol=0)
    assert damaged.min() >= -1 and damaged.max() <= 1


@pytest.mark.parametrize("name", SEVERITIES)
def test_each_severity_does_more_harm_than_the_one_before(name):
    images = some_images(32, 3, 48)
    harm = [(corrupt(images, name, severity).float() - images).square().mean().item()
            for severity in range(1, 6)]
    assert len(SEVERITIES[name]) == 5 and harm == sorted(harm)


@pytest.mark.parametrize("name", SEVERITIES)
def test_a_corruption_depends_on_its_seed_and_not_on_the_global_generator(name):
    images = some_images()
    first = corrupt(images, name, 4, seed=1)
    torch.rand(10)
    assert torch.equal(corrupt(images, name, 4, seed=1), first)
    assert torch.equal(corrupt(images, name, 4, seed=2), first) == (name not in RANDOM)


def test_shot_noise_has_the_variance_of_counted_photons():
    grey = 102
    damaged = corrupt(flat(grey, 256), "shot noise", 2).float() / 255
    assert damaged.mean().item() == pytest.approx(grey / 255, abs=0.005)
    assert damaged.var().item() == pytest.approx(grey / 255 / SEVERITIES["shot noise"][1], rel=0.05)


def test_impulse_noise_turns_the_given_share_black_or_white_in_equal_parts():
    damaged = corrupt(flat(100, 256), "impulse noise", 5)
    share = SEVERITIES["impulse noise"][4]
    assert (damaged == 0).float().mean().item() == pytest.approx(share / 2, rel=0.05)
    assert (damaged == 255).float().mean().item() == pytest.approx(share / 2, rel=0.05)


def test_contrast_squeezes_towards_the_mean_and_rounds_to_8_bits():
    images = some_images(2)
    damaged = corrupt(images, "contrast", 5).float()
    mean = images.float().mean((2, 3), keepdim=True)
    torch.testing.assert_close(damaged, (mean + 0.05 * (images - mean)).round(), atol=1.0, rtol=0)
    assert len(damaged[0].unique()) <= 0.05 * 255 + 2


def test_brightness_is_added_and_white_stays_white():
    assert (corrupt(flat(51), "brightness", 2) == 102).all()
    assert (corrupt(flat(250), "brightness", 5) == 255).all()


def test_pixelate_makes_squares_of_their_mean():
    x = torch.rand(1, 1, 16, 16)
    blocks = corruptions.pixelate(x, 0.25, None)
    expected = x.view(1, 1, 4, 4, 4, 4).mean((3, 5), keepdim=True).expand(1, 1, 4, 4, 4,
                                                                          4).reshape(1, 1, 16, 16)
    torch.testing.assert_close(blocks, expected)


def test_blur_keeps_a_flat_image_and_its_width_grows_with_the_side():
    assert (corrupt(flat(77), "blur", 5) == 77).all()
    for side in (32, 64):
        point = torch.zeros(1, 1, side + 1, side + 1)
        point[..., side // 2, side // 2] = 1
        row = corruptions.defocus(point, 0.06, None)[0, 0].sum(0)
        place = torch.arange(side + 1) - side // 2
        assert (row * place.square()).sum().sqrt().item() == pytest.approx(
            0.06 * (side + 1), rel=0.02)


def test_jpeg_loses_fine_detail_and_keeps_flat_colours():
    red = torch.tensor([200, 40, 40], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert (corrupt(red, "JPEG", 5).float() - red).abs().max() < 16
    board = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    fine = (112 + 32 * board).to(torch.uint8).expand(1, 1, 16, 16)
    assert corrupt(fine, "JPEG", 5).float().std() < 0.5 * fine.float().std()


def test_fog_brightens_dark_images_unevenly_and_smoothly():
    damaged = corrupt(flat(0, 64, 8), "fog", 3).float() / 255
    light = SEVERITIES["fog"][2]
    assert damaged.max().item() == pytest.approx(light / (1 + light), abs=0.01)
    assert damaged.min().item() == pytest.approx(0, abs=0.01)
    assert (damaged[..., 1:] - damaged[..., :-1]).abs().max() < 0.15


@pytest.mark.parametrize(("name", "severity"), [("snow on screen", 1), ("fog", 0), ("fog", 6)])
def test_what_does_not_exist_is_one_line_with_the_choices(name, severity):
    with pytest.raises(ValueError, match="choose shot noise"):
        corrupt(some_images(), name, severity)
