"""Weights of other projects, read as ours: the same features out, every tensor accounted for."""

import pytest
import torch
from foreign_weights import (
    as_sequential,
    as_vit,
    dino,
    lightning,
    other,
    pytorch_byol,
    randomised,
    self_learner,
    small_vit,
    some_images,
    under,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18
from torchvision.models.vision_transformer import VisionTransformer

from helpers.common.errors import UserError
from helpers.models.encoder import IMAGENET_MEAN, IMAGENET_STD, build
from helpers.models.vit import interpolate_positions
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.convert import read_weights
from helpers.models.weights.safe_read import read_tensors

VIT_FILES = {  # name of the file's kind -> (content made of our ViT, where the encoder is)
    "torchvision, bare": (lambda e: as_vit("torchvision", e), ""),
    "torchvision in ViT-BYOL": (lambda e: pytorch_byol(as_vit("torchvision", e), "byolnet."),
                                "online_network_state_dict/byolnet."),
    "vit-pytorch in ViT-BYOL": (lambda e: pytorch_byol(as_vit("vit-pytorch", e), "byolnet."),
                                "online_network_state_dict/byolnet."),
    "timm, bare": (lambda e: as_vit("timm", e) | {"head.weight": torch.ones(5, 3)}, ""),
    "DINO, full": (lambda e: dino(as_vit("timm", e)), "teacher/module.backbone."),
    "DINO, backbone only": (lambda e: as_vit("timm", e), ""),
    "lightly benchmark": (lambda e: lightning(as_vit("timm", e)), "state_dict/backbone."),
    "lightly MAE": (lambda e: lightning(under("vit.", as_vit("timm", e))),
                    "state_dict/backbone.vit."),
    "Hugging Face, bare": (lambda e: as_vit("hugging face", e), ""),
    "Hugging Face classifier": (lambda e: under("vit.", as_vit("hugging face", e)) | {
        "classifier.weight": torch.ones(5, 3)}, "vit."),
    "our own training": (lambda e: {"state_dict": under("encoder.", e.state_dict())
                                    | under("target.0.", other(e.state_dict()))},
                         "state_dict/encoder.backbone."),
}
RESNET_FILES = {
    "torchvision, bare": (lambda e: e.backbone.state_dict() | {"fc.weight": torch.ones(5, 3)}, ""),
    "Self-Learner": (lambda e: self_learner(as_sequential(e)), "net/backbone."),
    "DINO, full": (lambda e: dino(e.backbone.state_dict()), "teacher/module.backbone."),
    "lightly benchmark": (lambda e: lightning(e.backbone.state_dict()), "state_dict/backbone."),
    "lightly benchmark, Sequential": (lambda e: lightning(as_sequential(e)),
                                      "state_dict/backbone."),
}


def written(path, content, safetensors=False):
    if safetensors:
        save_file({name: value.contiguous() for name, value in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def same_features(encoder, expected):
    x = some_images(expected)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(x), expected.eval()(x), rtol=1e-4, atol=1e-5)


def accounted_for(path, report):
    assert sorted(report.used + list(report.left_out)) == sorted(read_tensors(path))
    assert not any("not a part" in reason for reason in report.left_out.values())


sizes = st.fixed_dictionaries({"channels": st.sampled_from([1, 3]), "grid": st.integers(1, 3),
                               "patch_size": st.sampled_from([2, 4, 8]), "depth": st.integers(1, 3),
                               "heads": st.integers(1, 2), "mlp_ratio": st.sampled_from([1, 2, 4]),
                               "seed": st.integers(0, 1000)})


@pytest.mark.parametrize("kind", VIT_FILES)
@settings(max_examples=5, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=sizes)
def test_a_random_vit_written_in_any_layout_and_read_back_gives_equal_features(
        kind, size, tmp_path):
    make, place = VIT_FILES[kind]
    size = dict(size)
    seed, grid = size.pop("seed"), size.pop("grid")
    encoder = randomised(
        small_vit(width=64 * size["heads"], image_size=grid * size["patch_size"], **size), seed)
    if "vit-pytorch" in kind:
        for block in encoder.backbone.blocks:
            block.attention.qkv.bias.data.zero_()
    path = written(tmp_path / "weights.pth", make(encoder))
    read, report = read_weights(path, channels=size["channels"], normalisation="symmetric")
    same_features(read, encoder)
    assert report.place == place
    accounted_for(path, report)


@pytest.mark.parametrize("kind", RESNET_FILES)
def test_a_random_resnet_written_in_any_layout_and_read_back_gives_equal_features(kind, tmp_path):
    make, place = RESNET_FILES[kind]
    encoder = randomised(build("resnet18", image_size=32, stem="imagenet",
                               normalisation="imagenet"))
    path = written(tmp_path / "weights.pth", make(encoder))
    read, report = read_weights(path, image_size=32)
    same_features(read, encoder)
    assert read.config == encoder.config and report.place == place
    accounted_for(path, report)


def test_a_hugging_face_file_is_read_as_safetensors_too(tmp_path):
    encoder = randomised(small_vit())
    content = as_vit("hugging face", encoder) | {"pooler.dense.weight": torch.ones(3, 3)}
    path = written(tmp_path / "model.safetensors", content, safetensors=True)
    read, report = read_weights(path)
    same_features(read, encoder)
    assert report.left_out == {"pooler.dense.weight": "pooling head"}


def test_a_file_of_torch_before_1_6_is_read(tmp_path):
    encoder = randomised(small_vit())
    torch.save(as_vit("timm", encoder), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    same_features(read_weights(tmp_path / "old.pth", normalisation="symmetric")[0], encoder)


def test_our_own_checkpoint_is_read_with_what_was_said_about_it(tmp_path):
    encoder = randomised(build("slim", channels=1, image_size=16, width=4))
    read, report = read_weights(save_encoder(encoder, tmp_path / "own.safetensors", method="byol"),
                                channels=1)
    same_features(read, encoder)
    assert read.meta["method"] == "byol" and not report.left_out


def test_torchvisions_own_resnet_gives_its_features_on_imagenet_images(tmp_path):
    peer = randomised(resnet18())
    read, report = read_weights(written(tmp_path / "r.pth", peer.state_dict()))
    peer.fc = nn.Identity()
    x = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(read.eval()(x * 2 - 1), peer((x - mean) / std), rtol=1e-4, atol=1e-4)
    assert set(report.left_out.values()) == {"classification head"}


def test_torchvisions_own_vit_gives_its_features(tmp_path):
    peer = randomised(VisionTransformer(32, 8, 2, 2, 128, 256, num_classes=5))
    read, _ = read_weights(written(tmp_path / "v.pth", peer.state_dict()),
                           normalisation="symmetric")
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    peer.heads = nn.Identity()
    torch.testing.assert_close(read.eval()(x), peer(x), rtol=1e-4, atol=1e-5)


def test_pytorch_byol_reads_pixels_from_0_to_1_and_so_do_we_after_saving(tmp_path):
    peer = randomised(resnet18())
    sequential = nn.Sequential(*list(peer.children())[:-1])
    read, report = read_weights(written(tmp_path / "p.pth", pytorch_byol(sequential.state_dict())))
    again = load_encoder(save_encoder(read, tmp_path / "own.safetensors"))
    x = torch.rand(2, 3, 96, 96) * 2 - 1
    theirs = sequential(x * 0.5 + 0.5).flatten(1)
    for ours in (read, again, read_weights(tmp_path / "own.safetensors")[0]):
        torch.testing.assert_close(ours.eval()(x), theirs, rtol=1e-4, atol=1e-4)
        assert ours.normalisation == ours.config["normalisation"] == "unit"
    assert not report.notes


@pytest.mark.parametrize(("layout", "words"), [
    ("timm", "taken as trained on imagenet images; say normalisation=... if it was not so"),
    ("vit-pytorch", "the suite applies the final LayerNorm; ViT-BYOL's own code leaves it out")])
def test_a_report_says_what_a_careful_reader_of_this_layout_should_know(layout, words, tmp_path):
    encoder = randomised(small_vit())
    for block in encoder.backbone.blocks:
        block.attention.qkv.bias.data.zero_()  # vit-pytorch has none
    path = written(tmp_path / "v.pth", as_vit(layout, encoder))
    assert words in read_weights(path)[1].notes


@pytest.mark.parametrize("width", [{}, {"width": 4}], ids=["usual width", "a width of its own"])
@pytest.mark.parametrize(("trained_in", "channels"), [(3, 1), (1, 3)])
def test_pixels_from_0_to_1_stay_exact_between_grey_and_colour_at_the_border_too(
        trained_in, channels, width, tmp_path):
    encoder = randomised(
        build("slim", channels=trained_in, image_size=16, normalisation="unit", **width))
    read, report = read_weights(save_encoder(encoder, tmp_path / "own.safetensors"),
                                channels=channels)
    grey = torch.rand(2, 1, 16, 16) * 2 - 1
    torch.testing.assert_close(read.eval()(grey.expand(-1, channels, -1, -1)),
                               encoder(grey.expand(-1, trained_in, -1, -1)), rtol=1e-4, atol=1e-5)
    assert read.normalisation == "unit" and "border" not in str(report)


@pytest.mark.parametrize("trained_on", ["imagenet", "symmetric", "unit"])
def test_colour_weights_give_for_grey_images_what_they_gave_for_the_same_grey_in_colour(
        trained_on, tmp_path):
    path = written(tmp_path / "v.pth", as_vit("timm", randomised(small_vit())))
    colour, _ = read_weights(path, normalisation=trained_on)
    grey, _ = read_weights(path, channels=1, normalisation=trained_on)
    x = some_images(grey)
    torch.testing.assert_close(grey.eval()(x),
                               colour.eval()(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout,stretch", [("torchvision", "corners"), ("timm", "dino")])
def test_positions_are_interpolated_when_the_images_have_another_size(layout, stretch, tmp_path):
    encoder = randomised(small_vit())
    read, report = read_weights(written(tmp_path / "v.pth", as_vit(layout, encoder)), image_size=32)
    torch.testing.assert_close(
        read.backbone.positions.data,
        interpolate_positions(encoder.backbone.positions.data, 2, 4, stretch))
    assert read.config["image_size"] == 32 and "2 x 2 to 4 x 4" in str(report)


def test_the_encoder_read_can_be_saved_and_loaded_as_ours(tmp_path):
    encoder, _ = read_weights(
        written(tmp_path / "v.pth", dino(as_vit("timm", randomised(small_vit())))), channels=1)
    again, _ = read_weights(save_encoder(encoder, tmp_path / "own.safetensors"), channels=1)
    same_features(again, encoder)


def refused(words, *args, **options):
    with pytest.raises(UserError, match=words) as error:
        read_weights(*args, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("change", "words"), [
    (lambda w: w.pop("blocks.1.mlp.fc1.bias"), r"lacks blocks.1.mlp.0.bias"),
    (lambda w: w.update({"blocks.1.ls1.gamma": torch.ones(64)}), r"unknown blocks.1.ls1.gamma"),
    (lambda w: w.update(dist_token=torch.ones(1, 1, 64)), "dist_token, which its features need"),
    (lambda w: w.update({"blocks.0.norm1.weight": torch.ones(63)}),
     "blocks.0.norm1.weight is 63, not 64"),
    (lambda w: w["norm.weight"].fill_(float("nan")), "norm.weight has infinite numbers or NaN"),
    (lambda w: w.pop("pos_embed"), "positions"),
    (lambda w: w.clear() or w.update(weight=torch.ones(2)), "holds no encoder known here"),
])
def test_weights_that_do_not_fit_are_refused_by_the_name_of_a_tensor(tmp_path, change, words):
    weights = as_vit("timm", randomised(small_vit()))
    change(weights)
    refused(words, written(tmp_path / "v.pth", weights))


def test_an_image_size_that_no_patch_divides_is_refused(tmp_path):
    path = written(tmp_path / "v.pth", as_vit("timm", randomised(small_vit())))
    refused("multiple of it, not 20 px", path, image_size=20)


def test_an_unknown_normalisation_is_refused(tmp_path):
    path = written(tmp_path / "v.pth", as_vit("timm", randomised(small_vit())))
    refused("unknown normalisation 'none'", path, normalisation="none")
