"""The listed encoders of other projects give what their original definitions give, with every
tensor of their files used or accounted for.

timm's models with random weights stand for the originals; the files have the names of the
projects' own releases.
"""

import pytest
import torch
from foreign_weights import randomised
from test_dino_layout import stretching
from timm.layers import resample_abs_pos_embed
from timm_models import MODELS, as_released, peer_of
from torchvision import models

from helpers.evaluation.attention import class_attention
from helpers.evaluation.features import last_blocks
from helpers.models.encoder import IMAGENET_MEAN, IMAGENET_STD
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.convert import read_weights

DINOV2 = ["dinov2-vits14", "dinov2-vits14-reg"]


def written(state, folder):
    path = folder / "weights.pth"
    torch.save(state, path)
    return path


def images(size, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(7)) * 2 - 1


def prepared(x):
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    return ((x + 1) / 2 - mean) / std


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_features_are_those_of_the_original_at_the_size_of_its_training(name, tmp_path):
    size = 518 if name in DINOV2 else 224
    peer = peer_of(name, size, depth=2)
    encoder, report = read_weights(written(as_released(peer), tmp_path))
    assert encoder.config["image_size"] == size and encoder.normalisation == "imagenet"
    x = images(size, 1)
    with torch.no_grad():
        close(encoder.eval()(x), peer(prepared(x)))


@pytest.mark.parametrize("name", DINOV2)
def test_every_tensor_of_a_file_is_used_but_the_mask(name, tmp_path):
    state = as_released(peer_of(name, 518, depth=3))
    encoder, report = read_weights(written(state, tmp_path))
    assert sorted([*report.used, "mask_token"]) == sorted(state)
    assert report.left_out == {"mask_token": "for a training with masks"}
    assert report.encoder == "vit_small" and encoder.config["depth"] == 3


@pytest.mark.parametrize("size", [98, 224])
@pytest.mark.parametrize("name", DINOV2)
def test_positions_of_518_pixels_are_stretched_as_in_the_original(name, size, tmp_path):
    trained = peer_of(name, 518, depth=2)
    trained.pos_embed.data.mul_(100)  # so that a mistake in them shows
    state = as_released(trained)
    peer = peer_of(name, size, depth=2)
    first, rest = state["pos_embed"][:, :1], state["pos_embed"][:, 1:]
    grid = size // 14
    if name == "dinov2-vits14":  # a tenth of a patch longer, without averaging
        matrix = stretching(37, grid).float()
        plane = rest.reshape(37, 37, -1)
        rest = torch.einsum("yi,xj,ijw->yxw", matrix, matrix, plane).flatten(0, 1)[None]
        positions = torch.cat([first, rest], 1)
    else:
        positions = resample_abs_pos_embed(rest, [grid, grid], [37, 37], num_prefix_tokens=0)
    peer.load_state_dict(trained.state_dict() | {"pos_embed": positions})
    encoder, report = read_weights(written(state, tmp_path), image_size=size)
    assert "position embeddings interpolated from 37 x 37" in str(report)
    x = images(size)
    with torch.no_grad():
        close(encoder.eval()(x), peer(prepared(x)))


def test_timms_own_file_with_registers_is_read_too(tmp_path):
    peer = peer_of("dinov2-vits14-reg", 98, depth=2)
    encoder, _ = read_weights(written(peer.state_dict(), tmp_path))
    with torch.no_grad():
        close(encoder.eval()(images(98)), peer(prepared(images(98))))


def test_a_training_checkpoint_whose_blocks_are_in_chunks_is_read_too(tmp_path):
    peer = peer_of("dinov2-vits14", 98, depth=4)
    state = {name.replace("blocks.", f"blocks.{int(name.split('.')[1]) // 2}.", 1)
             if name.startswith("blocks.") else name: value
             for name, value in as_released(peer).items()}
    teacher = {f"backbone.{name}": value for name, value in state.items()}
    encoder, _ = read_weights(written({"teacher": teacher}, tmp_path))
    with torch.no_grad():
        close(encoder.eval()(images(98)), peer(prepared(images(98))))


def test_registers_are_kept_when_saved_and_left_out_of_patches_and_maps(tmp_path):
    peer = peer_of("dinov2-vits14-reg", 98, depth=3)
    read, _ = read_weights(written(as_released(peer), tmp_path))
    encoder = load_encoder(save_encoder(read, tmp_path / "ours.safetensors")).eval()
    x = images(98)
    tokens = peer.forward_features(prepared(x)).detach()  # class, 4 registers, 49 patches
    with torch.no_grad():
        close(encoder.backbone.tokens(encoder.prepare(x))[:, 1:], tokens[:, 5:])
    pooled = last_blocks(encoder, x, blocks=1, pooled=True)
    close(pooled, torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], 1))
    maps = class_attention(encoder, x)
    assert maps.shape == (2, 6, 7, 7) and (maps.sum((2, 3)) < 1).all()


@pytest.mark.parametrize("name", ["resnet34", "resnet101"])
def test_resnets_of_other_depths_give_torchvisions_features(name, tmp_path):
    peer = randomised(getattr(models, name)())
    peer.fc = torch.nn.Identity()
    encoder, report = read_weights(written(peer.state_dict(), tmp_path), image_size=64)
    assert report.encoder == name and not report.left_out
    with torch.no_grad():
        theirs = peer(prepared(images(64)))
        torch.testing.assert_close(encoder.eval()(images(64)), theirs, rtol=1e-5, atol=1e-5)


def test_small_images_are_enlarged_on_their_way_into_the_network(tmp_path):
    peer = peer_of("dinov2-vits14", 98, depth=2)
    encoder, report = read_weights(written(as_released(peer), tmp_path), image_size=32,
                                   input_size=98)
    assert "resized from 32 to 98 pixels" in str(report) and encoder.config["image_size"] == 32
    large = torch.nn.functional.interpolate(images(32), (98, 98), mode="bicubic")
    with torch.no_grad():
        close(encoder.eval()(images(32)), peer(prepared(large)))
        again = load_encoder(save_encoder(encoder, tmp_path / "ours.safetensors")).eval()
        close(again(images(32)), peer(prepared(large)))
    assert class_attention(encoder, images(32)).shape == (2, 6, 7, 7)
