"""Two encoders in one file, and what no tensor tells."""

import pytest
import torch
from foreign_weights import as_vit
from torchvision.models import resnet18

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
