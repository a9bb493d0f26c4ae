"""How a whole network is trained by `train`, and one batch learnt by heart by `overfit`."""


import pytest
from running import without_choices
from shapes import CLASSES, shapes

from helpers.cli import classifier
from helpers.cli.main import main
from helpers.models.classifier_file import load_classifier


@pytest.fixture(autouse=True)
def small_settings(monkeypatch, tmp_path):
    without_choices(monkeypatch)
    for name, value in {"DEVICE": "cpu", "PRESET": "smoke", "BATCH_SIZE": "16",
                        "DATA_DIR": tmp_path / "data", "RUN_DIR": tmp_path / "runs"}.items():
        monkeypatch.setenv(f"FEWLABELS_{name}", str(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shapes(tmp_path_factory.mktemp("shapes"))


def train(folder, tmp_path, *words):
    out = tmp_path / "my.safetensors"
    return main(["train", str(folder), "--image-size", "16", "--out", str(out), *words]), out


def test_a_network_of_random_weights_is_trained_with_the_recipe_that_is_given(folder, tmp_path):
    status, out = train(folder, tmp_path, "--weights", "scratch", "--encoder", "vit_digits",
                        "--protocol", "finetune", "--epochs", "3", "--lr", "1e-3", "--optimizer",
                        "sgd", "--batch-size", "8", "--patience", "none", "--eval-every", "2",
                        "--save-every", "1")
    made = load_classifier(out)
    recipe = made.facts["recipe"]
    assert (status, made.encoder.name, made.facts["weights"]) == (0, "vit_digits", "scratch")
    assert (recipe["lr"], recipe["optimizer"], recipe["patience"]) == (1e-3, "sgd", None)
    assert recipe["steps"] == recipe["done"] == -(-3 * made.facts["trained_on"] // 8)
    (run,) = (tmp_path / "runs").glob("*/finetune-*")
    assert {"epoch-0001.ckpt", "epoch-0002.ckpt", "last.ckpt", "logs"} <= {
        path.name for path in run.iterdir()}
    encoder = made.encoder.state_dict()
    status, again = train(folder, tmp_path, "--weights", str(out), "--protocol", "last-block",
                          "--epochs", "1")
    changed = {name for name, value in load_classifier(again).encoder.state_dict().items()
               if not value.equal(encoder[name])}
    last = max(int(name.split("blocks.")[1].split(".")[0]) for name in encoder if "blocks." in name)
    assert changed and all(f"blocks.{last}." in name or ".norm." in name for name in changed)


def test_the_split_and_the_classes_are_those_that_are_asked_for(folder, tmp_path, capsys):
    status, out = train(folder, tmp_path, "--split-train", "3", "--split-val", "2", "--split-test",
                        "4", "--classes", ",".join(CLASSES[:2]))
    assert status == 0 and load_classifier(out).classes == CLASSES[:2]
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[2:5]] == [
        ["train", "6"], ["val", "4"], ["test", "8"]]


@pytest.mark.parametrize(("words", "said"), [
    (["--lr", "3"], "--lr is for --protocol finetune or last-block, and linear trains a head"),
    (["--eval-every", "3"], "--eval-every is for --protocol finetune or last-block"),
    (["--weights", "scratch"], "random weights are trained as a whole: add --protocol finetune"),
    (["--encoder", "slim"], "--encoder is for --weights scratch"),
    (["--protocol", "finetune", "--lr", "fast"], "lr must be a number, not 'fast'"),
    (["--protocol", "finetune", "--head-lrr", "1"], "did you mean --head-lr?"),
    (["--protocol", "finetune", "--views.angle", "3"], "unknown option --views.angle"),
    (["--protocol", "last-block"], "only a ViT has a last block"),
    (["--split-val", "2.5"], "val is '2.5': give auto"),
    (["--protocol", "finetune", "--optimizer", "adamw_8bit"],
     "the 8-bit optimizer needs a CUDA GPU and `pip install bitsandbytes`")])
def test_what_does_not_go_together_is_one_line(words, said, folder, tmp_path, capsys):
    status, _ = train(folder, tmp_path, *words)
    error = capsys.readouterr().err.splitlines()[-1]
    assert status == 2 and error.startswith("error: ") and said in error


def test_options_of_the_whole_network_are_those_of_the_command():
    from helpers.cli.main import parser

    options = parser().parse_args(["train", "x", "--out", "y"])
    assert all(hasattr(options, name) for name in classifier.WHOLE_OPTIONS)


def test_a_batch_is_learnt_by_heart_and_the_quickest_rate_named(capsys):
    words = ["overfit", "digits", "--batch-size", "8", "--tolerance", "0.01",
             "--log-every", "4"]
    assert main([*words, "--rates", "1e-6", "1e-2", "--max-steps", "60"]) == 0
    slow, quick, best = capsys.readouterr().out.splitlines()
    assert slow.startswith("rate 1e-06: not learnt in 60 steps")
    assert quick.startswith("rate 0.01: learnt by heart in ") and "  4 " in quick
    assert best == "the quickest: rate 0.01"
    assert main([*words, "--rates", "1e-6", "--max-steps", "2"]) == 1
    assert "no rate brings the loss of 8 images below 0.01" in capsys.readouterr().out
    assert main([*words, "--rates", "0"]) == 2
