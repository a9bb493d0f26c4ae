"""Weights in the layout of DINO's repository give what its architecture is defined to give, at any
image size.

The reference below is written from the definition (Caron et al. 2021; Dosovitskiy et al. 2021),
with plain tensor algebra on the file's own names; it shares nothing with the suite's ViT, not even
torch's interpolation.
"""

import math

import numpy as np
import pytest
import torch
from foreign_weights import as_vit, dino, randomised, small_vit, some_images

from helpers.evaluation.attention import class_attention
from helpers.evaluation.features import last_blocks
from helpers.models.encoder import IMAGENET_MEAN, IMAGENET_STD, build
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.convert import read_weights

HEADS, PATCH, TRAINED = 2, 8, 32
SIZES = [32, 8, 24, 72]
WAYS = ["backbone only", "full checkpoint", "saved as ours"]


def cubic(distance):
    """The kernel of Keys 1981 with a = -0.75, which torch and OpenCV use."""
    x, a = np.abs(distance), -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def stretching(old, new):
    """new x old: how each new place along a side is mixed from the old ones; the new grid counts
    as new + 0.1 long."""
    matrix = np.zeros((new, old))
    for place in range(new):
        source = (place + 0.5) * old / (new + 0.1) - 0.5
        for tap in range(math.floor(source) - 1, math.floor(source) + 3):
            matrix[place, min(max(tap, 0), old - 1)] += cubic(source - tap)  # edges repeat
    return torch.from_numpy(matrix)


def norm(x, w, name):
    mean = x.mean(-1, keepdim=True)
    deviation = ((x - mean).square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return (x - mean) / deviation * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def reference(weights, images, heads):
    """Tokens after every block through the final norm, and every block's attention, in float64."""
    w = {name: value.double() for name, value in weights.items()}
    x = (images.double() + 1) / 2
    x = (x - torch.tensor(IMAGENET_MEAN).double().view(
        3, 1, 1)) / torch.tensor(IMAGENET_STD).double().view(3, 1, 1)
    kernel = w["patch_embed.proj.weight"]
    patch, grid = kernel.shape[-1], x.shape[-1] // kernel.shape[-1]
    cut = x.unfold(2, patch, patch).unfold(3, patch, patch)  # B, C, G, G, P, P
    tokens = torch.einsum("bcijpq,wcpq->bijw", cut, kernel) + w["patch_embed.proj.bias"]
    places, old = w["pos_embed"][0, 1:], math.isqrt(w["pos_embed"].shape[1] - 1)
    plane = places.reshape(old, old, -1)
    if grid != old:
        matrix = stretching(old, grid)
        plane = torch.einsum("yi,xj,ijw->yxw", matrix, matrix, plane)
    first = (w["cls_token"] + w["pos_embed"][:, :1]).expand(len(x), 1, -1)
    tokens = torch.cat([first, (tokens + plane).flatten(1, 2)], 1)
    states, maps = [], []
    for number in range(1
                        + max(int(name.split(".")[1]) for name in w if name.startswith("blocks."))):
        tokens, attention = block(tokens, w, f"blocks.{number}", heads)
        states.append(norm(tokens, w, "norm"))
        maps.append(attention)
    return states, maps


def block(tokens, w, name, heads):
    count, width = tokens.shape[1:]
    query, key, value = linear(norm(tokens, w, f"{name}.norm1"), w,
                               f"{name}.attn.qkv").split(width, -1)
    taken, maps = [], []
    for head in torch.arange(width).split(width // heads):
        scores = torch.einsum("btd,bsd->bts", query[..., head], key[...,
                                                                    head]) * (width // heads)**-0.5
        maps.append((scores - scores.logsumexp(-1, keepdim=True)).exp())
        taken.append(maps[-1] @ value[..., head])
    tokens = tokens + linear(torch.cat(taken, -1), w, f"{name}.attn.proj")
    hidden = linear(norm(tokens, w, f"{name}.norm2"), w, f"{name}.mlp.fc1")
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return tokens + linear(hidden, w, f"{name}.mlp.fc2"), torch.stack(maps, 1)


@pytest.fixture(scope="module")
def weights():
    """A small ViT's tensors under the names of DINO's released backbones."""
    return as_vit("timm", vit())


def vit(**options):
    """A random ViT whose positions and patches count as much as its class token, so that a mistake
    in them shows."""
    sizes = dict(width=64 * HEADS, heads=HEADS, depth=4, image_size=TRAINED, patch_size=PATCH)
    made = randomised(small_vit(**sizes, **options), seed=3)
    made.backbone.positions.data.mul_(100)
    return made


@pytest.fixture(scope="module")
def encoder(request, weights, tmp_path_factory):
    """The same weights through one of `WAYS` into the suite."""
    way = getattr(request, "param", WAYS[0])
    path = tmp_path_factory.mktemp("dino") / "weights.pth"
    torch.save(dino(weights) if way == WAYS[1] else weights, path)
    encoder, _ = read_weights(path)
    if way == WAYS[2]:
        save_encoder(encoder, path.with_suffix(".safetensors"))
        encoder = load_encoder(path.with_suffix(".safetensors"))
    return encoder.eval()


def close(ours, theirs):
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=1e-5)


def test_the_cubic_kernel_is_torchs():
    plane = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theirs = torch.nn.functional.interpolate(plane, scale_factor=(8 + 0.1) / 5, mode="bicubic")
    matrix = stretching(5, 8)
    torch.testing.assert_close(torch.einsum("yi,xj,bcij->bcyx", matrix, matrix, plane), theirs)


@pytest.mark.parametrize("encoder", WAYS, indirect=True)
@pytest.mark.parametrize("size", SIZES)
def test_features_are_those_of_the_definition(encoder, weights, size):
    images = some_images(encoder, size=size)
    states, _ = reference(weights, images, HEADS)
    with torch.no_grad():
        close(encoder(images), states[-1][:, 0])


@pytest.mark.parametrize("size", SIZES)
def test_last_blocks_and_pooled_patches_are_those_of_the_definition(encoder, weights, size):
    images = some_images(encoder, size=size)
    states, _ = reference(weights, images, HEADS)
    close(last_blocks(encoder, images, 4), torch.cat([state[:, 0] for state in states[-4:]], 1))
    close(last_blocks(encoder, images, 1, pooled=True),
          torch.cat([states[-1][:, 0], states[-1][:, 1:].mean(1)], 1))


@pytest.mark.parametrize("size", SIZES)
def test_attention_maps_are_those_of_the_definition(encoder, weights, size):
    images = some_images(encoder, size=size)
    _, maps = reference(weights, images, HEADS)
    close(class_attention(encoder, images).flatten(2), maps[-1][:, :, 0, 1:])


@pytest.mark.parametrize("size", [16, 48])
def test_an_encoder_made_for_another_size_has_the_definitions_positions(weights, size, tmp_path):
    torch.save(weights, tmp_path / "weights.pth")
    encoder, report = read_weights(tmp_path / "weights.pth", image_size=size)
    assert "position embeddings interpolated from 4 x 4" in " ".join(report.notes)
    images = some_images(encoder, size=size)
    with torch.no_grad():
        close(encoder.eval()(images), reference(weights, images, HEADS)[0][-1][:, 0])


def test_a_vit_small_of_the_papers_size_agrees_too(tmp_path):
    encoder = randomised(build("vit_small", image_size=224, patch_size=16), seed=1)
    weights = as_vit("timm", encoder)
    torch.save(weights, tmp_path / "weights.pth")
    read, report = read_weights(tmp_path / "weights.pth")
    assert report.encoder == "vit_small" and read.normalisation == "imagenet"
    images = some_images(read, size=96)[:1]
    states, maps = reference(weights, images, 6)
    with torch.no_grad():
        close(read.eval()(images), states[-1][:, 0])
    close(class_attention(read, images).flatten(2), maps[-1][:, :, 0, 1:])


def test_the_other_way_to_stretch_would_be_noticed(weights):
    torchvisions = vit(normalisation="imagenet")
    images = some_images(torchvisions, size=48)
    with torch.no_grad():
        far = (torchvisions(images).double()
               - reference(weights, images, HEADS)[0][-1][:, 0]).abs().max()
    assert far > 1e-3
