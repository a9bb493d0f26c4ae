"""`evaluate` on digits with an untrained encoder: what is printed, and what is refused."""

import json
import re
from argparse import Namespace
from functools import partial

import pytest
import torch
from running import without_choices
from shapes import CLASSES, shapes

from helpers.cli import commands
from helpers.cli.main import PROTOCOLS, main
from helpers.common.names import METHODS
from helpers.evaluation.linear_sgd import (
    choose_linear,
    crop_view,
    linear_features,
    view_features,
)
from helpers.models.encoder import build
from helpers.models.weights import registry as manifest
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.settings import Settings
from helpers.training.runs import Run


@pytest.fixture(autouse=True)
def small_settings(monkeypatch):
    without_choices(monkeypatch)
    for name, value in {"DEVICE": "cpu", "PRESET": "smoke", "LABEL_COUNTS": "1", "DRAWS": "2",
                        "FINETUNE_STEPS": "1"}.items():
        monkeypatch.setenv(f"FEWLABELS_{name}", value)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    encoder = build("slim", channels=1, image_size=16, width=8)
    return save_encoder(encoder, tmp_path_factory.mktemp("weights") / "encoder.safetensors")


def evaluate(checkpoint, *protocols, **options):
    commands.evaluate(
        Namespace(
            **{
                "checkpoint": str(checkpoint), "dataset": "digits", "protocol": protocols
                or ["knn"], "seed": None, "json": True, "folder": None,
                "device": None, "precision": None, "k": [20, 200], **options
            }))


def test_json_parses_and_holds_the_accuracies(checkpoint, capsys):
    evaluate(checkpoint, "knn", "linear")
    said = json.loads(capsys.readouterr().out)
    assert (said["checkpoint"], said["dataset"]) == (str(checkpoint), "digits")
    assert [row["protocol"]
            for row in said["results"]] == ["kNN, k = 20", "kNN, k = 200", "linear probe"]
    assert all(0.1 < row["mean"] <= 1 for row in said["results"])


def test_a_linear_probe_of_few_labels_is_averaged_over_ten_subsets_at_least(checkpoint, capsys):
    evaluate(checkpoint, "linear")
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["n"], row["labels_per_class"]) == (10, 1)
    assert row["std"] > 0


def test_fine_tuning_reports_one_row_per_label_count(checkpoint, capsys):
    evaluate(checkpoint, "finetune")
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["protocol"], row["labels_per_class"], row["n"]) == ("fine-tuned, 1 steps", 1, 2)


def test_the_same_command_gives_the_same_numbers(checkpoint, capsys):
    said = []
    for _ in range(2):
        evaluate(checkpoint, "linear")
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_the_table_has_percentages_with_one_decimal(checkpoint, capsys):
    evaluate(checkpoint, "knn", json=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.split("labels/class")[1].split()[0].endswith("%") for line in lines)
    assert " ± " not in lines[0]


def test_a_table_row_of_several_draws_has_a_deviation(checkpoint, capsys):
    evaluate(checkpoint, "linear", json=False)
    assert " ± " in capsys.readouterr().out


def test_a_colour_encoder_is_not_released_with_numbers_of_gray_images(tmp_path, capsys):
    path = save_encoder(build("slim", channels=3, image_size=16, width=8),
                        tmp_path / "colour.safetensors")
    assert main(["weights", "release", str(path), "toy", "--dataset", "digits"]) == 2
    said = capsys.readouterr().err
    assert "takes images of 3 channel(s), but digits has 1" in said and said.count("\n") == 1


def test_a_missing_checkpoint_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "none.safetensors"), "--dataset", "digits"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no file ") and error.count("\n") == 1


def test_the_shell_command_reaches_the_function(checkpoint, capsys):
    assert main(["evaluate",
                 str(checkpoint), "--dataset", "digits", "--protocol", "knn", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    assert [row["protocol"] for row in found] == [f"kNN, k = {k}" for k in (10, 20, 100, 200)]


def test_sgd_is_notebook_08s_linear_protocol(checkpoint, capsys):
    evaluate(checkpoint, "sgd")
    (row,) = json.loads(capsys.readouterr().out)["results"]
    settings = Settings.resolve(dataset="digits", image_size=16)
    encoder, splits = load_encoder(checkpoint).eval(), commands.load_for(settings)
    views = view_features(partial(linear_features, encoder), splits.train.images,
                          crop_view("digits", 16), settings.linear_views)
    found = choose_linear(views, splits.train.labels, linear_features(encoder, splits.val.images),
                          splits.val.labels, 10, epochs=settings.scale(100))
    assert row["protocol"] == f"linear, SGD, rate {found.rate:g}"
    assert row["mean"] == found.score(linear_features(encoder, splits.test.images),
                                      splits.test.labels)


def test_a_split_of_the_command_line_is_that_of_notebook_08(tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    colour = save_encoder(build("slim", channels=3, image_size=16, width=8),
                          tmp_path / "colour.safetensors")
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))
    seen = []
    monkeypatch.setattr(commands, "_measured", lambda _, __, ___, splits, *____:
                        seen.append(splits) or [])
    folder, wanted = shapes(tmp_path / "images"), ",".join(CLASSES[:2])
    line = ["evaluate", str(colour), str(folder), "--split-train", "2", "--split-test", "50%",
            "--classes", wanted]
    assert main(line) == 0
    assert seen[0].classes == tuple(sorted(CLASSES[:2]))
    assert seen[0].train.labels.bincount().tolist() == [2, 2]
    assert len(seen[0].test) == pytest.approx(len(seen[0].unlabeled) + len(seen[0].val), abs=4)
    for words, said in ((["digits", "--split-val", "3"], "digits has its own train, val"),
                        ([str(folder), "--split-val", "much"], "val is 'much': give auto")):
        assert main(["evaluate", str(colour), *words]) == 2
        assert said in capsys.readouterr().err


def test_the_protocols_of_the_shell_are_those_that_exist():
    assert set(PROTOCOLS) == {*commands.PROTOCOLS, *commands.OF_IMAGES}


def test_a_row_has_the_deviation_of_a_sample_and_none_for_a_single_number():
    assert commands._row("p", 5, [0.1, 0.3]) == pytest.approx(
        {"protocol": "p", "labels_per_class": 5, "mean": 0.2, "std": 0.02**0.5, "n": 2})
    assert commands._row("p", 0, [0.5]) == {
        "protocol": "p", "labels_per_class": "all", "mean": 0.5, "std": 0.0, "n": 1
    }


@pytest.fixture
def pretrained(monkeypatch):
    """Stands in for the training; notes what it was asked for."""
    asked = {}

    def note(splits, settings, recipe, **options):
        asked.update(options, splits=splits, settings=settings, recipe=recipe)
        row = {"knn": 0.8, "feature_std": 0.5, "rank": 12.3, "dimensions": 96}
        return Namespace(monitor=[row], path="runs/x.safetensors", seconds=3.2)

    monkeypatch.setattr("helpers.training.pretraining.pretrain", note)
    return asked


@pytest.mark.parametrize("method", METHODS)
def test_pretrain_says_where_the_encoder_is_and_what_it_is_worth(method, pretrained, capsys):
    assert main(["pretrain", method, "--dataset", "digits"]) == 0
    assert capsys.readouterr().out == (
        "runs/x.safetensors: kNN on validation 80.0%, feature std 0.50, "
        "effective rank 12 of 96, 3 s\n")
    assert pretrained["recipe"].method == method


def test_dino_takes_the_options_of_its_own_repository(pretrained):
    line = ("--arch vit_digits --optimizer sgd --lr 0.03 --weight-decay 1e-4 1e-3 --epochs 2 "
            "--global-scale 0.14 1 --local-scale 0.05 0.14 --local-crops 4 --save-every 1")
    assert main(["pretrain", "dino", "--dataset", "digits", *line.split()]) == 0
    recipe, settings = pretrained["recipe"], pretrained["settings"]
    assert (settings.encoder, pretrained["save_every"]) == ("vit_digits", 1)
    assert (recipe.optimizer, recipe.lr, recipe.weight_decay) == ("sgd", 0.03, (1e-4, 1e-3))
    assert (recipe.global_scale, recipe.local_scale, recipe.local_crops) == ((0.14, 1.0),
                                                                             (0.05, 0.14), 4)


def test_a_start_is_chosen_as_in_the_notebook(pretrained, checkpoint):
    main(["pretrain", "byol", "--dataset", "digits"])
    assert (pretrained["encoder"], pretrained["start"].start) == (None, "scratch")
    main(["pretrain", "byol", "--dataset", "digits", "--start", str(checkpoint)])
    assert pretrained["encoder"].name == "slim"
    assert pretrained["start"].start.startswith(checkpoint.name)


def test_a_run_that_cannot_be_resumed_is_said_where_there_are_others(pretrained, tmp_path,
                                                                     monkeypatch, capsys):
    monkeypatch.setenv("FEWLABELS_RUN_DIR", str(tmp_path / "runs"))
    line = ["pretrain", "byol", "--dataset", "digits", "--resume"]
    main(line)
    assert "nothing to resume" not in capsys.readouterr().out  # the first run of all
    run = Run(pretrained["recipe"], pretrained["settings"]).folder
    run.mkdir(parents=True)
    (run / "last.ckpt").touch()
    main(line)
    assert "nothing to resume" not in capsys.readouterr().out
    for other in (["--epochs", "2"], ["--batch-size",
                                      "32"], ["--out",
                                              str(tmp_path / "elsewhere")], ["--seed", "4"]):
        main([*line, *other])
        folder = Run(pretrained["recipe"], pretrained["settings"]).folder
        said = capsys.readouterr().out.splitlines()[0]
        assert said == (f"nothing to resume in {folder}, so it begins from zero; other runs of "
                        f"digits: {run}")
    main(["pretrain", "dino", "--dataset", "digits", "--resume"])
    main(["pretrain", "byol", "--dataset", "digits", "--epochs", "2"])  # resuming was not asked for
    assert "nothing to resume" not in capsys.readouterr().out


def test_a_collapse_ends_a_training_only_when_asked(pretrained):
    for words, stops in (([], False), (["--stop-on-collapse"], True)):
        main(["pretrain", "byol", "--dataset", "digits", *words])
        assert pretrained["stop_on_collapse"] is stops


def test_a_release_is_measured_and_listed(tmp_path, monkeypatch, capsys):
    encoder = build("slim", channels=1, image_size=16, width=8)
    path = save_encoder(encoder, tmp_path / "e.safetensors", method="byol", dataset="digits",
                        epochs=3, seed=1)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "weights" / "manifest.json")
    (tmp_path / "weights").mkdir()
    manifest.MANIFEST.write_text("{}")
    monkeypatch.setenv("FEWLABELS_LABEL_COUNTS", "1,10,all")
    assert main(["weights", "release", str(path), "byol-toy"]) == 0
    (entry,) = manifest.entries().values()
    settings = Settings.resolve(dataset="digits", seed=1)
    knn, *_ = commands._measured(encoder, "", ["knn"], commands.load_for(settings), settings)
    assert entry.accuracy["kNN, k = 20"] == round(knn["mean"], 4)
    assert {
        "linear probe", "linear probe, 1 label per class", "linear probe, 10 labels per class"
    } < set(entry.accuracy)
    assert entry.what == "byol on digits, 3 epochs, by this suite"
    assert "byol-toy" in capsys.readouterr().out


def test_a_release_in_half_precision_is_measured_as_it_is_kept(tmp_path, monkeypatch):
    path = save_encoder(build("slim", channels=1, image_size=16, width=8),
                        tmp_path / "e.safetensors", dataset="digits")
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "weights" / "manifest.json")
    (tmp_path / "weights").mkdir()
    manifest.MANIFEST.write_text("{}")
    seen = []
    monkeypatch.setattr(commands, "_measured", lambda encoder, *_: seen.append(encoder) or [])
    assert main(["weights", "release", str(path), "byol-toy", "--half"]) == 0
    kept = load_encoder(tmp_path / "weights" / "byol-toy.safetensors").state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in seen[0].state_dict().items())


def test_epochs_become_steps_that_show_every_image(pretrained):
    main(["pretrain", "byol", "--dataset", "digits", "--epochs", "2", "--batch-size", "100"])
    images = len(pretrained["splits"].unlabeled)
    assert pretrained["recipe"].steps == -(-2 * images // 100)
    assert pretrained["recipe"].batch_size == 100


def test_released_weights_are_evaluated_by_their_name(capsys, monkeypatch):
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")
    arguments = ["evaluate", "byol-slim-digits", "--dataset", "digits", "--protocol", "knn"]
    assert main(arguments) == 0
    first = capsys.readouterr().out.splitlines()[-3]
    assert first.startswith("kNN, k = 20") and float(re.search(r"(\d+\.\d)%", first)[1]) > 95
