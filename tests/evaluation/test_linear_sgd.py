"""DINO's linear protocol: held to plain NumPy, step by step."""

import numpy as np
import pytest
import torch

from helpers.evaluation import linear_sgd as linear
from helpers.evaluation.features import extract_features, last_blocks
from helpers.evaluation.linear_sgd import (
    choose_linear,
    linear_features,
    train_linear,
    view_features,
)
from helpers.models.encoder import build
from helpers.transforms.views import normalise


def clusters(count=30, gap=1.5, dims=5, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(count)
    return torch.randn(len(labels), dims,
                       generator=generator) + gap * torch.eye(dims)[labels], labels


def by_hand(views, labels, classes, rate, epochs, seed, batch=64):
    """Softmax regression in float64 with momentum written out; only the random draws come from
    torch."""
    generator = torch.Generator().manual_seed(seed)
    count, dims = views[0].shape
    weights = torch.empty(classes, dims).normal_(0, 0.01, generator=generator).double().numpy()
    bias, speed_w, speed_b = np.zeros(classes), np.zeros((classes, dims)), np.zeros(classes)
    batch = min(batch, count)
    target = np.eye(classes)[labels.numpy()]
    for epoch in range(epochs):
        step = rate * batch / 256 * (1 + np.cos(np.pi * epoch / epochs)) / 2
        x = views[epoch % len(views)].double().numpy()
        order = torch.randperm(count, generator=generator).numpy()
        for start in range(0, count, batch):
            rows = order[start:start + batch]
            scores = x[rows] @ weights.T + bias
            shares = np.exp(scores - scores.max(1, keepdims=True))
            shares /= shares.sum(1, keepdims=True)
            error = (shares - target[rows]) / len(rows)
            speed_w = 0.9 * speed_w + error.T @ x[rows]
            speed_b = 0.9 * speed_b + error.sum(0)
            weights, bias = weights - step * speed_w, bias - step * speed_b
    return weights, bias


@pytest.mark.parametrize("views,rates", [(1, [0.01]), (3, [0.3, 1e-3, 0.1])])
def test_each_rate_is_trained_as_a_reference_written_by_hand(views, rates):
    features, labels = clusters()
    copies = [features + 0.1 * number for number in range(views)]
    found = train_linear(copies, labels, 3, rates, epochs=7, seed=4)
    assert len(found) == len(rates)
    for rate, ours in zip(rates, found, strict=True):
        weights, bias = by_hand(copies, labels, 3, rate, epochs=7, seed=4)
        np.testing.assert_allclose(ours.weight.detach().numpy(), weights, atol=2e-6)
        np.testing.assert_allclose(ours.bias.detach().numpy(), bias, atol=2e-6)


def test_the_rate_is_the_best_on_validation_and_the_lowest_of_equals():
    features, labels = clusters(gap=6)
    found = choose_linear([features], labels, *clusters(gap=6, seed=1), 3, rates=(1.0, 1e-9, 0.1),
                          epochs=10)
    with torch.inference_mode():
        assert found.classifier.weight.abs().max() > 0.1
    assert list(found.validation) == [1e-9, 0.1, 1.0]
    assert found.rate == 0.1 and found.validation[0.1] == found.validation[1.0] == 1.0
    assert found.score(features, labels) == 1.0


def test_neither_the_size_nor_the_place_of_features_matters():
    features, labels = clusters(gap=3)
    val, val_labels = clusters(gap=3, seed=1)
    one = choose_linear([features], labels, val, val_labels, 3, rates=(0.1,), epochs=5)
    other = choose_linear([features / 1024 + 0.5], labels, val / 1024 + 0.5, val_labels, 3,
                          rates=(0.1,), epochs=5)
    torch.testing.assert_close(one.classifier.weight, other.classifier.weight, atol=1e-3, rtol=1e-3)
    assert one.score(val, val_labels) == other.score(val / 1024 + 0.5, val_labels)


def test_the_choice_is_made_on_validation_and_not_on_training_images():
    features, labels = clusters(count=60, gap=4)
    # validation in which the classes have changed places: the less it learned, the better
    wrong = (labels + 1) % 3
    found = choose_linear([features], labels, features, wrong, 3, rates=(1e-6, 0.3), epochs=5)
    assert found.validation[0.3] < 0.05 and found.rate == 1e-6


def test_a_vit_gives_four_blocks_and_a_wide_one_its_mean_patch():
    images = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    small = build("vit_digits", channels=1, image_size=16)
    wide = build("vit_digits", channels=1, image_size=16, width=768, depth=1, heads=4)
    assert torch.equal(linear_features(small, images), last_blocks(small, images, 4))
    assert linear_features(small, images).shape == (3, 4 * 64)
    assert torch.equal(linear_features(wide, images), last_blocks(wide, images, 1, pooled=True))


def test_other_encoders_give_their_features():
    images = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    slim = build("slim", channels=1, image_size=16)
    assert torch.equal(linear_features(slim, images), extract_features(slim, images))


def test_views_are_drawn_anew_for_every_copy_and_leave_the_random_state_alone(monkeypatch):
    monkeypatch.setattr(linear, "CHUNK", 8)  # several
    images = torch.randint(0, 256, (20, 1, 16, 16), dtype=torch.uint8)
    slim = build("slim", channels=1, image_size=16)

    def view(batch):
        return normalise(batch) + torch.rand(len(batch), 1, 1, 1)

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = view_features(lambda x: linear_features(slim, x), images, view, copies=2, seed=3)
    assert torch.equal(torch.rand(1), expected)
    assert one.shape == (20, slim.num_features) and not torch.allclose(one, two)
    assert torch.equal(
        view_features(lambda x: linear_features(slim, x), images, view, copies=1, seed=3)[0], one)


def test_photographs_are_cropped_and_flipped_and_keep_their_size_and_colours():
    plain = torch.full((4, 3, 48, 48), 100, dtype=torch.uint8)
    assert torch.allclose(linear.crop_view("my/folder", 48)(plain), normalise(plain), atol=1e-5)
    assert linear.crop_view("digits", 16)(plain[:, :1, :16, :16]).shape == (4, 1, 16, 16)
