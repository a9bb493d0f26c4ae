"""Questions put to a person: who answers, what is understood, and that nothing waits for nobody."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from kernels import real_kernel, run_in

from helpers.common.errors import UserError
from helpers.models.weights.choose import Asked, Choice, ask_start

ENV = "FEWLABELS_PRETRAINED"
COLOURS = {"red": "warm", "green": "fresh", "grey": "neither"}
YES, NO = Choice("imagenet"), Choice("train")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for variable in (ENV, "FEWLABELS_WEIGHTS", "JPY_SESSION_NAME"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def person(monkeypatch):
    """A person at a terminal who types the given lines, one after the other; returns what they
    were shown."""

    def types(*lines):
        shown, left = [], list(lines)
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
        monkeypatch.setattr("builtins.input", lambda prompt: shown.append(prompt) or left.pop(0))
        return shown

    return types


def colour(default, setting="ask", variable="FEWLABELS_COLOUR"):
    """A question with named and numbered answers, as the suite puts them."""
    return Asked("Which?", COLOURS, default, variable, setting).choice().name


@pytest.mark.parametrize("word", ["yes", "Y", "True", "1", " yEs ", "t", "on"])
def test_every_spelling_of_yes_is_yes(word):
    assert ask_start(word).choice() == YES


@pytest.mark.parametrize("word", ["no", "N", "False", "0", " nO ", "f", "off"])
def test_every_spelling_of_no_is_no(word):
    assert ask_start(word).choice() == NO


@pytest.mark.parametrize(("value", "meaning"), [(True, YES), (False, NO)])
def test_a_setting_wins_over_the_environment_and_the_person(monkeypatch, person, value, meaning):
    monkeypatch.setenv(ENV, str(not value))
    shown = person(str(not value))
    assert ask_start(value).choice() == meaning
    assert shown == []


def test_the_environment_wins_over_the_person(monkeypatch, person):
    shown = person("no")
    monkeypatch.setenv(ENV, "yes")
    assert ask_start().choice() == YES
    assert shown == []


@pytest.mark.parametrize("open_setting", ["ask", "Ask", "", None])
def test_an_open_setting_asks(person, open_setting):
    shown = person("yes")
    assert ask_start(open_setting).choice() == YES
    assert len(shown) == 1


def test_enter_takes_the_default(person):
    person("", "  ")
    assert ask_start().choice() == NO and colour("green") == "green"


def test_a_bad_answer_is_asked_again_with_the_choices(person, capsys):
    shown = person("maybe", "99", "y")
    assert ask_start().choice() == YES
    assert len(shown) == 3
    said = capsys.readouterr().out
    assert "'maybe' is not an answer" in said
    assert "yes or no" in said


@pytest.mark.parametrize("bad", ["maybe", "99", "yess", 77])
def test_a_bad_setting_is_an_error_with_the_choices(bad):
    with pytest.raises(UserError, match="the setting: .*yes or no"):
        ask_start(bad)


def test_a_bad_environment_variable_is_named(monkeypatch):
    monkeypatch.setenv(ENV, "perhaps")
    with pytest.raises(UserError, match=f"{ENV}.*'perhaps'.*yes or no"):
        ask_start()


def test_without_a_terminal_the_default_is_taken_and_said(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("asked nobody"))
    assert ask_start().choice() == NO
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "No input available, using train" in said
    assert ENV in said


def test_a_terminal_that_closes_at_the_question_means_the_default(monkeypatch, person, capsys):
    person()

    def closed(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    assert colour("grey") == "grey"
    assert "using grey (neither)" in capsys.readouterr().out


@pytest.mark.parametrize("answer, name", [("2", "green"), ("GREY", "grey"), (" red ", "red"),
                                          ("", "grey")])
def test_a_choice_is_a_number_a_name_or_enter(person, answer, name):
    person(answer)
    assert colour("grey") == name


def test_a_choice_lists_its_meanings_and_asks_again_when_an_answer_is_none(person, capsys):
    shown = person("gr", "0", "4", "red")
    assert colour("grey") == "red"
    assert "1. red: warm" in shown[0]
    assert capsys.readouterr().out.count("is not an answer") == 3


def test_a_choice_from_setting_and_environment(monkeypatch):
    monkeypatch.setenv("FEWLABELS_COLOUR", "green")
    assert colour("red") == "green"
    assert colour("red", setting="3") == "grey"
    with pytest.raises(UserError, match="1 or red, 2 or green, 3 or grey"):
        colour("red", setting="blue")


@pytest.mark.parametrize("stdin", ["<&-", "</dev/null", "<<< yes"])
def test_a_process_without_a_terminal_ends_with_the_default(stdin):
    code = "from helpers.models import ask_start; print(ask_start().choice().kind)"
    command = ["bash", "-c", f"'{sys.executable}' -c '{code}' {stdin}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "train"
    assert len(done.stdout.splitlines()) == 2


def test_a_real_kernel_without_stdin_takes_the_default_and_says_so():
    code = ("import os; os.environ.pop('JPY_SESSION_NAME', None)\n"
            "from helpers.models import ask_start\nprint('got', ask_start().choice().kind)")
    with real_kernel() as kernel:
        printed, questions, status = run_in(kernel, code)
    assert status == "ok"
    assert questions == []
    assert printed.splitlines() == [
        "Start from the backbone pretrained on ImageNet? No input available, using train (no, "
        "random weights: BYOL learns everything by itself); set FEWLABELS_PRETRAINED to choose.",
        "got train"]
