"""Tokens of a ViT: the last blocks' features and the class token's attention, by their
definitions."""

import pytest
import torch

from helpers.evaluation import attention, features
from helpers.evaluation.features import extract_features
from helpers.models.encoder import build
from helpers.transforms.views import normalise


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build("vit_digits", channels=1, image_size=16, width=16, depth=3, heads=2)


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(1))


def test_only_vits_have_tokens(encoder):
    slim = build("slim", channels=1, image_size=16)
    assert features.is_vit(encoder) and not features.is_vit(slim)


def test_the_last_block_alone_gives_the_encoders_features(encoder, images):
    torch.testing.assert_close(features.last_blocks(encoder, images, 1),
                               extract_features(encoder, images))


def test_last_blocks_are_normalised_class_tokens_side_by_side(encoder, images):
    found = features.last_blocks(encoder, images, 2)
    vit, x = encoder.backbone, normalise(images)
    state = vit.embed(x)
    first = vit.blocks[1](vit.blocks[0](state))
    second = vit.blocks[2](first)
    torch.testing.assert_close(
        found,
        torch.cat([vit.norm(first)[:, 0], vit.norm(second)[:, 0]], 1).detach())


@pytest.mark.parametrize("size,grid", [(None, 4), (32, 8), (64, 16)])
def test_attention_is_a_map_a_head_that_sums_to_less_than_one(encoder, images, size, grid):
    maps = attention.class_attention(encoder, images, size)
    assert maps.shape == (5, 2, grid, grid) and maps.min() > 0
    assert maps.sum((2, 3)).max() < 1


def test_attention_at_the_images_own_size_is_the_vits_own(encoder, images):
    whole = encoder.backbone.eval().attention_maps(normalise(images))[-1].detach()
    torch.testing.assert_close(
        attention.class_attention(encoder, images).flatten(2), whole[:, :, 0, 1:])


def test_the_patches_that_a_ranking_puts_first_are_covered_with_the_mean():
    images = torch.arange(32.0).view(2, 1, 4, 4)
    ranking = torch.tensor([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 2.0]]])
    covered = attention.hide_patches(images, ranking, 1)
    changed = covered != images
    assert changed[0, 0, :2, 2:].all() and changed[1, 0, 2:, :2].all() and changed.sum() == 8
    assert (covered[changed] == images.mean()).all()
    assert torch.equal(attention.hide_patches(images, ranking, 0), images)
    assert (attention.hide_patches(images, ranking, 4) == images.mean()).all()
