import subprocess
import sys

import pytest
from kernels import real_kernel, run_in

from helpers.common.errors import UserError
from helpers.models.weights import prompts

ENV = "FEWLABELS_PRETRAINED"
COLOURS = {"red": "warm", "green": "fresh", "grey": "neither"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv(ENV, raising=False)


@pytest.fixture
def person(monkeypatch):
    """A person at a terminal who types the given lines, one after the other; returns what they
    were shown."""

    def types(*lines):
        shown, left = [], list(lines)
        monkeypatch.setattr(prompts, "_at_terminal", lambda: True)
        monkeypatch.setattr("builtins.input", lambda prompt: shown.append(prompt) or left.pop(0))
        return shown

    return types


def pretrained(setting="ask"):
    """A yes/no question as the suite puts it."""
    return prompts.ask_yes_no(prompts.PRETRAINED, default=False, setting=setting)


def colour(default, setting="ask", env=None):
    """A question with named and numbered answers, as the suite puts them."""
    return prompts.Question(prompts.numbered("Which?", COLOURS, f"Number or name [{default}] "),
                            lambda text: prompts.parse_choice(text, list(COLOURS)),
                            prompts.named(COLOURS), default, default, env).answer(setting)


@pytest.mark.parametrize("word", ["yes", "Y", "True", "1", " yEs ", "t", "on"])
def test_every_spelling_of_yes_is_yes(word):
    assert prompts.ask_yes_no("Really?", default=False, setting=word) is True


@pytest.mark.parametrize("word", ["no", "N", "False", "0", " nO ", "f", "off"])
def test_every_spelling_of_no_is_no(word):
    assert prompts.ask_yes_no("Really?", default=True, setting=word) is False


@pytest.mark.parametrize("value", [True, False])
def test_a_setting_wins_over_the_environment_and_the_person(monkeypatch, person, value):
    monkeypatch.setenv(ENV, str(not value))
    shown = person(str(not value))
    assert pretrained(value) is value
    assert shown == []


def test_the_environment_wins_over_the_person(monkeypatch, person):
    shown = person("no")
    monkeypatch.setenv(ENV, "yes")
    assert pretrained() is True
    assert shown == []


@pytest.mark.parametrize("open_setting", ["ask", "Ask", "", None])
def test_an_open_setting_asks(person, open_setting):
    shown = person("yes")
    assert pretrained(open_setting) is True
    assert len(shown) == 1


@pytest.mark.parametrize("default", [True, False])
def test_enter_takes_the_default(person, default):
    person("")
    assert prompts.ask_yes_no("Really?", default=default) is default


def test_a_bad_answer_is_asked_again_with_the_choices(person, capsys):
    shown = person("maybe", "2", "y")
    assert prompts.ask_yes_no("Really?", default=False) is True
    assert len(shown) == 3
    said = capsys.readouterr().out
    assert "'maybe' is not an answer" in said
    assert "yes or no" in said


@pytest.mark.parametrize("bad", ["maybe", "2", "yess", 7])
def test_a_bad_setting_is_an_error_with_the_choices(bad):
    with pytest.raises(UserError, match="yes or no"):
        pretrained(bad)


def test_a_bad_environment_variable_is_named(monkeypatch):
    monkeypatch.setenv(ENV, "perhaps")
    with pytest.raises(UserError, match=f"{ENV}.*'perhaps'.*yes or no"):
        pretrained()


def test_without_a_terminal_the_default_is_taken_and_said(monkeypatch, capsys):
    monkeypatch.setattr(prompts, "_at_terminal", lambda: False)
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("asked nobody"))
    assert pretrained() is False
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "so: no" in said
    assert ENV in said


def test_a_terminal_that_closes_at_the_question_means_the_default(monkeypatch, person, capsys):
    person()

    def closed(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    assert prompts.ask_yes_no("Really?", default=True) is True
    assert "so: yes" in capsys.readouterr().out


@pytest.mark.parametrize("answer, name", [("2", "green"), ("GREY", "grey"), ("r", "red"),
                                          ("gree", "green"), ("", "grey")])
def test_a_choice_is_a_number_a_name_a_prefix_or_enter(person, answer, name):
    person(answer)
    assert colour("grey") == name


def test_a_choice_lists_its_meanings_and_asks_again_when_a_prefix_fits_two(person, capsys):
    shown = person("gr", "0", "4", "red")
    assert colour("grey") == "red"
    assert "1. red: warm" in shown[0]
    assert capsys.readouterr().out.count("is not an answer") == 3


def test_a_choice_from_setting_and_environment(monkeypatch):
    monkeypatch.setenv("FEWLABELS_COLOUR", "green")
    assert colour("red", env="FEWLABELS_COLOUR") == "green"
    assert colour("red", setting="3", env="FEWLABELS_COLOUR") == "grey"
    with pytest.raises(UserError, match="1 or red, 2 or green, 3 or grey"):
        colour("red", setting="blue")


@pytest.mark.parametrize("stdin", ["<&-", "</dev/null", "<<< yes"])
def test_a_process_without_a_terminal_ends_with_the_default(stdin):
    code = ("from helpers.models.weights.prompts import PRETRAINED, ask_yes_no; "
            "print(ask_yes_no(PRETRAINED, default=False))")
    command = ["bash", "-c", f'"{sys.executable}" -c "{code}" {stdin}']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert len(done.stdout.splitlines()) == 2


@pytest.fixture(scope="module")
def kernel():
    with real_kernel() as client:
        yield client


ASK = ("from helpers.models.weights.prompts import PRETRAINED, ask_yes_no\nprint('got', "
       "ask_yes_no(PRETRAINED, default=False))")


def test_a_real_kernel_asks_again_after_a_bad_answer(kernel):
    printed, questions, status = run_in(kernel, ASK, ["what?", "Yes"])
    assert status == "ok"
    assert len(questions) == 2
    assert "'what?' is not an answer" in printed
    assert printed.splitlines()[-1] == "got True"


def test_a_real_kernel_without_stdin_takes_the_default_and_says_so(kernel):
    printed, questions, status = run_in(kernel, ASK)
    assert status == "ok"
    assert questions == []
    assert printed.splitlines() == [
        "Start from the backbone pretrained on ImageNet? Nobody is here to answer, so: no (set "
        "FEWLABELS_PRETRAINED to choose).", "got False"]
