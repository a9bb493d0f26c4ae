"""From a folder to a classifier file and a table of predictions, by the command line."""

import csv
import io
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from running import without_choices
from shapes import CLASSES, shapes

from helpers.cli import classifier
from helpers.cli.main import main
from helpers.data.images import read_image
from helpers.evaluation.predictions import predict
from helpers.models.classifier_file import layers_of, load_classifier


@pytest.fixture(autouse=True)
def small_settings(monkeypatch, tmp_path_factory):
    without_choices(monkeypatch)
    place = tmp_path_factory.getbasetemp()
    for name, value in {"DEVICE": "cpu", "PRESET": "smoke", "BATCH_SIZE": "16",
                        "FINETUNE_STEPS": "2", "DATA_DIR": place / "data",
                        "RUN_DIR": place / "runs"}.items():
        monkeypatch.setenv(f"FEWLABELS_{name}", str(value))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shapes(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def kept(folder, tmp_path_factory):
    """A classifier on frozen features, trained by the command."""
    out = tmp_path_factory.mktemp("kept") / "my.safetensors"
    os.environ["FEWLABELS_DATA_DIR"] = str(out.parent / "data")
    try:
        assert main(["train", str(folder), "--out", str(out)]) == 0
    finally:
        del os.environ["FEWLABELS_DATA_DIR"]
    return out


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys, *words):
    """The one line of a command that ends with status 2."""
    capsys.readouterr()
    assert main(list(map(str, words))) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_train_says_how_good_the_classifier_is_and_warns_of_few_images(folder, tmp_path, capsys):
    out = tmp_path / "my.safetensors"
    assert main(["train", str(folder), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{out}: " in said and "of 5 test images, 95 % interval" in said
    assert "warning: 5 images are too few" in said and "expected calibration error" in said
    made = load_classifier(out)
    assert made.classes == CLASSES and made.facts["protocol"] == "linear"
    assert made.facts["results"]["images"] == 5


def test_predictions_name_class_and_doubt_and_what_cannot_be_read(kept, tmp_path, capsys):
    new = shapes(tmp_path / "new", each=3, seed=5)
    noise = np.random.RandomState(0).randint(0, 256, (60, 80, 3)).astype(np.uint8)
    Image.fromarray(noise).save(new / "noise.png")
    (new / "broken.jpg").write_bytes(b"no image")
    out, sheet = tmp_path / "p.csv", tmp_path / "sheet.png"
    assert main(["predict", str(kept), str(new), "--out", str(out), "--sheet", str(sheet)]) == 0
    rows = {os.path.relpath(row["file"], new): row for row in rows_of(out)}
    shown = [name for name in rows if "/" in name]
    assert len(shown) == 9 and len(rows) == 11
    right = [rows[name]["class"] == name.split("/")[0] for name in shown]
    assert sum(right) >= 8
    for name in shown:
        first, second = (float(rows[name][key]) for key in ("probability", "second probability"))
        assert 1 >= first >= second > 0 and rows[name]["second class"] in CLASSES
    assert rows["noise.png"]["unlike"] == "yes"
    assert rows["broken.jpg"]["note"].startswith("could not be read: not an image")
    assert "10 images" in (said := capsys.readouterr().out) and "1 image could not be read" in said
    assert Image.open(sheet).width > 300


def test_a_list_on_standard_input_is_taken(kept, folder, tmp_path, monkeypatch):
    names = [str(folder / "circle" / "0.png"), str(folder / "square" / "1.png")]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(names) + "\n"))
    assert main(["predict", str(kept), "-", "--out", str(tmp_path / "p.csv")]) == 0
    assert [row["file"] for row in rows_of(tmp_path / "p.csv")] == names


@pytest.mark.parametrize("listed, line", [("\n", "no image is named on standard input"),
                                          ("gone.png\n", "there is no gone.png")])
def test_a_list_that_is_empty_or_names_missing_files_is_one_line(kept, listed, line, tmp_path,
                                                                 monkeypatch, capsys):
    out = tmp_path / "p.csv"
    out.write_text("of an earlier run")
    monkeypatch.setattr("sys.stdin", io.StringIO(listed))
    assert line in refused(capsys, "predict", kept, "-", "--out", out)
    assert out.read_text() == "of an earlier run"


def test_a_name_that_a_spreadsheet_would_compute_is_harmless(kept, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("=1+1.png", "@a.png"):
        (tmp_path / name).write_bytes((folder / "circle" / "0.png").read_bytes())
    assert main(["predict", str(kept), "=1+1.png", "@a.png"]) == 0
    assert [row["file"] for row in rows_of("predictions.csv")] == ["'=1+1.png", "'@a.png"]


def test_images_none_of_which_can_be_read_leave_no_table(kept, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"")
    out = tmp_path / "p.csv"
    assert "none of the 1 images can be read" in refused(capsys, "predict", kept,
                                                         tmp_path / "a.png", "--out", out)
    assert not out.exists()


def twelve_bit(root, each, seed):
    """Noise of at most 4,095: most pixels are dark in one class, bright in the other."""
    random = np.random.RandomState(seed)
    for kind, usual in (("dark", 800), ("bright", 3200)):
        (root / kind).mkdir(parents=True)
        for number in range(each):
            pixels = usual + random.randint(-700, 700, (40, 40))
            Image.fromarray(pixels.astype(np.uint16)).save(root / kind / f"{number}.tif")
    return root


def test_images_of_more_than_8_bits_are_scaled_as_those_of_the_training(tmp_path, capsys):
    trained, out = twelve_bit(tmp_path / "trained", 20, 0), tmp_path / "my.safetensors"
    assert main(["train", str(trained), "--out", str(out)]) == 0
    assert load_classifier(out).seen.ranges == {"integer": (0, 4095)}
    new = twelve_bit(tmp_path / "new", 3, 1)
    assert main(["predict", str(out), str(new), "--out", str(tmp_path / "p.csv")]) == 0
    rows = rows_of(tmp_path / "p.csv")
    assert all(row["class"] == row["file"].split("/")[-2] for row in rows) and len(rows) == 6
    capsys.readouterr()
    assert main(["evaluate", str(out), str(new)]) == 0
    assert "100.0% of 6 test images" in capsys.readouterr().out


def test_evaluate_gives_interval_confusions_and_leaves_out_what_was_seen(kept, folder, tmp_path,
                                                                         capsys):
    new = shapes(tmp_path / "new", each=5, seed=9, classes=CLASSES[:2])
    capsys.readouterr()
    assert main(["evaluate", str(kept), str(new), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 10 and found["low"] < found["accuracy"] <= found["high"]
    assert np.array(found["confusion"]).sum(1).tolist() == [5, 5, 0]
    assert main(["evaluate", str(kept), str(folder)]) == 0
    said = capsys.readouterr().out
    assert "of 5 test images" in said and "left out: 31 images, seen in training" in said
    assert "true class, and how often it was taken for class 1 to 3" in said


def test_a_classifier_of_other_classes_is_one_line(kept, tmp_path, capsys):
    other = shapes(tmp_path / "other", each=2)
    (other / "square").rename(other / "cube")
    assert "the class cube (1 of 3 are unknown)" in refused(capsys, "evaluate", kept, other)
    assert "the class 0 (10 of 10" in refused(capsys, "evaluate", kept, "digits")


def test_an_encoder_is_no_classifier(folder, capsys):
    line = refused(capsys, "predict", "weights/byol-slim-digits.safetensors", folder)
    assert "holds an encoder and no classifier" in line


def test_the_file_of_a_classifier_is_an_encoders_file_as_well(kept, tmp_path, capsys):
    assert main(["weights", "check", str(kept)]) == 0
    assert "is whole" in capsys.readouterr().out


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    return shapes(tmp_path_factory.mktemp("flat"), each=8, flat=True)


def labels_file(path, *lines):
    path.write_text("\n".join(["file,class", *lines]) + "\n")
    return path


def usual_lines(count=6):
    return [f"{kind}_{number}.png,{kind}" for kind in CLASSES for number in range(count)]


def test_a_labels_file_says_which_images_are_what(flat, tmp_path, capsys):
    labels = labels_file(tmp_path / "labels.csv", *usual_lines(), "circle_7.png,")
    out = tmp_path / "my.safetensors"
    assert main(["train", str(flat), "--labels", str(labels), "--out", str(out)]) == 0
    made, said = load_classifier(out), capsys.readouterr().out
    assert made.classes == CLASSES and "unlabeled        18 images" in said
    assert made.facts["trained_on"] == 12


def test_a_table_may_spell_an_accent_in_two_signs_or_come_from_windows(flat, tmp_path):
    album = tmp_path / "album" / "söhne"
    album.mkdir(parents=True)
    lines = []
    for number, line in enumerate(usual_lines(4)):
        name, label = line.split(",")
        (album / name).write_bytes((flat / name).read_bytes())
        between = "/\\"[number % 2]
        lines.append(f"so\u0308hne{between}{name},{label}")
    labels, out = labels_file(tmp_path / "l.csv", *lines), tmp_path / "my.safetensors"
    assert main(["train", str(album.parent), "--labels", str(labels), "--out", str(out)]) == 0
    assert load_classifier(out).facts["trained_on"] == 6


@pytest.mark.parametrize("lines, options, line", [
    (["gone.png,circle"], [], "labels images that are not in"),
    (["../labels.csv,circle"], [], "labels images that are not in"),
    (["circle_0.png,square"], [], "gives circle_0.png two labels, circle and square"),
    (["circle_7.png,Circle"], [], "the classes Circle and circle: write them alike"),
    ([], ["--classes", "circle,square"], "no class 'stripes'"),
    ([], ["--classes", "circle,square,stripes,star"], "has no image of class star")])
def test_labels_that_cannot_be_meant_are_one_line(flat, lines, options, line, tmp_path, capsys):
    labels = labels_file(tmp_path / "labels.csv", *usual_lines(), *lines)
    out = tmp_path / "my.safetensors"
    assert line in refused(capsys, "train", flat, "--labels", labels, "--out", out, *options)
    assert not out.exists()


@pytest.mark.parametrize("text, line", [("", "its first line must name the columns"),
                                        ("file,class\n", "has no label"),
                                        ("file,class\ncircle_0.png\n", "has 1 fields for 2"),
                                        ("file,class\na,b.png,circle\n", "has 3 fields for 2"),
                                        ("file,class\ncircle_0.png,\udce4rger\n", "no text in"),
                                        ("file,class\ncircle_0.png,circle\n", "has one class")])
def test_a_table_without_labels_is_one_line(flat, text, line, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text(text, errors="surrogateescape")
    assert line in refused(capsys, "train", flat, "--labels", labels, "--out", "m.safetensors")


def test_an_mlp_learns_from_one_label_of_each_class(folder, tmp_path):
    out = tmp_path / "m.safetensors"
    assert main(["train", str(folder), "--protocol", "mlp", "--per-class", "1", "--out",
                 str(out)]) == 0
    made = load_classifier(out)
    assert made.facts["trained_on"] == 3 and len(layers_of(made.head)) == 3


@pytest.mark.parametrize("protocol", ["linear", "mlp", "finetune"])
def test_one_label_of_each_class_gives_a_classifier_that_says_it_is_not_judged(
        flat, protocol, tmp_path, capsys):
    labels, out = labels_file(tmp_path / "l.csv", *usual_lines(1)), tmp_path / "my.safetensors"
    assert main(["train", str(flat), "--labels", str(labels), "--protocol", protocol, "--run-dir",
                 str(tmp_path / "runs"), "--out", str(out)]) == 0
    said, made = capsys.readouterr().out, load_classifier(out)
    assert "how good it is is not known, for no label is left to test by" in said
    assert "no test/ folder, and too few labels to keep some apart for it" in said
    assert made.facts["trained_on"] == 3 and made.facts["results"] == {"part": "none"}
    assert 0 < made.seen.threshold < 2 and made.temperature == 1


def test_two_labels_of_each_class_are_judged_by_cross_validation(flat, tmp_path, capsys):
    labels = labels_file(tmp_path / "l.csv", *usual_lines(2)[:-1])  # of stripes there is one
    out = tmp_path / "my.safetensors"
    assert main(["train", str(flat), "--labels", str(labels), "--out", str(out)]) == 0
    said, results = capsys.readouterr().out, load_classifier(out).facts["results"]
    assert "of 4 labels in cross-validation, 95 % interval" in said
    assert "warning: 4 images are too few to judge by" in said
    assert "not judged, as there are too few labels of it: stripes" in said
    assert (results["part"], results["images"]) == ("cross-validation", 4)


def test_a_file_of_another_ending_is_refused_before_the_training(folder, capsys):
    assert "must end in .safetensors" in refused(capsys, "train", folder, "--out", "my.pth")


@pytest.mark.parametrize("options, line", [
    (["--out", "taken.safetensors"], "cannot write taken.safetensors (Is a directory)"),
    (["--out", "file/my.safetensors"], "cannot write file/my.safetensors (File exists)"),
    (["--out", "my.safetensors", "--image-size", "5000"], "image size 5000: choose a number")])
def test_what_cannot_end_well_is_refused_before_the_images_are_read(folder, options, line, tmp_path,
                                                                    monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.safetensors").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(classifier, "load_listing", lambda *_, **__: pytest.fail("was read"))
    assert line in refused(capsys, "train", folder, *options)


@pytest.mark.parametrize("options, line", [
    (["--out", "."], "cannot write . (Is a directory)"),
    (["--sheet", "sheet.xyz"], "--sheet sheet.xyz: the file must end in .png"),
    (["--sheet", "file/sheet.png"], "cannot write file/sheet.png (File exists)")])
def test_predictions_that_cannot_be_written_are_refused_at_once(kept, folder, options, line,
                                                                tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(classifier, "load_classifier", lambda *_: pytest.fail("was loaded"))
    assert line in refused(capsys, "predict", kept, folder, *options)
    assert os.listdir(tmp_path) == ["file"]


def test_fine_tuning_logs_and_an_ended_one_is_read_back(folder, tmp_path, capsys):
    words = ["train", str(folder), "--protocol", "finetune", "--run-dir", str(tmp_path / "runs")]
    assert main([*words, "--out", str(tmp_path / "a.safetensors")]) == 0
    (metrics,) = (tmp_path / "runs").glob("*/finetune-*/logs/metrics.csv")
    assert "val_loss" in metrics.read_text() and list(metrics.parent.glob("events.out*"))
    assert main([*words, "--resume", "--out", str(tmp_path / "b.safetensors")]) == 0
    first, again = (load_classifier(tmp_path / f"{name}.safetensors").state_dict()
                    for name in "ab")
    assert all((first[name] == again[name]).all() for name in first)


@pytest.mark.parametrize("ending", ["pt2", "onnx"])
def test_a_whole_classifier_runs_elsewhere_on_images_of_any_size(ending, kept, folder, tmp_path,
                                                                 capsys):
    target = tmp_path / f"my.{ending}"
    assert main(["weights", "export", str(kept), str(target)]) == 0
    assert "probabilities of circle, square, stripes" in capsys.readouterr().out
    path = folder / "stripes" / "0.png"
    image = np.asarray(Image.open(path)).transpose(2, 0, 1)[None]
    if ending == "pt2":
        found = torch.export.load(target).module()(torch.from_numpy(image)).detach().numpy()
    else:
        session = pytest.importorskip("onnxruntime").InferenceSession(str(target))
        (found,) = session.run(["probabilities"], {"images": image})
    read = torch.from_numpy(read_image(path, 48))[None]
    expected = predict(load_classifier(kept), read).probabilities
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(found - expected.numpy()).max() < 0.05  # Pillow rounds where torch does not
