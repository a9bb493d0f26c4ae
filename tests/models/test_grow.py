"""A slim encoder grows into a slim_fine one without forgetting."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.models.encoder import build
from helpers.models.grow import finer, grown
from helpers.models.weights.checkpoint import save_encoder
from helpers.models.weights.choose import Choice
from helpers.models.weights.convert import read_weights


@pytest.fixture
def slim():
    """A slim encoder whose normalisations have statistics of their own."""
    torch.manual_seed(0)
    encoder = build("slim", image_size=32, width=8)
    encoder(torch.randn(16, 3, 32, 32))
    return encoder.eval()


@pytest.fixture
def images():
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_finer_kernel_gives_on_an_image_what_the_kernel_gives_on_half_of_it(images):
    kernel = torch.randn(5, 3, 3, 3)
    expected = F.conv2d(F.avg_pool2d(images, 2), kernel, padding=1)
    result = F.conv2d(images, finer(kernel), stride=2, padding=2)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_a_grown_encoders_third_block_says_of_an_image_what_slims_said_of_half_of_it(slim, images):
    old, new = slim.backbone, grown(slim, "slim_fine").eval().backbone
    with torch.inference_mode():
        expected = old.blocks(old.stem(F.avg_pool2d(images, 2)))
        result = new.blocks[:3](new.stem(images))
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-4)


def test_a_grown_encoder_has_a_fourth_block_and_twice_the_features(slim, images):
    new = grown(slim, "slim_fine")
    assert (new.name, len(new.backbone.blocks)) == ("slim_fine", 4)
    assert new(images).shape == (4, 2 * slim.num_features)


def test_a_deeper_encoder_begins_with_what_the_fine_one_says(slim, images):
    fine = grown(slim, "slim_fine").eval()
    deep = grown(fine, "slim_deep").eval()
    assert deep.name == "slim_deep" and deep.num_features == fine.num_features
    with torch.inference_mode():
        torch.testing.assert_close(deep(images), fine(images), atol=1e-5, rtol=1e-4)
    assert sum(map(torch.Tensor.numel, deep.parameters())) > 2 * sum(
        map(torch.Tensor.numel, fine.parameters()))


def test_a_joined_encoder_gives_the_averages_of_the_deep_ones_last_two_stages(slim, images):
    deep = grown(slim, "slim_deep").eval()
    joined = grown(deep, "slim_joined").eval()
    with torch.inference_mode():
        third = deep.backbone.blocks[:3](deep.backbone.stem(images)).mean((2, 3))
        parts = joined(images).split([32, 64], dim=1)
        for part, expected in zip(parts, (third, deep(images)), strict=True):
            cosine = F.cosine_similarity(part, expected)
            torch.testing.assert_close(cosine, torch.ones(4), atol=1e-5, rtol=0)
            torch.testing.assert_close(part.square().mean(1), torch.ones(4))
    assert joined.num_features == 96


def test_what_does_not_grow_into_a_kind_stays_as_it_is(slim):
    deep = grown(slim, "slim_deep")
    assert grown(slim, "resnet18") is slim and grown(deep, "slim") is deep
    assert all(grown(each, each.name) is each for each in (slim, deep, grown(slim, "slim_fine")))
    assert grown(deep, "slim_fine") is deep
    joined = grown(slim, "slim_joined")
    assert joined.name == "slim_joined" and grown(joined, "slim_deep") is joined
    assert grown(joined, joined.name) is joined
    other = build("resnet18", image_size=32)
    assert grown(other, "slim_deep") is other


def test_slim_grows_into_the_deep_one_by_way_of_the_fine_one(slim, images):
    torch.manual_seed(3)  # of the fourth block's random weights
    fine = grown(slim, "slim_fine").eval()
    torch.manual_seed(3)
    deep = grown(slim, "slim_deep").eval()
    torch.testing.assert_close(deep(images), fine(images), atol=1e-5, rtol=1e-4)


def test_slim_fine_has_the_same_work_at_twice_the_side_up_to_its_stem(images):
    slim, fine = (build(name, image_size=64, width=8).backbone for name in ("slim", "slim_fine"))
    assert fine.stem(images).shape == slim.stem(F.avg_pool2d(images, 2)).shape


def test_a_start_from_slims_weights_grows_where_slim_fine_is_wished_for(slim, tmp_path):
    start = Choice("file", path=save_encoder(slim, tmp_path / "slim.safetensors"))
    assert start.encoder("slim_fine", 64, 3).name == "slim_fine"
    assert start.encoder("slim", 64, 3).name == "slim"


@pytest.mark.parametrize("name", ["slim_fine", "slim_deep"])
def test_bare_weights_of_slims_kinds_are_known_by_their_layers(slim, name, tmp_path):
    new = grown(grown(slim, "slim_fine"), name)
    torch.save(new.backbone.state_dict(), tmp_path / "bare.pth")
    read, _ = read_weights(tmp_path / "bare.pth")
    assert read.name == name
    for name, value in new.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


def test_bare_weights_of_a_joined_encoder_are_those_of_a_deep_one_and_the_report_says_so(
        slim, tmp_path):
    joined = grown(slim, "slim_joined")
    torch.save(joined.backbone.state_dict(), tmp_path / "bare.pth")
    read, report = read_weights(tmp_path / "bare.pth")
    assert read.name == "slim_deep" and any("slim_joined" in note for note in report.notes)
    assert grown(read, "slim_joined").num_features == joined.num_features


def test_a_grown_encoder_takes_gradients_in_its_new_stem(slim, images):
    new = grown(slim, "slim_fine").train()
    new(images).sum().backward()
    assert isinstance(new.backbone.stem[0], nn.Conv2d)
    assert new.backbone.stem[0].weight.grad.abs().sum() > 0
