"""Saving and loading the suite's own checkpoints."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import digest, load_encoder, metadata, save_encoder


def tiny(**options):
    encoder = build("slim", channels=1, image_size=16, width=4, **options)
    for value in encoder.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    return encoder


def images(channels=1, size=16):
    return torch.rand(4, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def refused(path, words):
    with pytest.raises(UserError, match=words) as error:
        load_encoder(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(("name", "options"), [
    ("slim", {"channels": 1, "image_size": 16, "width": 6}),
    ("vit_digits", {"channels": 1, "image_size": 16, "depth": 2}),
    ("resnet18", {"channels": 3, "image_size": 32, "normalisation": "imagenet"}),
    ("slim", {"channels": 1, "image_size": 16, "normalisation": "unit"}),
])
def test_an_encoder_read_back_gives_the_same_features(tmp_path, name, options):
    encoder = build(name, **options)
    path = save_encoder(encoder, tmp_path / "encoder.safetensors")
    again = load_encoder(path)
    x = images(options["channels"], options["image_size"])
    assert again.config == encoder.config and again.normalisation == encoder.normalisation
    torch.testing.assert_close(again.eval()(x), encoder.eval()(x), rtol=0, atol=0)


def test_what_was_said_about_an_encoder_comes_back_with_the_versions(tmp_path):
    path = save_encoder(tiny(), tmp_path / "e.safetensors", method="byol", classes=("a", "b"),
                        accuracy=0.5)
    meta = load_encoder(path).meta
    assert (meta["method"], meta["classes"], meta["accuracy"]) == ("byol", ["a", "b"], 0.5)
    assert meta["torch"] == torch.__version__ and meta["suite"]


def test_saving_and_loading_leave_the_training_mode_alone(tmp_path):
    encoder = tiny()
    assert load_encoder(save_encoder(encoder,
                                     tmp_path / "e.safetensors")).training and encoder.training


def test_loading_uses_up_no_random_numbers(tmp_path):
    path = save_encoder(tiny(), tmp_path / "e.safetensors")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_encoder(path)
    assert torch.equal(torch.rand(2), expected)


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_encoder(tiny(), tmp_path / "file" / "e.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")
def test_others_may_read_what_the_system_lets_them_read(tmp_path):
    (tmp_path / "note").write_text("")
    path = save_encoder(build("slim", channels=1, image_size=16), tmp_path / "encoder.safetensors")
    assert path.stat().st_mode == (tmp_path / "note").stat().st_mode


def test_a_missing_file_is_named(tmp_path):
    refused(tmp_path / "none.safetensors", "no file")


def test_a_truncated_file_is_refused(tmp_path):
    path = save_encoder(tiny(), tmp_path / "e.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "not a whole safetensors file")


def test_a_safetensors_file_of_another_project_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    refused(path, "another project")


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path):
    path = save_encoder(tiny(), tmp_path / "e.safetensors")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    refused(path, "digest differs")


def edited(path, target, **changes):
    """A copy whose strings were changed by someone who also knows how to make the digest."""
    tensors, strings = load_file(path), metadata(path) | changes
    strings["digest"] = digest(tensors, strings)
    save_file(tensors, target, metadata=strings)
    return target


@pytest.mark.parametrize(("config", "words"), [
    ({"name": "slim", "channels": 1, "width": 5}, "does not hold a whole slim: .*, not"),
    ({"name": "slim", "width": 10**9}, "impossible size"),
    ({"name": "vit_digits", "image_size": 16, "depth": 9999}, "impossible size"),
    ({"name": "resnet18", "image_size": 16}, "does not hold a whole resnet18"),
    ({"name": "system"}, "cannot build"),
    ({"name": "slim", "no_such_option": 1}, "cannot build"),
    ([1, 2], "does not say what it holds"),
])
def test_a_file_that_describes_another_encoder_is_refused(tmp_path, config, words):
    path = save_encoder(tiny(), tmp_path / "e.safetensors")
    refused(edited(path, tmp_path / "x.safetensors", config=json.dumps(config)), words)
