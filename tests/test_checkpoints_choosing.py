"""The question of notebooks 02 to 04: every answer, by every way of answering."""

import queue
import sys

import pytest
import torch
from foreign_weights import as_vit, pictures, randomised, small_vit

from helpers import prompts
from helpers.checkpoints import choosing, save_encoder
from helpers.checkpoints.choosing import Choice, choices, choose_backbone
from helpers.encoders import build
from helpers.errors import UserError


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """Nobody to type anything, and no answer in the environment."""
    monkeypatch.delenv("FEWLABELS_WEIGHTS", raising=False)
    monkeypatch.setattr(prompts, "_read", lambda prompt: None)


@pytest.fixture
def own(tmp_path):
    return save_encoder(randomised(build("slim", channels=1, image_size=16, width=4)), tmp_path / "own.safetensors")


def typed(monkeypatch, *answers):
    waiting = list(answers)
    monkeypatch.setattr(prompts, "_read", lambda prompt: waiting.pop(0))


def test_the_choices_are_train_imagenet_the_listed_weights_and_a_file():
    names = list(choices())
    assert names[:2] == ["train", "imagenet"] and names[-1] == "file"
    assert {"self-learner-byol", "self-learner-byol-imagenet", "pytorch-byol-80"} <= set(names)


def test_nobody_there_means_the_default(capsys):
    assert choose_backbone() == Choice("train")
    assert "FEWLABELS_WEIGHTS" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "choice"), [
    ("", Choice("train")), ("1", Choice("train")), ("imagenet", Choice("imagenet")), ("2", Choice("imagenet")),
    ("self-learner-byol", Choice("listed", "self-learner-byol")),
    ("Pytorch-BYOL-40", Choice("listed", "pytorch-byol-40")),
])
def test_a_typed_answer_is_a_name_or_a_number_or_enter(answer, choice, monkeypatch):
    typed(monkeypatch, answer)
    assert choose_backbone() == choice


def test_a_typed_file_is_asked_for_by_its_path(monkeypatch, own):
    typed(monkeypatch, "file", f" '{own}' ")
    assert choose_backbone() == Choice("file", path=own)


def test_a_typed_nonsense_is_asked_again(monkeypatch, capsys):
    typed(monkeypatch, "nonsense", "imagenet")
    assert choose_backbone() == Choice("imagenet")
    assert "'nonsense' is not an answer here" in capsys.readouterr().out


def test_the_setting_answers_without_a_question():
    assert choose_backbone("pytorch-byol-80") == Choice("listed", "pytorch-byol-80")


def test_the_environment_answers_when_the_setting_is_open(monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS", "imagenet")
    assert choose_backbone() == Choice("imagenet")
    assert choose_backbone("train") == Choice("train")


@pytest.mark.parametrize("way", ["setting", "environment"])
def test_a_path_answers_too(way, own, monkeypatch):
    monkeypatch.setenv("FEWLABELS_WEIGHTS", str(own) if way == "environment" else "train")
    assert choose_backbone(str(own) if way == "setting" else "ask") == Choice("file", path=own)


@pytest.mark.parametrize(("answer", "words"), [
    ("nonsense", "answers 'nonsense' to"), ("missing.pth", "no file missing.pth"), ("file", "no file was named")])
def test_a_wrong_setting_is_one_line(answer, words):
    with pytest.raises(UserError, match=words) as error:
        choose_backbone(answer)
    assert "\n" not in str(error.value)


def test_train_gives_no_encoder():
    assert Choice("train").encoder("slim", 16, 1) is None


def test_a_file_of_ones_own_gives_its_encoder(own, capsys):
    encoder = choose_backbone(str(own)).encoder("resnet18", 16, 1)
    assert encoder.name == "slim" and "tensors used" in capsys.readouterr().out


def test_listed_weights_are_fetched_and_read(monkeypatch, tmp_path):
    peer = randomised(small_vit())
    torch.save(as_vit("timm", peer) | {"head.weight": torch.ones(1)}, tmp_path / "vit.pth")
    monkeypatch.setattr(choosing.fetching, "fetch", lambda name: {"pytorch-byol-40": tmp_path / "vit.pth"}[name])
    encoder = choose_backbone("pytorch-byol-40").encoder("resnet18", 16, 3)
    torch.testing.assert_close(encoder.eval()(pictures(peer)), peer(pictures(peer)))


def test_imagenet_asks_for_the_named_architecture(monkeypatch):
    monkeypatch.setattr(choosing.fetching, "pretrained", lambda *args: args)
    assert choose_backbone("imagenet").encoder("resnet50", 96, 3) == ("resnet50", 96, 3)


def test_on_colab_a_file_is_uploaded(monkeypatch, tmp_path, own):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr(choosing, "on_colab", lambda: True)
    monkeypatch.setattr(choosing, "in_notebook", lambda: True)
    monkeypatch.setattr(choosing.fetching, "upload", lambda target: target)
    assert choose_backbone("file").path.parent == tmp_path


def test_the_dropdown_offers_the_same_choices_and_its_value_is_a_setting():
    widget = choosing.dropdown()
    assert [value for _, value in widget.options] == list(choices())
    widget.value = "imagenet"
    assert choose_backbone(widget.value) == Choice("imagenet")


@pytest.mark.slow
def test_a_real_kernel_asks_and_a_typed_answer_arrives(monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager")
    kernel, client = manager.start_new_kernel(kernel_name="python3", startup_timeout=60)
    try:
        code = (f"import sys; sys.path.insert(0, {sys.path[0]!r}); sys.path.insert(0, '.')\n"
                "from helpers.checkpoints.choosing import choose_backbone\n"
                "print('chosen', choose_backbone())")
        sent = client.execute(code, allow_stdin=True)
        question = client.get_stdin_msg(timeout=60)
        client.input("imagenet")
        assert "1. train" in question["content"]["prompt"]
        assert "chosen Choice(kind='imagenet'" in printed(client, sent)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def printed(client, sent):
    """What a cell printed, once it is done."""
    text = ""
    try:
        while True:
            message = client.get_iopub_msg(timeout=30)
            if message["parent_header"].get("msg_id") != sent:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return text
            text += message["content"].get("text", "") + "\n".join(message["content"].get("traceback", []))
    except queue.Empty:
        return text
