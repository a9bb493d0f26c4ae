import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.cli import main as cli
from helpers.cli import notebooks as runner
from helpers.common.errors import UserError


@pytest.fixture
def commands(monkeypatch):
    """Stand-ins for what the commands call, which note their options."""
    called = SimpleNamespace(options=None)

    def note(options):
        called.options = options
        return None

    for target in ("cli.commands.pretrain", "cli.commands.evaluate", "cli.weights.weights"):
        monkeypatch.setattr(f"helpers.{target}", note)
    return called


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_the_output_is_one_line(unbuffered):
    words = "weights check byol-slim-digits"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "helpers", *words.split()], stdout=full,
                              stderr=subprocess.PIPE, text=True,
                              env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 2 and done.stderr == (
        "error: cannot write a file, or what this command prints (No space left on device): free "
        "some space and run again\n")


def test_help_names_every_command_and_imports_nothing_heavy():
    code = """
import runpy, sys
sys.argv = ["helpers", "--help"]
try:
    runpy.run_module("helpers", run_name="__main__")
finally:
    heavy = ("torch", "pandas", "papermill", "matplotlib")
    print([name for name in heavy if name in sys.modules])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=runner.ROOT)
    assert done.returncode == 0
    for name in ("run", "pretrain", "evaluate", "train", "predict", "weights", "doctor", "search",
                 "robustness", "similarity", "overfit"):
        assert f"    {name}" in [line[:4 + len(name)] for line in done.stdout.splitlines()]
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["run", "--preset", "huge"], ["run", "--seed", "-1"],
                  ["run", "--only", "98"], ["run", "--jobs", "0"], ["pretrain", "simclr"],
                  ["pretrain", "byol", "--epochs", "0"], ["pretrain", "byol", "--encoder", "vgg"],
                  ["evaluate"], ["evaluate", "x", "--protocol", "guess"], ["weights"],
                  ["weights", "fetch"], ["run", "--bogus"]])
def test_bad_arguments_are_one_line_and_status_2(arguments, commands, capsys):
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(("words", "said"), [
    (["evaluate", "x", "--sede", "3"], "did you mean --seed? (see `python -m helpers evaluate -"),
    (["weights", "check", "x", "--wat"], "--wat (see `python -m helpers weights check --help`)"),
    (["run", "--views.angle", "3"], "unknown option --views.angle (see `python -m helpers run -"),
    (["doctor", "--plam"], "did you mean --plan? (see `python -m helpers doctor --help`)"),
    (["weights", "fetc", "x"], "(see `python -m helpers weights --help`)"),
    (["dance"], "(see `python -m helpers --help`)")])
def test_an_unknown_word_names_the_help_of_its_command(words, said, commands, capsys):
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_user_error_of_a_command_is_one_line_and_status_2(monkeypatch, capsys):
    def fail(*arguments, **options):
        raise UserError("no folder x: make it")

    monkeypatch.setattr(runner, "run", fail)
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == "error: no folder x: make it\n"


def test_ctrl_c_is_one_line_and_status_130(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err.strip() == "stopped by Ctrl-C"


def test_run_passes_its_options_and_its_status_on(monkeypatch):
    seen = []
    monkeypatch.setattr(runner, "run", lambda only, **options: seen.append((only, options)) or 1)
    line = "run --only 01 3 --dataset stl10 --preset full --seed 4 --out there --jobs 3"
    assert cli.main(line.split()) == 1
    assert seen == [(["01", "3"], {"dataset": "stl10", "preset": "full", "seed": 4,
                                   "out": "there", "jobs": 3})]


def test_run_list_names_the_notebooks(tmp_path, monkeypatch, capsys):
    path = tmp_path / "01_first.ipynb"
    path.write_text(
        '{"cells": [{"cell_type": "markdown", "source": ["# 1. The first\\n", "more"]}]}')
    monkeypatch.setattr(runner, "find", lambda: [path])
    assert cli.main(["run", "--list"]) == 0
    assert capsys.readouterr().out.split(maxsplit=1) == ["01_first", "1. The first\n"]


def test_pretrain_passes_its_options(commands):
    line = (
        "pretrain noise-byol --dataset stl10 --encoder resnet18 --epochs 3 --batch-size 64 --out o "
        "--resume --stop-on-collapse --compile --device cpu --devices 2 --num-nodes 3 --seed 1 "
        "--preset full "
        "--image-size 96")
    assert cli.main(line.split()) == 0
    got = vars(commands.options)
    assert got | {
        "method": "noise-byol", "dataset": "stl10", "encoder": "resnet18", "epochs": 3,
        "batch_size": 64, "out": "o", "resume": True, "stop_on_collapse": True, "compile": True,
        "device": "cpu", "devices": 2, "num_nodes": 3, "seed": 1, "preset": "full", "image_size": 96
    } == got


def test_evaluate_passes_its_options(commands):
    line = "evaluate a.ckpt --dataset digits --protocol knn mlp --json"
    assert cli.main(line.split()) == 0
    got, protocols = vars(commands.options), ["knn", "mlp"]
    assert got | {"checkpoint": "a.ckpt", "dataset": "digits", "protocol": protocols, "json": True
                  } == got


@pytest.mark.parametrize("words, expected", [
    (["list"], {"action": "list"}), (["fetch", "a"], {"action": "fetch", "name": "a"}),
    (["check", "f"], {"action": "check", "file": "f"})])
def test_weights_passes_its_action(commands, words, expected):
    assert cli.main(["weights", *words]) == 0
    assert vars(commands.options) | expected == vars(commands.options)
