"""`search`, `robustness` and `similarity` on digits with small encoders."""

import csv

import pytest
import torch
from running import without_choices

from helpers.cli.main import main
from helpers.data.latents import marks_of
from helpers.data.loading import load
from helpers.data.splits import Labeled
from helpers.evaluation.features import extract_features
from helpers.evaluation.noise import noisy_images
from helpers.models.classifier_file import KeptClassifier, Seen, load_classifier, save_classifier
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import save_encoder


@pytest.fixture(autouse=True)
def small_settings(monkeypatch, tmp_path):
    without_choices(monkeypatch)
    for name, value in {"DEVICE": "cpu", "PRESET": "smoke", "RUN_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(f"FEWLABELS_{name}", value)


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    return save_encoder(build("slim", channels=1, image_size=16, width=8),
                        tmp_path / "encoder.safetensors")


@pytest.fixture
def kept(tmp_path):
    """A classifier that knows the digits in another order, and has seen 400 of the test images."""
    torch.manual_seed(0)
    encoder = build("slim", channels=1, image_size=16, width=8).eval()
    seen = Seen(torch.rand(8, encoder.num_features),
                marks=marks_of(load("digits", image_size=16).test.images[:400]))
    layer = torch.randn(10, encoder.num_features), torch.randn(10)
    classes = [str(digit) for digit in reversed(range(10))]
    return save_classifier(tmp_path / "kept.safetensors",
                           KeptClassifier(encoder, [layer], classes, seen))


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_robustness_gives_accuracy_and_similarity_at_each_sigma(encoder, tmp_path, capsys):
    out, figure = tmp_path / "r.csv", tmp_path / "r.png"
    assert main(["robustness", str(encoder), "--dataset", "digits", "--sigmas", "0", "2",
                 "--draws", "2", "--out", str(out), "--figure", str(figure)]) == 0
    rows = rows_of(out)
    assert [(row["noise_seed"], row["sigma"]) for row in rows] == [
        ("0", "0.0"), ("0", "2.0"), ("1", "0.0"), ("1", "2.0")]
    assert float(rows[0]["accuracy"]) > float(rows[1]["accuracy"])
    assert float(rows[0]["similarity"]) == 1 > float(rows[1]["similarity"])
    assert "500 test images of digits" in capsys.readouterr().out
    assert figure.stat().st_size > 5000


def test_a_kept_classifier_is_judged_by_its_own_head_on_images_that_it_has_not_seen(kept, tmp_path,
                                                                                    capsys):
    out = tmp_path / "r.csv"
    assert main(["robustness", str(kept), "--dataset", "digits", "--sigmas", "0.5", "--draws",
                 "1", "--out", str(out)]) == 0
    assert "100 test images of digits" in capsys.readouterr().out
    made, test = load_classifier(kept), load("digits", image_size=16).test
    new = Labeled(test.images[400:], test.labels[400:])
    noisy = noisy_images(new.images, 0.5, 0)
    expected = (made.head(extract_features(made.encoder, noisy)).argmax(1) == 9 - new.labels)
    assert float(rows_of(out)[0]["accuracy"]) == pytest.approx(expected.float().mean().item(),
                                                                abs=1e-4)


def test_similarity_gives_a_row_for_each_layer(encoder, kept, tmp_path):
    out = tmp_path / "s.csv"
    assert main(["similarity", str(encoder), str(kept), "--dataset", "digits", "--images", "8",
                 "--out", str(out), "--figure", str(tmp_path / "s.png")]) == 0
    rows = rows_of(out)
    assert [row["layer"] for row in rows[:6]] == ["pixels", "stem", "block 1", "block 2", "block 3",
                                                  "features"]
    assert len(rows) == 12 and all(0 < float(row["similarity"]) < 1 for row in rows)


@pytest.mark.parametrize(("words", "said"), [
    (["robustness", "FILE", "--sigmas", "-1"], "a deviation is 0 or larger"),
    (["robustness", "nothing"], "nothing"),
    (["similarity", "FILE", "--token", "class"], "only a ViT has tokens")])
def test_what_cannot_be_done_is_one_line(words, said, encoder, capsys):
    words = [str(encoder) if word == "FILE" else word for word in words]
    assert main([*words, "--dataset", "digits"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error


def test_a_search_with_a_vit_goes_on_and_says_how_to_train_with_the_best(tmp_path, capsys):
    pytest.importorskip("optuna")
    words = ["search", "--dataset", "digits", "--encoder", "vit_digits", "--steps", "4",
             "--batch-size", "4", "--out", str(tmp_path)]
    assert main([*words, "--trials", "1"]) == main([*words, "--trials", "2"]) == 0
    said = capsys.readouterr().out
    assert "1 trials, 0 of them pruned" in said and "2 trials" in said
    best = said.splitlines()[-1].removeprefix("with the best: python -m helpers ")
    assert best.startswith("pretrain noise-byol --dataset digits --encoder vit_digits ")
