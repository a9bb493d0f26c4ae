"""Three ways of training: what is trained, from where, and on what."""

from types import SimpleNamespace

import pytest
import torch
from foreign_weights import as_vit
from safetensors.torch import save_file

from helpers.common.errors import UserError
from helpers.data.loading import load
from helpers.data.splits import halves
from helpers.models.encoder import build
from helpers.settings import Settings
from helpers.training import vit_starts


@pytest.fixture(scope="module")
def splits():
    return load("digits")


def small():
    torch.manual_seed(0)
    return build("vit_digits", channels=1, image_size=16, width=16, depth=2, heads=2)


def test_only_the_last_block_and_the_final_norm_are_left_to_train():
    encoder = vit_starts.only_the_last_block(small())
    names = {
        name.removeprefix("backbone.")
        for name, weight in encoder.named_parameters()
        if weight.requires_grad
    }
    assert names and all(name.startswith(("blocks.1.", "norm.")) for name in names)
    last = encoder.backbone.blocks[-1]
    assert vit_starts.trainable(encoder) == sum(
        weight.numel() for weight in [*last.parameters(), *encoder.backbone.norm.parameters()])


def test_a_start_from_scratch_depends_on_its_seed_and_a_pretrained_one_is_a_copy():
    pretrained = small()
    weights = [
        vit_starts.start_of("from scratch", pretrained, seed).backbone.patches.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    copy = vit_starts.start_of("from pretrained weights", pretrained, 0)
    assert copy is not pretrained and torch.equal(copy.backbone.positions,
                                                  pretrained.backbone.positions)


def test_three_ways_train_what_they_say_and_leave_the_start_alone(splits):
    settings = Settings.resolve(preset="smoke", dataset="digits", batch_size=16, draws=2)
    pretrained = small()
    before = {name: value.clone() for name, value in pretrained.state_dict().items()}
    rows = vit_starts.three_ways(pretrained, halves(splits)[1], settings,
                                per_class=2, steps=4)
    assert [row["method"] for row in rows] == list(vit_starts.WAYS)
    assert rows[0]["parameters"] == rows[1]["parameters"] > rows[2]["parameters"]
    assert all(len(row["scores"]) == row["n"] == 2 and row["seconds"] > 0 for row in rows)
    assert all(torch.equal(value, before[name]) for name, value in pretrained.state_dict().items())
    assert all(weight.requires_grad for weight in pretrained.parameters())


@pytest.mark.parametrize("count", [0, 200])
def test_labels_that_no_class_has_are_one_line(splits, count):
    settings = Settings.resolve(preset="smoke", dataset="digits", batch_size=16, draws=2)
    with pytest.raises(UserError, match=f"^{count} labels per class cannot be .* choose 1 to 1"):
        vit_starts.three_ways(small(), halves(splits)[1], settings, per_class=count, steps=4)


def test_a_start_is_one_that_there_is():
    settings = Settings.resolve(preset="quick", dataset="digits", device="cpu")
    assert vit_starts.start_named("auto", settings) == "other classes"
    for name in ("imagenet", "google-vit-base-in21k", "imagenet-vit-base", "dino-vits16"):
        assert vit_starts.start_named(name, settings) == name
    with pytest.raises(UserError, match="no start 'ImageNet21k': choose auto, other classes, imag"):
        vit_starts.start_named("ImageNet21k", settings)
    with pytest.raises(UserError, match="no start 'dino-resnet50'.*google-vit-base-in21k") as error:
        vit_starts.start_named("dino-resnet50", settings)  # is no ViT
    assert "\n" not in str(error.value)


def test_a_listed_vit_is_read_for_the_images_at_hand(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    peer = build("vit_base", image_size=224, channels=3, width=48, depth=2, heads=12)
    save_file(as_vit("hugging face", peer), tmp_path / "google-vit-base-in21k.safetensors")
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path))
    images = torch.zeros(2, 3, 48, 48)
    photographs = SimpleNamespace(image_size=48, channels=3)
    encoder = vit_starts.fetched_start("google-vit-base-in21k", photographs)
    assert "tensors used" in capsys.readouterr().out and encoder(images).shape == (2, 48)
    read, given = (each.backbone.blocks[0].mlp[0].weight for each in (encoder, peer))
    assert torch.equal(read, given)
    assert vit_starts.trainable(vit_starts.only_the_last_block(encoder)) > 0
