"""Two encoders in one file, and what no tensor tells."""

import gzip
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_weights import as_vit, randomised, small_vit, some_images
from torchvision.models import resnet18, resnext50_32x4d, wide_resnet50_2

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights.convert import read_weights


@pytest.mark.parametrize(("trained", "slow"), [
    ("module.encoder_q.", "module.encoder_k."), ("q.", "k."), ("encoder_q.0.", "encoder_k.0."),
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


@pytest.mark.parametrize(("places", "is_said"), [
    (("net1.", "net2."), True), (("z_model.", "a_model."), True), (("encoder.", "slow."), True),
    (("encoder.", "ema."), False), (("online.", "target."), False), (("q.", "k."), False),
    (("student.", "teacher."), False)])
def test_a_choice_among_networks_that_no_name_tells_apart_is_said(tmp_path, places, is_said):
    state = resnet18().state_dict()
    torch.save({place + name: value for place in places for name, value in state.items()},
               tmp_path / "w.pth")
    _, report = read_weights(tmp_path / "w.pth")
    said = [note for note in report.notes if "no name tells which" in note]
    assert len(said) == is_said and all(place in "".join(said) for place in places if is_said)


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
    (lambda path: path.write_bytes(gzip.compress(b"x")), "a gzip archive, .* weights: unpack it$"),
    (lambda path: path.write_bytes(b"BZh91AY&SY"), "a bzip2 archive, .* weights: unpack it$"),
    (lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(99)), "TensorFlow Lite, .* another"),
    (lambda path: path.write_bytes(b"\x10\x27" + bytes(6) + b'{"a": {'), "was cut off: fetch it"),
    (lambda path: path.write_bytes(bytes(4000)), "nothing but zeros"), (Path.mkdir, "a folder"),
    (packed, "holds folder/in.pth: unpack it"), (script, "a TorchScript program")])
def test_what_is_no_weights_is_called_by_its_name(tmp_path, write, what):
    write(tmp_path / "w.pth")
    with pytest.raises(UserError, match=what) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)


VIT = dict(channels=3, image_size=32, patch_size=8)
W, PATCH = 192, 192
TODAYS_VIT_PYTORCH = {
    "cls_token": torch.zeros(1, 1, W), "pos_embedding": torch.zeros(1, 17, W),
    "to_patch_embedding.1.weight": torch.ones(PATCH),
    "to_patch_embedding.2.weight": torch.ones(W, PATCH), "to_patch_embedding.2.bias": torch.ones(W),
    "transformer.layers.0.0.norm.weight": torch.ones(W)}


def renamed(state, old, new):
    return {name.replace(old, new): value for name, value in state.items()}


def without_statistics(state):
    """A ResNet with GroupNorm."""
    return {name: value for name, value in state.items() if "running" not in name}


@pytest.mark.parametrize(("make", "tensor"), [
    (lambda: renamed(as_vit("timm", small_vit()), "mlp.fc1", "mlp.w12"), "mlp.w12"),
    (lambda: renamed(as_vit("timm", small_vit()), "mlp.fc1", "mlp.fc1_g"),
     "mlp.fc1_g"),
    (lambda: as_vit("timm", small_vit()) | {
        "blocks.0.attn.q_norm.weight": torch.ones(64)}, "q_norm"),
    (lambda: TODAYS_VIT_PYTORCH, "to_patch_embedding.2"),
    (lambda: wide_resnet50_2().state_dict(), "layer1.0.conv1.weight is 128 x 64"),
    (lambda: resnext50_32x4d().state_dict(), "layer1.0.conv1.weight is 128 x 64"),
    (lambda: without_statistics(resnet18().state_dict()), "lacks bn1.running_mean")])
def test_another_architecture_of_a_known_layout_is_not_called_damaged(tmp_path, make, tensor):
    torch.save(make(), tmp_path / "w.pth")
    with pytest.raises(UserError, match=tensor) as caught:
        read_weights(tmp_path / "w.pth")
    assert "another architecture" in str(caught.value) or "does not have" in str(caught.value)
    assert "again" not in str(caught.value)


def in_chunks_of_two(found):
    return f"blocks.{int(found[1]) // 2}.{found[1]}"


def test_blocks_in_chunks_are_blocks(tmp_path):
    vit = build("vit_tiny", **VIT, depth=4)
    chunks = {re.sub(r"blocks\.(\d)", in_chunks_of_two, name): value
              for name, value in as_vit("timm", vit).items()}
    torch.save({"teacher": {f"backbone.{name}": value for name, value in chunks.items()}},
               tmp_path / "w.pth")
    encoder, _ = read_weights(tmp_path / "w.pth")
    for block, same in zip(encoder.backbone.blocks, vit.backbone.blocks, strict=True):
        assert torch.equal(block.mlp[0].weight, same.mlp[0].weight)


@pytest.mark.parametrize(("make", "place", "wrapper"), [
    (lambda: as_vit("timm", small_vit()), "blocks.0.", "_orig_mod"),
    (lambda: as_vit("timm", small_vit()), "attn.", "_fsdp_wrapped_module"),
    (lambda: as_vit("timm", small_vit()), "patch_embed.", "module"),
    (lambda: as_vit("timm", small_vit()), "blocks.1.",
     "_fsdp_wrapped_module._checkpoint_wrapped_module"),
    (lambda: resnet18().state_dict(), "layer1.", "_orig_mod.module"),
    (lambda: resnet18().state_dict(), "bn1.", "_forward_module")])
def test_what_wraps_a_part_of_a_network_is_seen_through(tmp_path, make, place, wrapper):
    state = make()
    torch.save(renamed(state, place, f"{place}{wrapper}."), tmp_path / "wrapped.pth")
    torch.save(state, tmp_path / "plain.pth")
    encoder, report = read_weights(tmp_path / "wrapped.pth")
    plain, _ = read_weights(tmp_path / "plain.pth")
    assert all(map(torch.equal, encoder.state_dict().values(), plain.state_dict().values()))
    kept = {*report.used, *report.left_out}
    assert kept == set(renamed(state, place, f"{place}{wrapper}."))


def test_two_networks_that_a_wrapper_tells_apart_stay_two(tmp_path):
    state = resnet18().state_dict()
    torch.save({f"net.{name}": value for name, value in state.items()}
               | {f"net.module.{name}": value + 1 for name, value in state.items()},
               tmp_path / "w.pth")
    _, report = read_weights(tmp_path / "w.pth")
    assert len(report.left_out) >= len(state)


@pytest.mark.parametrize(("width", "depth", "heads"), [(256, 1, 8), (64, 4, 2), (384, 1, 4)])
def test_heads_that_are_said_are_taken(tmp_path, monkeypatch, width, depth, heads):
    vit = randomised(build("vit_tiny", **VIT, width=width, depth=depth, heads=heads))
    torch.save(as_vit("timm", vit), tmp_path / "v.pth")
    monkeypatch.setenv("FEWLABELS_HEADS", str(heads))
    encoder, report = read_weights(tmp_path / "v.pth", normalisation="symmetric")
    images = some_images(vit)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(images), vit(images))
    assert not any("guess" in note for note in report.notes)


@pytest.mark.parametrize(("heads", "why"), [("5", "do not divide"), ("0", "above zero"),
                                            ("six", "above zero")])
def test_heads_that_cannot_be_are_one_line(tmp_path, monkeypatch, heads, why):
    torch.save(as_vit("timm", small_vit()), tmp_path / "v.pth")
    monkeypatch.setenv("FEWLABELS_HEADS", heads)
    with pytest.raises(UserError, match=why):
        read_weights(tmp_path / "v.pth")
