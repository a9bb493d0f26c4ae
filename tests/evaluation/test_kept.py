"""Calibration, intervals and heads of kept classifiers, against closed forms."""

import numpy as np
import pytest
import torch

from helpers.data.latents import marks_of
from helpers.evaluation.judge import (
    calibration_error,
    details,
    details_in_words,
    fit_temperature,
    in_words,
    judged,
)
from helpers.evaluation.predictions import Extremes
from helpers.evaluation.probes import linear_probe, mlp_probe, probe_layers
from helpers.models.classifier_file import head_of
from helpers.report.stats import share_interval


@pytest.mark.parametrize("factor", [0.5, 1.0, 4.0])
def test_the_temperature_undoes_a_factor_of_the_logits(factor):
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(20_000, 5, generator=generator) * 2
    labels = true.softmax(1).multinomial(1, generator=generator)[:, 0]
    assert fit_temperature(factor * true, labels) == pytest.approx(factor, rel=0.05)


def test_few_images_that_are_all_right_make_nobody_certain():
    logits = torch.tensor([[2.0, 0], [0, 2.0]])
    sure = (logits / fit_temperature(logits, torch.tensor([0, 1]))).softmax(1).max().item()
    assert sure == pytest.approx(1 - 1 / 4, abs=0.01)  # Platt: 1 less 1 / (n + 2)
    assert fit_temperature(torch.empty(0, 2), torch.empty(0, dtype=torch.int64)) == 1


def test_the_calibration_error_is_the_gap_between_sure_and_right():
    probabilities = torch.tensor([[0.9, 0.1]]).repeat(10, 1)
    assert calibration_error(probabilities, torch.zeros(10).long()) == pytest.approx(0.1)
    assert calibration_error(probabilities, (torch.arange(10) >= 9).long()) < 1e-6
    assert calibration_error(probabilities, (torch.arange(10) >= 4).long()) == pytest.approx(0.5)


def test_the_interval_is_wilsons():
    assert share_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share_interval(0, 5)[0] == 0 and share_interval(5, 5)[1] == pytest.approx(1)
    assert share_interval(0, 0) == (0, 1)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("fit", [linear_probe, mlp_probe])
def test_a_probes_layers_give_its_probabilities(fit, classes):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % classes
    features = 3 + torch.randn(120, 8, generator=generator) + labels[:, None]
    probe = fit(features, labels)
    head = head_of(probe_layers(probe))
    torch.testing.assert_close(head(features).softmax(1).detach().double(),
                               torch.from_numpy(probe.predict_proba(features.numpy())).double(),
                               rtol=1e-4, atol=1e-5)


def test_few_images_come_with_a_warning_and_many_without():
    few = judged(torch.eye(2)[[0, 1, 0]], torch.tensor([0, 1, 1]))
    assert "66.7% of 3 test images, 95 % interval 20.8% to 93.9%" in in_words(few)
    assert "warning: 3 images are too few" in in_words(few)
    many = judged(torch.eye(2)[[0, 1] * 15], torch.tensor([0, 1] * 15))
    assert "warning" not in in_words(many)


def test_the_worst_class_is_named_with_what_it_is_taken_for():
    labels = torch.tensor([0, 0, 1, 1, 1])
    found = details(torch.eye(3)[[0, 0, 1, 2, 2]], labels, ["ant", "bee", "cat"])
    assert found["classes"] == {"ant": 1.0, "bee": pytest.approx(1 / 3)}
    said = details_in_words(found, ["ant", "bee", "cat"]).splitlines()
    assert said[0].startswith("worst: bee 33.3% of 3") and said[0].endswith("taken for cat")
    assert said[-2].split() == ["2", "bee", "0", "1", "2"]


def test_the_sheet_keeps_the_surest_and_the_least_sure_of_each_class():
    images = torch.arange(20).view(20, 1, 1, 1)
    sure = torch.linspace(0.6, 0.98, 20)
    extremes = Extremes(["a", "b"])
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    for part in order.split(7):
        extremes.add(images[part], torch.stack([sure, 1 - sure], 1)[part])
    surest, doubtful = extremes.rows()["a"]
    assert [int(image) for _, image in surest] == [19, 18, 17, 16]
    assert [int(image) for _, image in doubtful] == [0, 1, 2, 3]


def test_marks_tell_images_apart_and_know_them_again():
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    marks = marks_of(images)
    assert len(np.unique(marks)) == 50 and torch.equal(marks_of(images.flip(0)), marks.flip(0))
