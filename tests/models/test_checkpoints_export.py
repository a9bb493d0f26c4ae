"""Encoders as programs for others, and what the command line says about files of weights."""

import argparse
import json

import pytest
import torch
from foreign_weights import as_sequential, as_vit, randomised, self_learner, small_vit, some_images

from helpers.cli.weights import weights
from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights import export, registry
from helpers.models.weights.checkpoint import save_encoder
from helpers.models.weights.export import export_onnx, export_program

ENCODERS = {
    "slim": dict(channels=1, image_size=16, width=4),
    "slim_joined": dict(channels=1, image_size=32, width=8),
    "vit_digits": dict(channels=1, image_size=16, depth=1)
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_exported_program_gives_the_features_for_any_batch_size(name, tmp_path):
    encoder = randomised(build(name, **ENCODERS[name]))
    module = torch.export.load(export_program(encoder, tmp_path / "e.pt2")).module()
    side = encoder.config["image_size"]
    for count in (1, 2, 7):
        x = torch.rand(count, 1, side, side) * 2 - 1
        torch.testing.assert_close(module(x), encoder(x), rtol=1e-4, atol=1e-5)


def test_exporting_leaves_the_mode_as_it_was(tmp_path):
    encoder = build("slim", **ENCODERS["slim"]).train()
    export_program(encoder, tmp_path / "e.pt2")
    assert encoder.training


def test_an_export_that_gives_other_features_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_run_program", lambda path, images: torch.zeros(len(images), 16))
    with pytest.raises(UserError, match="differs from the encoder by .* and was not kept"):
        export_program(randomised(build("slim", **ENCODERS["slim"])), tmp_path / "e.pt2")
    assert not list(tmp_path.iterdir())


def test_packages_that_do_not_fit_each_other_are_one_line(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no version\nconverter")

    monkeypatch.setattr(export, "ONNX_PACKAGES", ("pytest",))
    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(UserError, match=r"failed \(RuntimeError: no version converter\): newer v"):
        export_onnx(build("slim", **ENCODERS["slim"]), tmp_path / "e.onnx")
    assert list(tmp_path.iterdir()) == []


def test_onnx_without_its_packages_says_which_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ONNX_PACKAGES", ("no_such_onnx",))
    with pytest.raises(UserError,
                       match="the ONNX export needs no_such_onnx: pip install no_such_onnx"):
        export_onnx(build("slim", **ENCODERS["slim"]), tmp_path / "e.onnx")


@pytest.mark.parametrize("name", ENCODERS)
def test_onnx_runtime_gives_the_features_for_any_batch_size(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    encoder = randomised(build(name, **ENCODERS[name]))
    session = onnxruntime.InferenceSession(str(export_onnx(encoder, tmp_path / "e.onnx")))
    side = encoder.config["image_size"]
    x = torch.rand(5, 1, side, side) * 2 - 1
    (features,) = session.run(None, {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(features),
                               encoder(x).detach(), rtol=1e-3, atol=1e-4)


def said(capsys, **options):
    weights(argparse.Namespace(**options))
    return capsys.readouterr().out


def test_list_names_every_entry_and_says_what_is_here(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "pytorch-byol-40.pth").write_bytes(b"x")
    lines = said(capsys, action="list", details=False).splitlines()
    for name in registry.entries():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith(" yes") == (name == "pytorch-byol-40" or
                                         "file" in registry.entry(name).sources[0])


def test_check_says_what_our_own_file_is_and_what_it_was_trained_on(capsys, tmp_path):
    path = save_encoder(build("slim", **ENCODERS["slim"]), tmp_path / "e.safetensors",
                        method="byol", dataset="digits")
    text = said(capsys, action="check", file=str(path))
    assert "slim (" in text and "method: byol" in text and "dataset: digits" in text
    assert registry.sha256(path) in text and text.strip().endswith("is whole")


def test_check_says_what_a_foreign_file_is_and_what_was_left_out(capsys, tmp_path):
    encoder = build("resnet18", image_size=32, stem="imagenet")
    torch.save(self_learner(as_sequential(encoder)), tmp_path / "byol.pth")
    text = said(capsys, action="check", file=str(tmp_path / "byol.pth"))
    assert "ResNet as a Sequential at net/backbone., read as resnet18" in text
    assert "projection head" in text and "another copy of the encoder" in text
    assert "imagenet normalisation" in text and "does not say what it was trained on" in text


def test_check_knows_what_was_fetched_before_by_the_hash_in_the_lock(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path / "fetched"))
    torch.save(self_learner(as_sequential(build("resnet18", image_size=32, stem="imagenet"))),
               tmp_path / "byol.pth")
    registry.lock_hash(tmp_path / "fetched", "self-learner-byol", tmp_path / "byol.pth",
                    "Google Drive")
    text = said(capsys, action="check", file=str(tmp_path / "byol.pth"))
    assert "listed as self-learner-byol: BYOL" in text and "trained on STL-10 unlabelled" in text


def test_check_knows_the_weights_that_come_with_the_repository(capsys):
    path = registry.kept(registry.entry("byol-slim-digits"))
    assert "listed as byol-slim-digits" in said(capsys, action="check", file=str(path))


@pytest.mark.parametrize("content", [None, b"<html>", b"PK\x03\x04 damaged"])
def test_check_refuses_a_file_that_is_not_whole_in_one_line(content, tmp_path):
    path = tmp_path / "x.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        weights(argparse.Namespace(action="check", file=str(path)))
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_export_writes_a_program_and_says_what_it_takes(capsys, tmp_path):
    encoder = randomised(build("slim", **ENCODERS["slim"]))
    path = save_encoder(encoder, tmp_path / "e.safetensors")
    text = said(capsys, action="export", file=str(path), target=str(tmp_path / "e.pt2"))
    assert text.startswith(f"{tmp_path / 'e.pt2'}: "
                           ) and "N x 1 x 16 x 16 in [-1, 1]" in text and text.count("\n") == 1
    x = torch.rand(3, 1, 16, 16) * 2 - 1
    torch.testing.assert_close(
        torch.export.load(tmp_path / "e.pt2").module()(x), encoder(x), rtol=1e-4, atol=1e-5)


def test_export_to_an_unknown_kind_of_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="must end in .onnx .* or .pt2"):
        weights(
            argparse.Namespace(action="export", file="e.safetensors",
                               target=str(tmp_path / "e.pt")))


def test_fetch_prints_the_path_and_the_hash(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr(registry, "MANIFEST", tmp_path / "manifest.json")
    torch.save(as_vit("timm", randomised(small_vit())), tmp_path / "vit.pth")
    entry = dict(what="", method="", encoder="", dataset="", epochs=None, accuracy={}, command="",
                 licence="", file="vit.pth", bytes=None, sha256=None, sources=[])
    registry.MANIFEST.write_text(json.dumps({"vit": entry}))
    text = said(capsys, action="fetch", name="vit")
    assert str(tmp_path / "vit.pth") in text and registry.sha256(tmp_path / "vit.pth") in text


def test_a_colour_encoder_is_exported_at_its_own_size(tmp_path):
    encoder = randomised(small_vit())
    module = torch.export.load(export_program(encoder, tmp_path / "e.pt2")).module()
    torch.testing.assert_close(module(some_images(encoder)), encoder(some_images(encoder)),
                               rtol=1e-4, atol=1e-5)
