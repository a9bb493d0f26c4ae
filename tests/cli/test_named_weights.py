"""Released weights by name: every command takes every name, for grey and for colour images."""

import dataclasses
import json
import os

import pytest
import torch
from foreign_weights import as_sequential, as_vit, self_learner, small_vit
from image_folders import make_folder
from running import without_choices
from safetensors.torch import save_file
from timm_models import as_released, peer_of

from helpers.cli import commands
from helpers.cli.main import main
from helpers.data.loading import load_for
from helpers.data.splits import Labeled
from helpers.models.encoder import build
from helpers.models.weights import registry
from helpers.models.weights.choose import ask_encoder

RELEASED = [name for name, entry in registry.entries().items() if registry.kept(entry)]
OTHERS = {  # listed, but not in the repository: files of their kind, put into the folder by hand
    "self-learner-byol": lambda: self_learner(as_sequential(
        build("resnet18", image_size=32, stem="imagenet"))),
    "google-vit-base-in21k": lambda: as_vit("hugging face", small_vit()),
    "dinov2-vits14-reg": lambda: as_released(peer_of("dinov2-vits14-reg", 70, depth=1)),
}
NAMES = pytest.mark.parametrize("name", [*RELEASED, *OTHERS])


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """A folder with the weights that the repository does not keep."""
    folder = tmp_path_factory.mktemp("others")
    for name, content in OTHERS.items():
        path = folder / registry.entry(name).file
        if path.suffix == ".safetensors":
            save_file({key: value.contiguous() for key, value in content().items()}, path)
        else:
            torch.save(content(), path)
    return folder


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch, others):
    """No network, and a folder of fetched weights that holds the others as well."""
    without_choices(monkeypatch)
    for variable in ("DATA_DIR", "RUN_DIR", "RESULTS_DIR", "WEIGHTS_DIR"):
        monkeypatch.setenv(f"FEWLABELS_{variable}", str(tmp_path / variable))
    for variable, value in {"OFFLINE": "1", "PRESET": "smoke", "DEVICE": "cpu"}.items():
        monkeypatch.setenv(f"FEWLABELS_{variable}", value)
    folder = tmp_path / "WEIGHTS_DIR"
    folder.mkdir()
    for path in others.iterdir():
        os.link(path, folder / path.name)


@pytest.fixture(params=["grey", "colour"])
def dataset(request, tmp_path, monkeypatch):
    """A hundred of the digits, or a folder of images in colour."""
    if request.param == "colour":
        return str(make_folder(tmp_path / "insects", ("",), each=20))

    def few(settings, **options):
        digits = load_for(settings, **options)
        parts = {part: Labeled(*(rows[:40] for rows in getattr(digits, part)))
                 for part in ("train", "val", "test")}
        return dataclasses.replace(digits, unlabeled=digits.unlabeled[:40], **parts)

    monkeypatch.setattr(commands, "load_for", few)
    return "digits"


@NAMES
def test_every_name_is_evaluated_on_images_of_any_channels(name, dataset, capsys):
    assert main(["evaluate", name, "--dataset", dataset, "--protocol", "knn", "--json"]) == 0
    said = capsys.readouterr()
    ks = [row["protocol"] for row in json.loads(said.out)["results"]]  # 100 and 200 are too many
    assert ks[:2] == ["kNN, k = 10", "kNN, k = 20"] and len(ks) == 3
    channels = 1 if dataset == "digits" else 3
    trained_in = 1 if name == "byol-slim-digits" else 3
    assert ("is folded into" in said.err) == (channels != trained_in)


@NAMES
def test_every_name_starts_a_training_on_images_of_any_channels(name, dataset):
    command = ["pretrain", "byol", "--dataset", dataset, "--start", name, "--image-size", "32"]
    assert main([*command, "--steps", "1", "--batch-size", "8"]) == 0


@NAMES
@pytest.mark.parametrize("channels", [1, 3])
def test_every_name_answers_the_notebooks_question_for_images_of_any_channels(
        name, channels, monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS", name)
    encoder = ask_encoder().choice().encoder("slim", 32, channels)
    assert encoder.eval()(torch.zeros(2, channels, 32, 32)).shape == (2, encoder.num_features)


@NAMES
def test_every_name_is_checked_and_exported(name, tmp_path, capsys):
    assert main(["weights", "check", name]) == 0
    assert capsys.readouterr().out.strip().endswith("is whole")
    assert main(["weights", "export", name, str(tmp_path / "encoder.pt2")]) == 0
    assert f"the same as {name}" in capsys.readouterr().out


def test_a_name_that_is_not_in_the_list_is_answered_with_the_nearest(capsys):
    for command in (["evaluate"], ["weights", "check"], ["weights", "export"]):
        target = ["x.pt2"] * (command[-1] == "export")
        assert main([*command, "byol-slim-digit", *target]) == 2
        assert "perhaps byol-slim-digits" in capsys.readouterr().err
