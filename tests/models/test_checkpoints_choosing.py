"""Which weights to take: every answer to the notebooks' questions, by every way of answering."""

import sys

import pytest
import torch
from foreign_weights import as_vit, randomised, small_vit, some_images
from kernels import real_kernel, run_in

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights import choose as choosing
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import save_encoder
from helpers.models.weights.choose import (
    Choice,
    ask_encoder,
    ask_start,
    encoder_choices,
    start_choices,
)

ENVIRONMENT = {ask_start: "FEWLABELS_PRETRAINED", ask_encoder: "FEWLABELS_WEIGHTS"}
DEFAULT = {ask_start: "train", ask_encoder: "auto"}
ASKS = pytest.mark.parametrize("ask", [ask_start, ask_encoder])


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """Nobody to type anything, no answer in the environment, no drop-downs."""
    for variable in (*ENVIRONMENT.values(), "JPY_SESSION_NAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(choosing, "read_line", lambda prompt: None)


@pytest.fixture
def own(tmp_path):
    return save_encoder(randomised(build("slim", channels=1, image_size=16, width=4)),
                        tmp_path / "own.safetensors")


@pytest.fixture
def widgets(monkeypatch):
    """A notebook in which drop-downs appear."""
    monkeypatch.setattr(choosing, "in_notebook", lambda: True)
    monkeypatch.setenv("JPY_SESSION_NAME", "03_feature_extraction.ipynb")


def typed(monkeypatch, *answers):
    waiting = list(answers)
    monkeypatch.setattr(choosing, "read_line", lambda prompt: waiting.pop(0))


@pytest.mark.parametrize("choices", [start_choices, encoder_choices])
def test_the_choices_are_train_imagenet_the_listed_weights_and_a_file(choices):
    names = [name for name in choices() if name != "auto"]
    assert set(names[:2]) == {"train", "imagenet"} and names[-1] == "file"
    assert {"self-learner-byol", "self-learner-byol-imagenet", "pytorch-byol-80"} <= set(names)


@ASKS
def test_nobody_there_means_the_default_and_it_is_said_how_to_choose(ask, capsys):
    assert ask().choice() == Choice(DEFAULT[ask])
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and ENVIRONMENT[ask] in said
    meaning = "train (no" if ask is ask_start else "auto (the encoder of notebook 02"
    assert f"No input available, using {meaning}" in said


@ASKS
@pytest.mark.parametrize(("answer", "choice"), [
    ("train", Choice("train")), ("imagenet", Choice("imagenet")), ("IMAGENET", Choice("imagenet")),
    ("self-learner-byol", Choice("listed", "self-learner-byol")),
    ("Pytorch-BYOL-40", Choice("listed", "pytorch-byol-40")),
])
def test_a_typed_answer_is_a_name(ask, answer, choice, monkeypatch):
    typed(monkeypatch, answer)
    assert ask().choice() == choice


@ASKS
def test_a_typed_answer_is_a_number_or_enter_for_the_default(ask, monkeypatch):
    first = next(iter(registry.entries()))
    number = 1 + list({ask_start: start_choices, ask_encoder: encoder_choices}[ask]()).index(first)
    typed(monkeypatch, str(number), "")
    assert ask().choice() == Choice("listed", first) and ask().choice() == Choice(DEFAULT[ask])


@pytest.mark.parametrize("word", [*choosing.YES, *choosing.NO, "True", "False"])
def test_in_notebook_02_yes_means_imagenet_and_no_means_random_weights(word, monkeypatch):
    expected = Choice("imagenet" if word.lower() in choosing.YES else "train")
    assert ask_start(word).choice() == expected
    monkeypatch.setenv("FEWLABELS_PRETRAINED", word)
    assert ask_start().choice() == expected
    typed(monkeypatch, word)
    monkeypatch.delenv("FEWLABELS_PRETRAINED")
    assert ask_start().choice() == expected


@pytest.mark.parametrize("word", ["True", "False", "yes", "no", True, False])
def test_from_notebook_03_on_yes_means_a_pretrained_backbone_and_no_a_random_start(
        word, monkeypatch):
    kind = "pretrained backbone" if str(word) in ("True", "yes") else "random start"
    assert ask_encoder(word).choice() == Choice(kind)
    typed(monkeypatch, str(word))
    assert ask_encoder().choice() == Choice(kind)
    assert Choice(kind).encoder("slim", 16, 1) is None


@pytest.mark.parametrize("value", [True, False])
def test_in_notebook_02_the_setting_may_be_a_plain_true_or_false(value):
    assert ask_start(value).choice() == Choice("imagenet" if value else "train")


def test_the_first_number_means_yes_in_notebook_02_and_the_usual_encoder_in_the_later_ones():
    assert ask_start("1").choice() == Choice("imagenet") and ask_encoder("1").choice() == Choice(
        "auto")


@ASKS
def test_a_typed_path_is_a_file_of_ones_own(ask, monkeypatch, own):
    typed(monkeypatch, f" '{own}' ")
    assert ask().choice() == Choice("file", path=own)


@ASKS
def test_the_word_file_asks_for_the_path(ask, monkeypatch, own):
    typed(monkeypatch, "file", str(own))
    assert ask().choice() == Choice("file", path=own)


@ASKS
@pytest.mark.parametrize(("nonsense", "words"), [("nonsense", "'nonsense' is not an answer"),
                                                 ("missing.pth", "no file missing.pth")])
def test_a_typed_answer_that_is_none_is_asked_again_with_the_choices(ask, nonsense, words,
                                                                     monkeypatch, capsys):
    typed(monkeypatch, nonsense, "imagenet")
    assert ask().choice() == Choice("imagenet")
    said = capsys.readouterr().out
    assert words in said and "or imagenet" in said and "or Enter for " in said


@ASKS
def test_the_setting_answers_first_then_the_environment_then_a_person(ask, monkeypatch):
    typed(monkeypatch, "self-learner-byol")
    monkeypatch.setenv(ENVIRONMENT[ask], "imagenet")
    assert ask("pytorch-byol-80").choice() == Choice("listed", "pytorch-byol-80")
    assert ask().choice() == Choice("imagenet")
    monkeypatch.delenv(ENVIRONMENT[ask])
    assert ask().choice() == Choice("listed", "self-learner-byol")


@ASKS
@pytest.mark.parametrize("way", ["setting", "environment"])
def test_a_path_answers_too(ask, way, own, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT[ask], str(own) if way == "environment" else "train")
    assert ask(str(own) if way == "setting" else "ask").choice() == Choice("file", path=own)


@ASKS
@pytest.mark.parametrize(("answer", "words"), [
    ("nonsense", "the setting: 'nonsense' is not an answer"),
    ("missing.pth", "no file missing.pth"),
    ("file", "no file was named"),
])
def test_a_wrong_setting_is_one_line(ask, answer, words):
    with pytest.raises(UserError, match=words) as error:
        ask(answer).choice()
    assert "\n" not in str(error.value)


@ASKS
def test_a_drop_down_offers_every_choice_and_never_waits(ask, widgets, monkeypatch):
    monkeypatch.setattr(choosing, "read_line", lambda prompt: pytest.fail("asked in words"))
    asked = ask()
    choices = {ask_start: start_choices, ask_encoder: encoder_choices}[ask]()
    assert [value for _, value in asked.menu.options] == list(choices)
    assert asked.choice() == Choice(DEFAULT[ask])
    asked.menu.value = "pytorch-byol-40"
    assert asked.choice() == Choice("listed", "pytorch-byol-40")


def test_a_drop_down_that_says_file_asks_for_the_path(widgets, monkeypatch, own):
    asked = ask_encoder()
    asked.menu.value = "file"
    typed(monkeypatch, str(own))
    assert asked.choice() == Choice("file", path=own)


def test_what_is_settled_needs_no_drop_down(widgets):
    assert ask_encoder("imagenet").menu is None and ask_encoder().menu is not None


@ASKS
def test_a_question_shows_itself_and_its_drop_down_in_the_cell(ask, widgets, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *what: shown.extend(what))
    asked = ask()
    asked._ipython_display_()
    assert shown == [asked.menu, asked.button]
    assert capsys.readouterr().out.startswith("Start from" if ask is ask_start else "Which encoder")


def test_on_colab_a_file_is_uploaded(monkeypatch, tmp_path):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr(choosing, "on_colab", lambda: True)
    monkeypatch.setattr(choosing, "in_notebook", lambda: True)
    monkeypatch.setattr(choosing.hub, "upload", lambda: tmp_path / "mine")
    assert ask_encoder("file").choice() == Choice("file", path=tmp_path / "mine")


@pytest.mark.parametrize("kind", ["auto", "train"])
def test_what_is_found_or_trained_is_no_encoder_yet(kind):
    assert Choice(kind).encoder("slim", 16, 1) is None


def test_a_file_of_ones_own_gives_its_encoder(own, capsys):
    encoder = ask_encoder(str(own)).choice().encoder("resnet18", 16, 1)
    assert encoder.name == "slim" and "tensors used" in capsys.readouterr().out


def test_listed_weights_are_fetched_and_read(monkeypatch, tmp_path):
    peer = randomised(small_vit())
    torch.save(as_vit("timm", peer) | {"head.weight": torch.ones(1)}, tmp_path / "vit.pth")
    monkeypatch.setattr(choosing.hub, "fetch",
                        lambda name: {"pytorch-byol-40": tmp_path / "vit.pth"}[name])
    encoder = ask_encoder("pytorch-byol-40").choice().encoder("resnet18", 16, 3)
    torch.testing.assert_close(encoder.eval()(some_images(peer)), peer(some_images(peer)))


@pytest.mark.parametrize(("wished", "given"), [("resnet50", "resnet50"), ("vit_base", "vit_base"),
                                               ("slim", "resnet18")])
def test_imagenet_gives_the_architecture_wished_for_or_resnet18(wished, given, monkeypatch):
    monkeypatch.setattr(choosing.hub, "pretrained", lambda *args: args)
    assert Choice("imagenet").encoder(wished, 96, 3) == (given, 96, 3)


def test_every_choice_has_a_label_and_a_start_of_its_own(own, tmp_path):
    other = tmp_path / "other" / own.name
    save_encoder(build("slim", channels=1, image_size=16, width=8), other)
    choices = [
        Choice("train"),
        Choice("imagenet"),
        Choice("listed", "pytorch-byol-40"),
        Choice("file", path=own)
    ]
    assert [choice.label for choice in choices
            ] == ["random weights", "ImageNet backbone", "pytorch-byol-40", "own.safetensors"]
    starts = [choice.start for choice in (*choices, Choice("file", path=other))]
    assert starts[:3] == ["scratch", "imagenet", "pytorch-byol-40"] and len(set(starts)) == 5
    assert all(str(tmp_path) not in start for start in starts)


@pytest.fixture(scope="module")
def kernel():
    with real_kernel() as client:
        yield client


HERE = (f"import os, sys; sys.path[:0] = [{sys.path[0]!r}, '.']; "
        "os.environ.pop('JPY_SESSION_NAME', None)\n")


@pytest.mark.parametrize(("call", "typed", "chosen"), [
    ("ask_start()", ["perhaps", "yes"], "imagenet"), ("ask_start()", ["False"], "train"),
    ("ask_encoder()", ["imagenet"], "imagenet"), ("ask_encoder()", [""], "auto"),
    ("ask_encoder()", ["byol.pth", "pytorch-byol-80"], "pytorch-byol-80")])
def test_a_real_kernel_asks_and_a_typed_answer_arrives(kernel, call, typed, chosen):
    code = ("from helpers.models.weights.choose import ask_encoder, ask_start\nchoice = "
            f"{call}.choice()\n")
    printed, questions, status = run_in(kernel,
                                        HERE + code + "print('chosen', choice.name or choice.kind)",
                                        typed)
    assert status == "ok" and len(questions) == len(typed)
    assert "imagenet: " in questions[0] and printed.splitlines()[-1] == f"chosen {chosen}"


def test_a_real_kernel_of_a_jupyter_server_shows_a_drop_down_and_does_not_wait(kernel):
    code = (
        "os.environ['JPY_SESSION_NAME'] = 'x.ipynb'\nfrom helpers.models.weights.choose import "
        "ask_encoder\n"
        "asked = ask_encoder()\nprint(type(asked.menu).__name__, asked.choice().kind)\nasked")
    printed, questions, status = run_in(kernel, HERE + code, [])
    assert (status, questions) == ("ok", []) and printed.splitlines()[0] == "Dropdown auto"
