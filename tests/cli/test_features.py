"""`features`, and `evaluate` on what it wrote."""

import json

import pytest
import torch
from shapes import CLASSES, shapes

from helpers.cli.main import main
from helpers.data.latents import read_latents
from helpers.models.classifier_file import load_classifier


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch, tmp_path):
    monkeypatch.setenv("FEWLABELS_DEVICE", "cpu")
    monkeypatch.setenv("FEWLABELS_PRESET", "smoke")
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def latents(tmp_path, capsys):
    out = tmp_path / "latents"
    assert main(["features", "digits", "--weights", "byol-slim-digits", "--out", str(out),
                 "--dtype", "float32"]) == 0
    assert "1,797 features of 96 numbers" in capsys.readouterr().out
    return str(out)


def measured(capsys, *arguments):
    assert main(["evaluate", "byol-slim-digits", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["results"]


def test_features_on_disk_give_what_the_images_give(latents, capsys):
    protocols = ["--protocol", "knn", "linear", "adam"]
    from_disk = measured(capsys, latents, *protocols)
    assert from_disk == measured(capsys, "--dataset", "digits", *protocols)
    both = {row["protocol"]: row["mean"] for row in from_disk if row["labels_per_class"] == "all"}
    assert both["logistic regression (Adam)"] == pytest.approx(both["linear probe"], abs=0.01)


def test_a_folder_is_split_as_it_is_asked_for(tmp_path, capsys):
    folder = shapes(tmp_path / "photos")
    assert main(["features", str(folder), "--weights", "byol-slim-imagenette", "--out",
                 str(tmp_path / "latents"), "--classes", ",".join(CLASSES[:2]), "--split-val", "3",
                 "--split-test", "2"]) == 0
    found = read_latents(tmp_path / "latents")
    assert found.classes == CLASSES[:2]
    assert (len(found.part("val")), len(found.part("test"))) == (6, 4)


@pytest.mark.parametrize("protocol", ["linear", "mlp"])
def test_a_classifier_of_features_on_disk_is_that_of_the_images(latents, tmp_path, capsys,
                                                                 protocol):
    files = [tmp_path / "disk.safetensors", tmp_path / "images.safetensors"]
    for source, file in zip((latents, "digits"), files, strict=True):
        assert main(["train", source, "--weights", "byol-slim-digits", "--protocol", protocol,
                     "--out", str(file)]) == 0
    capsys.readouterr()
    disk, images = map(load_classifier, files)
    assert disk.facts["results"] == images.facts["results"]
    assert torch.equal(disk.seen.marks, images.seen.marks)
    assert torch.equal(disk.bank, images.bank) and disk.temperature == images.temperature


@pytest.mark.parametrize("arguments, line", [
    (["train", "LATENTS", "--protocol", "finetune", "--out", "a.safetensors"], "name the images"),
    (["train", "LATENTS", "--weights", "byol-slim-imagenette", "--out", "a.safetensors"],
     "not of byol-slim-imagenette"),
    (["evaluate", "byol-slim-imagenette", "LATENTS"], "not of byol-slim-imagenette"),
    (["evaluate", "byol-slim-digits", "LATENTS", "--protocol", "finetune"], "need the images"),
    (["features", "digits", "--weights", "byol-slim-digits", "--out", "LATENTS"],
     "another dtype (float32, not float16)"),
    (["features", "no-such", "--weights", "byol-slim-digits"], "no such name or folder"),
    (["features", "digits", "--weights", "no-such"], "no-such"),
])
def test_what_does_not_fit_is_one_line(latents, capsys, arguments, line):
    assert main([latents if word == "LATENTS" else word for word in arguments]) == 2
    said = capsys.readouterr().err
    assert line in said and said.startswith("error: ") and said.count("\n") == 1
