"""What notebook 09 compares: counts and networks as a person writes them, and ImageNet's weights
where they lie."""

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from helpers.common.errors import UserError
from helpers.data.loading import load
from helpers.evaluation import majority_share, usable_counts
from helpers.methods.presets import HEAD_RATE, RATES, fine_tuning
from helpers.models.weights import registry as manifest
from helpers.settings import Settings
from helpers.training import label_curve as label_study
from helpers.training.label_curve import (
    curve_row,
    gain_row,
    imagenet_encoders,
    kept_training,
    label_counts,
    model_names,
    scratch_encoders,
    trained_counts,
)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture
def settings():
    return Settings.resolve(preset="quick", dataset="digits", device="cpu")


@pytest.mark.parametrize("text,counts", [("1 2 5 10 20 50 100 all", [1, 2, 5, 10, 20, 50, 100, 0]),
                                         ("10, 1", [1, 10]), ("all", [0]), ("500 all", [0]),
                                         ("500", [0]), ((0, 5, 1), [1, 5, 0])])
def test_counts_that_the_classes_have_are_kept(digits, text, counts, capsys):
    assert label_counts(text, digits) == counts
    assert ("left out: 500 labels per class" in capsys.readouterr().out) == ("500" in text)


def test_a_class_that_has_fewer_is_named():
    labels = torch.tensor([0] * 6 + [1] * 42)
    counts, (left, fewer) = usable_counts((10, 50, 0), labels, ("cat", "dog"))
    assert counts == [10, 0] and "the largest class has 42" in left
    assert fewer == "with 10 labels per class, these have fewer and give all: cat 6"
    assert majority_share(labels) == 42 / 48


@pytest.mark.parametrize("text", ["one", "0 1", "-1", "1.5", ""])
def test_counts_that_are_none_are_one_line(digits, text):
    message = "labels per class must be whole numbers above zero and the word all"
    with pytest.raises(UserError, match=message) as caught:
        label_counts(text, digits)
    assert "\n" not in str(caught.value)


def test_auto_takes_what_the_preset_has_time_for(digits, settings):
    full = Settings.resolve(preset="full", dataset="digits", device="cpu")
    assert model_names("auto", settings) == ("slim",)
    assert trained_counts("auto", settings, digits) == [1, 10, 0]
    assert model_names("auto", full) == model_names("all", settings) == (
        "resnet18", "resnet50", "mobilenet_v3_small", "efficientnet_b0", "vit_small")
    assert trained_counts("auto", full, digits) == [1, 2, 5, 10, 20, 50, 100, 0]


def test_networks_are_taken_as_named_and_an_unknown_one_is_one_line(settings):
    assert model_names("resnet18, vit_tiny resnet18", settings) == ("resnet18", "vit_tiny")
    with pytest.raises(UserError,
                       match="no network is called 'resnet9': choose among slim, slim_fine"):
        model_names("slim, resnet9", settings)


def test_random_weights_depend_on_the_seed_alone(digits, settings):
    one, two = (scratch_encoders(names, digits, settings)["slim"]
                for names in (["slim"], ["vit_digits", "slim"]))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_missing_weights_are_one_line_and_no_row(digits, settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert imagenet_encoders(("resnet18", "slim", "resnet50"), digits, settings) == {}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[0] == (
        "ImageNet resnet18 is left out: its weights are not on this disk (`python "
        "-m helpers weights fetch imagenet-resnet18` gets them)")


def test_weights_of_torchs_cache_are_used_and_others_are_not(digits, settings, tmp_path,
                                                             monkeypatch, capsys):
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    peer = resnet18().eval()
    file = tmp_path / "hub" / "checkpoints" / manifest.entry("imagenet-resnet18").file
    file.parent.mkdir(parents=True)
    torch.save(peer.state_dict(), file)
    # not the published file, by its hash
    assert imagenet_encoders(("slim",), digits, settings) == {}
    assert "ImageNet resnet18 is left out" in capsys.readouterr().out
    monkeypatch.setattr(manifest, "check_hash", lambda *_: None)
    encoder = imagenet_encoders(("slim",), digits, settings)["resnet18"]
    assert torch.equal(encoder.backbone.layer4[1].conv2.weight, peer.layer4[1].conv2.weight)


@pytest.fixture
def trained(monkeypatch):
    """The trainings that `kept_training` asks for; each gives two made-up scores."""
    asked = []
    monkeypatch.setattr(label_study, "few_label_training",
                        lambda *given, per_class, **_: asked.append((given[3], per_class))
                        or [0.5, 0.25])
    return asked


def test_a_training_that_was_done_is_read_back(digits, settings, tmp_path, trained):
    settings = settings.replace(run_dir=tmp_path)
    encoder = scratch_encoders(["slim"], digits, settings)["slim"]
    numbers = fine_tuning(settings, lr=1e-3, head_lr=1e-3)
    for _ in range(2):
        assert kept_training("from scratch, slim", encoder, digits, settings, numbers,
                             per_class=1) == [0.5, 0.25]
    assert trained == [(numbers, 1)]
    (kept,) = (settings.checkpoints / "label_curve").iterdir()
    assert kept.name.startswith("from_scratch_slim-1-")
    kept.write_text(kept.read_text()[:20])
    assert kept_training("from scratch, slim", encoder, digits, settings, numbers,
                         per_class=1) == [0.5, 0.25]
    assert len(trained) == 2


def test_a_training_is_found_under_another_name(digits, settings, tmp_path, trained):
    settings = settings.replace(run_dir=tmp_path)
    encoder = scratch_encoders(["slim"], digits, settings)["slim"]
    for name in ("from scratch", "from scratch, slim"):
        kept_training(name, encoder, digits, settings, fine_tuning(settings), per_class=1)
    assert len(trained) == 1
    kept_training("slim", encoder, digits, settings, fine_tuning(settings), per_class=1,
                  evaluate_on=digits.val)
    kept_training("slim", encoder, digits, settings, fine_tuning(settings), per_class=1,
                  finished=[])
    assert len(trained) == 3  # other images, and classifiers that are wanted


@pytest.mark.parametrize("best, said", [(0, "at the end of the grid"), (2, "rate 0.005 (on")])
def test_the_rate_is_the_best_on_validation_and_an_end_of_the_grid_is_told(
        digits, settings, tmp_path, monkeypatch, capsys, best, said):
    monkeypatch.setattr(label_study, "kept_training", lambda _, __, ___, ____, recipe, **more: [
        0.9 if recipe.lr == RATES[best] else 0.8])
    chosen = label_study.choose_rate("slim", None, digits, settings)
    assert (chosen.lr, chosen.head_lr) == (RATES[best], HEAD_RATE)
    assert said in capsys.readouterr().out


def test_of_equal_rates_the_middle_one_is_taken(digits, settings, monkeypatch):
    monkeypatch.setattr(label_study, "kept_training", lambda *_, **__: [0.9])
    assert label_study.choose_rate("slim", None, digits, settings).lr == RATES[len(RATES) // 2]


def test_a_gain_is_taken_subset_by_subset():
    row = gain_row("BYOL", "linear probe", "raw pixels", 5, [0.8, 0.9], [0.7, 0.6])
    assert row["metric"] == "gain over raw pixels, points" and row["mean"] == pytest.approx(20)
    assert row["std"] == pytest.approx(np.std([10, 30], ddof=1)) and row["n"] == 2


def test_another_number_network_or_image_is_trained_anew(digits, settings, tmp_path, trained):
    settings = settings.replace(run_dir=tmp_path)
    encoder, other = (scratch_encoders(["slim"], digits, settings.replace(seed=seed))["slim"]
                      for seed in (0, 1))
    usual = fine_tuning(settings, lr=1e-3, head_lr=1e-3)

    def keep(network=encoder, splits=digits, settings=settings, recipe=usual, per_class=1):
        kept_training("slim", network, splits, settings, recipe, per_class=per_class)

    keep()
    keep(per_class=0)
    for changed in (dict(lr=2e-3), dict(steps=7), dict(batch_size=9)):
        keep(recipe=usual.replace(**changed))
    for changed in (dict(draws=9), dict(seed=3)):
        keep(settings=settings.replace(**changed))
    keep(other)
    keep(splits=load("digits", seed=1))
    assert len(trained) == 9


def test_a_row_has_a_deviation_where_there_are_several_draws():
    assert curve_row("BYOL", "linear probe", 5,
                     [0.8, 0.9])["std"] == pytest.approx(0.0707, abs=1e-4)
    assert curve_row("BYOL", "linear probe", 0,
                     [0.8]) == dict(method="BYOL", protocol="linear probe", labels_per_class="all",
                                    metric="test accuracy", mean=0.8, std=None, n=1)
