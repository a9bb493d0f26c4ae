"""Two encoders in one file, and what no tensor tells."""

import zipfile

import numpy as np
import pytest
import torch
from foreign_weights import as_vit
from torchvision.models import resnet18

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights.convert import read_weights


@pytest.mark.parametrize(("trained", "slow"), [
    ("module.encoder_q.", "module.encoder_k."), ("encoder_q.0.", "encoder_k.0."),
    ("net_q.", "net_k."), ("q_encoder.", "k_encoder."), ("visual.", "visual_m."),
    ("backbone.", "backbone_momentum."), ("online.", "key_encoder.")])
def test_the_trained_one_of_two_encoders_is_taken(tmp_path, trained, slow):
    state = resnet18().state_dict()
    other = {name: value + 1 for name, value in state.items()}
    torch.save({trained + name: value for name, value in state.items()}
               | {slow + name: value for name, value in other.items()}, tmp_path / "w.pth")
    encoder, report = read_weights(tmp_path / "w.pth")
    assert report.place == trained
    assert torch.equal(encoder.backbone.state_dict()["layer4.1.bn2.weight"],
                       state["layer4.1.bn2.weight"])


@pytest.mark.parametrize(("width", "depth", "heads"), [(256, 6, 4), (384, 7, 6), (192, 9, 3)])
def test_a_number_of_heads_that_is_a_guess_is_said(tmp_path, width, depth, heads):
    vit = build("vit_tiny", channels=3, image_size=32, patch_size=8, width=width, depth=depth,
                heads=2)
    torch.save(as_vit("timm", vit), tmp_path / "v.pth")
    _, report = read_weights(tmp_path / "v.pth")
    assert any(f"number of heads: {heads} are a guess" in note for note in report.notes)


def test_the_heads_of_a_known_vit_are_no_guess(tmp_path):
    vit = build("vit_tiny", channels=3, image_size=32, patch_size=8)
    torch.save(as_vit("timm", vit), tmp_path / "v.pth")
    _, report = read_weights(tmp_path / "v.pth")
    assert not any("guess" in note for note in report.notes)


def pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def arrays(path):
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    path.with_suffix(".npz").rename(path)


def packed(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("folder/in.pth", b"x" * 99)


def script(path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


@pytest.mark.parametrize(("write", "what"), [
    (pointer, "git lfs pull"), (lambda path: path.write_text('{"error": 1}'), "a text in JSON"),
    (lambda path: path.write_text("<html></html>"), "a web page"), (arrays, "NumPy arrays"),
    (packed, "holds folder/in.pth: unpack it"), (script, "a TorchScript program")])
def test_what_is_no_weights_is_called_by_its_name(tmp_path, write, what):
    write(tmp_path / "w.pth")
    with pytest.raises(UserError, match=what) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


def test_a_layout_that_is_close_to_a_known_one_is_not_called_damaged(tmp_path):
    vit = as_vit("timm", build("vit_tiny", channels=3, image_size=32, patch_size=8))
    torch.save({name.replace("mlp.fc1", "mlp.w12"): value for name, value in vit.items()},
               tmp_path / "w.pth")
    with pytest.raises(UserError, match="another architecture") as caught:
        read_weights(tmp_path / "w.pth")
    assert "fetch it again" not in str(caught.value)
