"""The methods of the noise study: all there, treated alike, chosen on validation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.common.errors import UserError
from helpers.data.loading import load
from helpers.data.splits import Labeled
from helpers.evaluation.noise import noisy_images, sigmas_for
from helpers.evaluation.predictors import STRENGTHS, best_probe, features_of
from helpers.evaluation.probes import linear_probe, score
from helpers.evaluation.robustness import Sweep, noise_sweep
from helpers.models.weights.choose import TRAIN, Choice
from helpers.settings import Settings
from helpers.training import noise_methods
from helpers.transforms.views import Noisy


@pytest.fixture(scope="module")
def splits():
    return load("digits")


@pytest.fixture
def settings(tmp_path):
    return Settings.resolve(preset="smoke", dataset="digits", run_dir=tmp_path, pretrain_steps=10,
                            supervised_steps=3)


@pytest.mark.parametrize("sigma,why", [(0, "not 0"), (-1, "not -1"), ("x", "not 'x'")])
def test_a_second_noise_that_is_none_is_one_line(splits, settings, sigma, why):
    with pytest.raises(UserError, match=f"SECOND_SIGMA must be a number above zero, {why}"):
        noise_methods.noise_encoders(splits, settings, sigma)
    assert not settings.run_dir.exists() or not list(settings.run_dir.iterdir())


def test_everyone_takes_part_and_answers(splits, settings):
    predictors = noise_methods.noise_predictors(splits, settings, 0.5, Choice(TRAIN), "BYOL")
    assert set(predictors) == {
        "supervised", "supervised + noise", "BYOL", "noise-BYOL", "noise-BYOL, sigma 0.5",
        "raw pixels"
    }
    twenty = Labeled(splits.test.images[:20], splits.test.labels[:20])
    sweep = noise_sweep(predictors, twenty, [0.0, 1.0], range(2))
    assert all(values.shape == (2, 2) for values in sweep.accuracy.values())


def test_the_second_noise_byol_has_its_own_sigma_from_the_start_and_fewer_steps(
        splits, settings, monkeypatch):
    asked = []
    monkeypatch.setattr(noise_methods, "find_or_pretrain", lambda method, _, chosen: asked.append(
        (method, chosen)))
    assert list(noise_methods.noise_encoders(splits, settings,
                                           0.5)) == ["noise-BYOL", "noise-BYOL, sigma 0.5"]
    (_, usual), (method, second) = asked
    assert (usual.noise_sigma, usual.pretrain_steps) == (0.0, 10)
    assert (method, second.noise_sigma, second.noise_schedule) == ("noise-byol", 0.5, "constant")
    assert second.pretrain_steps == 6


def test_the_supervised_ones_differ_in_noise_alone(splits, settings, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        noise_methods, "train_classifier",
        lambda encoder, *given, view, title: seen.update({title: (encoder, view, given[-1])}))
    noise_methods.supervised_classifiers(splits, settings.replace(noise_sigma=0.5))
    (clean_encoder, clean, recipe), (noisy_encoder, noisy, same) = seen.values()
    assert isinstance(noisy, Noisy) and noisy.view == clean and recipe == same
    assert noisy.sigma == (0.0, 2.4)  # the dataset's range, whatever a noise-BYOL was asked for
    for a, b in zip(clean_encoder.parameters(), noisy_encoder.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_probe_that_classifies_most_noisy_validation_images_is_taken(splits):
    chosen = best_probe(None, splits, 1.0, seed=3)
    noisy = noisy_images(splits.val.images, 1.0, 1003)
    reached = (chosen(noisy) == splits.val.labels).float().mean().item()
    train = features_of(None, splits.train.images)
    assert reached == pytest.approx(max(score(linear_probe(train, splits.train.labels, strength),
                                              features_of(None, noisy), splits.val.labels)
                                        for strength in STRENGTHS))


def test_curves_keep_every_number_with_its_seeds():
    sweep = Sweep([0.0, 1.0], {"a": np.array([[1.0, 0.5], [1.0, 0.4]])},
                  {"a": np.array([[1.0, 0.9], [1.0, 0.8]])})
    frame = noise_methods.sweep_rows({7: sweep, 8: sweep})
    assert len(frame) == 8
    row = frame[(frame.training_seed == 8) & (frame.noise_seed == 1) & (frame.sigma == 1.0)]
    assert row[["method", "accuracy", "similarity"]].values.tolist() == [["a", 0.4, 0.8]]


def test_the_kept_curves_hold_every_method_at_every_sigma_for_several_trainings():
    kept = pd.read_csv(
        Path(__file__).parents[2] / "benchmarks" / "results" / "digits-noise-seeds.csv")
    assert set(kept.sigma) == set(sigmas_for("digits"))
    counts = kept.groupby("method").training_seed.nunique()
    assert len(counts) == 6 and counts.min() >= 5
    assert kept.groupby(["method", "training_seed", "noise_seed", "sigma"]).size().max() == 1
    assert kept.accuracy.between(0, 1).all() and kept.similarity.between(-1, 1).all()
