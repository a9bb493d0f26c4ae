"""Sentences and differences: they say the rows' numbers, and how sure a difference is."""

import numpy as np
import pandas as pd
import pytest

from helpers.report import claims, collect
from helpers.report.claims import gain_over

SIGMAS = np.array([0.0, 1.6])
PUBLISHED = pd.DataFrame([dict(dataset="Imagenette", system="peer", method="BYOL", minutes=200.0,
                               hardware="a GPU", value=value) for value in (0.8, 0.9)])


def trainings(own, other):
    """Accuracies at heavy noise of whole trainings."""
    return {name: (SIGMAS, np.array([[1.0, value] for value in values])) for name, values in (
        ("noise-BYOL", own), ("raw pixels", other), ("supervised", [0.1] * len(own)))}


NOISE = trainings([0.72, 0.71, 0.73], [0.60, 0.59, 0.62])


def row(notebook, method, protocol, labels, mean, std, n, **changes):
    return dict(notebook=notebook, dataset="digits", preset="quick", method=method,
                protocol=protocol, labels_per_class=labels, sigma=None, metric="test accuracy",
                mean=mean, std=std, n=n) | changes


def measured(own="BYOL", tuned=0.80, std=0.01):
    """Notebooks 03 and 04 on the digits, and a training on photographs."""
    rows = [row("03_x", name, "linear probe", labels, mean, deviation, n)
            for labels, deviation, n in (("1", 0.01, 5), ("all", None, 1))
            for name, mean in {own: 0.9, "raw pixels": 0.6, "random encoder": 0.4}.items()]
    rows += [row("04_x", name, "100 steps", labels, mean, std, 3) for labels in ("1", "all")
             for name, mean in {f"fine-tuned {own}": tuned, "from scratch": 0.7}.items()]
    rows += [row("04_x", f"fine-tuned {own}", "100 steps", labels, 100 * (tuned - 0.7), 100 * std,
                 3, metric=gain_over("from scratch")) for labels in ("1", "all")]
    rows += [row("", name, "kNN, k = 20", "all", mean, 0.01, 3, dataset="imagenette", minutes=40.0,
                 encoder="slim") for name, mean in (("BYOL", 0.7), ("raw pixels", 0.38))]
    return pd.DataFrame(rows)


def cells(text):
    """The lines of a table of differences: name to points and interval."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    return {name: (points, interval) for name, points, interval, _ in lines}


def test_every_point_says_its_numbers():
    few, start, noise, photographs = claims.findings(measured(), PUBLISHED, NOISE).splitlines()
    assert "90.0 ± 1.0 % on the features of BYOL, 60.0 ± 1.0 % on raw pixels" in few
    assert "40.0 ± 1.0 % on the features of a random encoder" in few and "+30.0 points" in few
    assert "+10.0 points (95 % confidence interval +7.5 to +12.5" in start
    assert "with 1 label per class" in start and "with all labels" in start
    assert "falls to 10.0 ± 0.0 %" in noise and "72.0 ± 1.0 % on the features" in noise
    assert "After 40 minutes on one CPU core BYOL reaches" in photographs
    assert "a kNN accuracy of 70.0 ± 1.0 %" in photographs
    assert "38.0 ± 1.0 %" in photographs and "peer's BYOL has 90.0 % after 200 min" in photographs


def test_photographs_on_a_gpu_are_spoken_of_beside_those_on_a_cpu():
    quick = pd.DataFrame([row("", "DINO", "kNN, k = 20", "all", 0.8, None, 1, dataset="imagenette",
                              minutes=2.4, encoder="resnet18 on a GPU")])
    text = claims.findings(pd.concat([measured(), quick]), PUBLISHED, NOISE).splitlines()[-1]
    assert "After 40 minutes on one CPU core BYOL reaches" in text
    assert ", and after 2.4 minutes on a GPU DINO with a resnet18 80.0 %;" in text
    rows = measured()
    alone = pd.concat([rows[(rows.dataset != "imagenette") | (rows.method != "BYOL")], quick])
    text = claims.findings(alone, PUBLISHED, NOISE).splitlines()[-1]
    assert "After 2 minutes on a GPU DINO reaches" in text and "CPU core" not in text


def test_photographs_under_noise_are_spoken_of_where_the_best_encoder_was_shown_them():
    noisy = pd.DataFrame([row("", name, "linear, noisy images", "all", mean, 0.01, 3, sigma=0.6,
                              dataset="imagenette", encoder="slim", minutes=minutes)
                          for name, mean, minutes in (("BYOL", 0.2, 40.0), ("noise-BYOL", 0.5, 9.0),
                                                      ("raw pixels", 0.3, None))])
    text = claims.findings(pd.concat([measured(), noisy]), PUBLISHED, NOISE).splitlines()[-1]
    assert "Under noise of sigma 0.6" in text and "has 20.0 ± 1.0 % on its features" in text
    assert "the most, 50.0 ± 1.0 %, on those of noise-BYOL, slim." in text
    others = noisy[noisy.method != "BYOL"]
    text = claims.findings(pd.concat([measured(), others]), PUBLISHED, NOISE).splitlines()[-1]
    assert "noise-BYOL" not in text


def test_what_was_not_measured_is_not_spoken_of():
    rows = measured()
    rows = rows[(rows.metric != gain_over("from scratch")) & (rows.dataset == "digits")]
    (only,) = claims.findings(rows, PUBLISHED, {}).splitlines()
    assert "Few labels" in only


def test_another_encoder_has_its_own_name():
    text = claims.findings(measured("my-encoder"), PUBLISHED, NOISE)
    assert "on the features of my-encoder" in text and "fine-tuned my-encoder" in text


def test_label_spreading_stands_beside_the_encoder_paired_where_it_was_recorded_so():
    rows = pd.concat([measured(), pd.DataFrame([
        row("03_x", "label spreading", "pixels and unlabelled images", "1", 0.85, 0.02, 5),
        row("03_x", "BYOL", "linear probe", "1", 5.0, 1.0, 5,
            metric=gain_over("label spreading"))])])
    few = claims.findings(rows, PUBLISHED, {}).splitlines()[0]
    assert "Over label spreading on pixels it is +5.0 (+3.8 to +6.2) with 1 label per class" in few
    found = cells(claims.differences(rows, {}))
    assert found["linear probe, BYOL less label spreading, 1 label per class"][0] == "+5.0"


@pytest.mark.parametrize("std, interval", [(0.01, "+7.5 to +12.5"), (0.2, "-39.7 to +59.7")])
def test_a_difference_has_its_interval(std, interval):
    found = cells(claims.differences(measured(std=std), NOISE))
    assert found["fine-tuned BYOL less from scratch, 1 label per class"] == ("+10.0", interval)


def test_frozen_pixels_and_noise_are_compared_as_well():
    found = cells(claims.differences(measured(), NOISE))
    assert found["linear probe, BYOL less raw pixels, 1 label per class"][0] == "+30.0"
    assert found["BYOL, frozen, less fine-tuned BYOL, 1 label per class"][0] == "+10.0"
    points, interval = found["noise-BYOL less raw pixels, sigma 1.6, whole trainings"]
    assert points == "+11.7" and interval.startswith("+")


@pytest.mark.parametrize("own, other, signs", [
    ([0.72, 0.71, 0.73], [0.70, 0.66, 0.75], "-+"),
    ([0.72, 0.71, 0.73], [0.60, 0.59, 0.62], "++"),
    ([0.50, 0.51, 0.49], [0.60, 0.59, 0.62], "--"),
])
def test_trainings_are_compared_in_pairs_at_heavy_noise(own, other, signs):
    lead, first, second = claims.heavy_noise(trainings(own, other))
    assert [each[0] for each in lead.interval.split(" to ")] == list(signs)
    assert lead.gain == pytest.approx(np.mean(own) - np.mean(other))
    assert first.tolist() == own and second.tolist() == other


def test_one_training_has_no_interval():
    assert claims.heavy_noise(trainings([0.7], [0.6]))[0].interval == "not known"


def test_the_kept_results_give_all_four_points():
    rows = claims.findings(collect.gather("nothing")[0], collect.published(),
                           collect.noise_trainings())
    assert len(rows.splitlines()) == 4 and "nan" not in rows.split("Imagenette")[0]
