"""Noise in normalised units, the same for all methods, and what it does to each layer."""

import numpy as np
import pytest
import torch

from helpers import robustness
from helpers.encoders import build
from helpers.evaluation import linear_probe
from helpers.views import normalise

LAYERS = {
    "slim": ["pixels", "stem", "block 1", "block 2", "block 3", "features"],
    "resnet18": ["pixels", "stem", "block 1", "block 2", "block 3", "block 4", "features"],
    "vit_digits": ["pixels", "embedding", "block 1", "block 2", "block 3", "block 4", "features"],
}


def pictures(count: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)


def hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_digits_are_swept_to_2_and_photographs_to_1_5_in_steps_of_0_05():
    for dataset, last, count in (("digits", 2.0, 41), ("stl10", 1.5, 31)):
        sigmas = robustness.sigmas_for(dataset)
        assert (sigmas[0], sigmas[-1], len(sigmas)) == (0.0, last, count)
        np.testing.assert_allclose(np.diff(sigmas), 0.05)


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_sigma_is_in_normalised_units(sigma):
    images = pictures(64)
    noise = robustness.noisy_pictures(images, sigma, seed=0) - normalise(images)
    assert noise.std().item() == pytest.approx(sigma, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.05)


def test_noise_is_not_clipped():
    assert robustness.noisy_pictures(pictures(), 1.0, seed=0).abs().max() > 2


def test_no_noise_gives_the_clean_pictures():
    torch.testing.assert_close(robustness.noisy_pictures(pictures(), 0.0, seed=5), normalise(pictures()))


def test_noise_depends_on_seed_and_sigma_alone():
    first = robustness.noisy_pictures(pictures(), 0.5, seed=1)
    torch.rand(100)
    assert torch.equal(robustness.noisy_pictures(pictures(), 0.5, seed=1), first)
    assert not torch.equal(robustness.noisy_pictures(pictures(), 0.5, seed=2), first)
    clean = normalise(pictures())
    wider = robustness.noisy_pictures(pictures(), 1.0, seed=1)
    assert not torch.allclose((wider - clean) / 2, first - clean, atol=1e-3)


def test_a_noise_sweep_shows_every_method_the_same_pictures():
    seen = {"a": [], "b": []}

    def watcher(name):
        def predict(x):
            torch.rand(3)  # a method that draws random numbers must not change what the next one sees
            seen[name].append(x.clone())
            return torch.zeros(len(x), dtype=torch.long)
        return predict

    robustness.noise_sweep({name: watcher(name) for name in seen}, pictures(), torch.zeros(8), [0.0, 1.0], range(2))
    assert len(seen["a"]) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen["a"], seen["b"], strict=True))


def test_a_noise_sweep_gives_accuracies_seeds_by_sigmas():
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    scores = robustness.noise_sweep({"zeros": lambda x: torch.zeros(len(x)), "ones": lambda x: torch.ones(len(x))},
                                    pictures(), labels, [0.0, 0.5, 1.0], iter([0, 1]))
    np.testing.assert_allclose(scores["zeros"], np.full((2, 3), 3 / 8))
    np.testing.assert_allclose(scores["ones"], np.full((2, 3), 5 / 8))


def test_a_noise_sweep_is_reproducible_and_its_seeds_differ():
    labels = torch.arange(64) % 2
    images = torch.where(labels.bool(), 130, 125).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    predict = {"mean": lambda x: (x.mean((1, 2, 3)) > 0).long()}
    runs = [robustness.noise_sweep(predict, images, labels, [0.0, 0.2], range(3))["mean"] for _ in range(2)]
    np.testing.assert_array_equal(*runs)
    assert (runs[0][:, 0] == 1).all()
    assert len(set(runs[0][:, 1])) > 1


def test_predictors_of_a_probe_on_pixels_and_on_features_answer_like_the_probe():
    images, labels = pictures(), torch.arange(8) % 2
    x = normalise(images)
    probe = linear_probe(x.flatten(1), labels)
    assert torch.equal(robustness.pixel_predictor(probe)(x), torch.from_numpy(probe.predict(x.flatten(1).numpy())))
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 256))
    torch.nn.init.eye_(encoder[1].weight), torch.nn.init.zeros_(encoder[1].bias)
    assert torch.equal(robustness.probe_predictor(encoder, probe)(x), robustness.pixel_predictor(probe)(x))


def test_a_classifiers_predictor_is_in_eval_mode_and_takes_the_largest_logit():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.99), torch.nn.Linear(256, 3)).train()
    x = normalise(pictures())
    answers = robustness.predictor(model)(x)
    assert torch.equal(answers, model.eval()(x).argmax(1))


@pytest.mark.parametrize("name", LAYERS)
def test_without_noise_every_layer_is_similar_to_itself_and_layers_come_in_order(name):
    encoder = build(name, channels=1, image_size=16)
    x = normalise(pictures(3))
    rows = robustness.layer_similarity(encoder, x, x)
    assert [layer for layer, _ in rows] == LAYERS[name]
    assert [value for _, value in rows] == pytest.approx([1.0] * len(rows), abs=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_similarity_leaves_no_hooks_and_the_mode_as_it_was(name):
    encoder = build(name, channels=1, image_size=16).train()
    robustness.layer_similarity(encoder, normalise(pictures(2)), normalise(pictures(2)))
    assert hooks(encoder) == 0
    assert all(module.training for module in encoder.modules())


def test_layer_similarity_leaves_no_hooks_after_an_error():
    encoder = build("slim", channels=1, image_size=16)
    with pytest.raises(RuntimeError):
        robustness.layer_similarity(encoder, torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16))
    assert hooks(encoder) == 0


def test_the_first_row_of_layer_similarity_is_the_cosine_of_the_pixels():
    clean, noisy = normalise(pictures(4)), robustness.noisy_pictures(pictures(4), 1.0, seed=0)
    rows = robustness.layer_similarity(build("slim", channels=1, image_size=16), clean, noisy)
    a, b = clean.flatten(1), noisy.flatten(1)
    expected = ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean().item()
    assert rows[0][1] == pytest.approx(expected, abs=1e-5)
    assert all(-1 <= value < 0.9999 for _, value in rows)


def test_the_embedding_of_a_vit_is_compared_with_its_positions_in_it():
    encoder = build("vit_digits", channels=1, image_size=16).eval()
    with torch.no_grad():  # positions so large that no noise can be seen beside them
        encoder.backbone.positions.fill_(1e3)
    clean, noisy = normalise(pictures(4)), robustness.noisy_pictures(pictures(4), 1.0, seed=0)
    assert dict(robustness.layer_similarity(encoder, clean, noisy))["embedding"] > 0.9999
