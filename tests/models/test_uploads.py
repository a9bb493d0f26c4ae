"""Weights of one's own: the upload button, and files that were downloaded by hand."""

import json
from datetime import UTC, datetime

import pytest
import torch
from foreign_weights import as_vit, randomised, small_vit

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights import choose as choosing
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import save_encoder
from helpers.models.weights.choose import Choice, ask_encoder, ask_start
from helpers.models.weights.hub import at_hand, fetch, first_of


@pytest.fixture
def widgets(monkeypatch, tmp_path):
    """A notebook of a Jupyter server, in which drop-downs and buttons appear."""
    monkeypatch.setattr(choosing, "in_notebook", lambda: True)
    monkeypatch.setenv("JPY_SESSION_NAME", "03_feature_extraction.ipynb")
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.delenv("FEWLABELS_WEIGHTS", raising=False)


@pytest.fixture
def content(tmp_path):
    own = save_encoder(randomised(build("slim", channels=1, image_size=16, width=4)),
                       tmp_path / "own.safetensors")
    return own.read_bytes()


def file(name, content):
    """An uploaded file, as ipywidgets 8 has it."""
    return {"name": name, "content": memoryview(content), "size": len(content), "type": "",
            "last_modified": datetime.now(UTC)}


def by_version(content):
    """The value of an upload button in ipywidgets 7 and 8."""
    return {"7": {"own.safetensors": {"metadata": {"name": "own.safetensors"}, "content": content}},
            "8": (file("own.safetensors", content),)}


@pytest.mark.parametrize("version", ["7", "8"])
def test_a_file_that_was_uploaded_with_the_button_is_chosen(version, widgets, content, tmp_path):
    value = by_version(content)[version]
    assert first_of(value) == ("own.safetensors", content)
    asked = ask_encoder()
    if version == "8":
        asked.button.value = value
        assert asked.menu.value == "file"
    else:
        asked.menu.value, asked.button = "file", type("Button", (), {"value": value})
    choice = asked.choice()
    assert choice == Choice("file", path=tmp_path / "weights" / "uploaded.weights")
    assert choice.encoder("slim", 16, 1).name == "slim"


def test_an_uploaded_file_without_weights_is_one_line_and_goes(widgets, tmp_path):
    asked = ask_start()
    asked.button.value = (file("notes.txt", b"no weights"),)
    with pytest.raises(UserError, match=r"^notes.txt: [^\n]*$"):
        asked.choice()
    assert not list((tmp_path / "weights").glob("*"))


@pytest.fixture
def by_hand(tmp_path, monkeypatch):
    """A list of one entry, called byol, whose file its makers call BYOL_checkpoint.pth."""
    listed = next(fields for name, fields in json.loads(registry.MANIFEST.read_text()).items()
                  if name == "self-learner-byol")
    monkeypatch.setattr(registry, "MANIFEST", tmp_path / "manifest.json")
    registry.MANIFEST.write_text(json.dumps({"byol": listed}))
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")
    (tmp_path / "weights").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("place", ["weights", "here"])
@pytest.mark.parametrize("name", ["BYOL_checkpoint.pth", "self-learner-byol.pth"])
def test_a_file_downloaded_by_hand_is_taken_under_its_makers_name(by_hand, place, name):
    file = by_hand / place / name
    torch.save(as_vit("timm", small_vit()) | {"head.weight": torch.ones(1)}, file)
    assert at_hand("byol") == fetch("byol") == file


def test_the_makers_name_of_a_file_chooses_the_listed_weights(by_hand):
    assert ask_encoder("BYOL_checkpoint.pth").answer == Choice("listed", "byol")
    assert at_hand("byol") is None
    (by_hand / "here" / "BYOL_checkpoint.pth").touch()
    assert ask_encoder("BYOL_checkpoint.pth").answer.kind == "file"
    with pytest.raises(UserError, match="no file another.pth"):
        ask_encoder("another.pth")
