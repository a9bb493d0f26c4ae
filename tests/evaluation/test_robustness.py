"""Noise in normalised units, the same for all methods, and what it does to each layer."""

import numpy as np
import pytest
import torch

from helpers.common.errors import UserError
from helpers.data.splits import Labeled
from helpers.evaluation import noise, predictors, robustness
from helpers.evaluation.layers import layer_similarity
from helpers.evaluation.predictors import Predictor
from helpers.evaluation.probes import linear_probe
from helpers.methods.classifier import Classifier
from helpers.methods.recipes import ClassifierRecipe
from helpers.models.encoder import build
from helpers.transforms.corruptions import RANDOM, SEVERITIES, corrupt
from helpers.transforms.views import normalise

LAYERS = {
    "slim": ["pixels", "stem", "block 1", "block 2", "block 3", "features"],
    "resnet18": ["pixels", "stem", "block 1", "block 2", "block 3", "block 4", "features"],
    "vit_digits": ["pixels", "embedding", "block 1", "block 2", "block 3", "block 4", "features"],
}


def some_images(count: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)


def hooks(model: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def constant(answer):
    """A method that says the same of every image."""
    return Predictor(None, lambda features: torch.full((len(features),), answer))


def test_digits_are_swept_on_to_2_and_all_to_1_5_in_steps_of_0_05():
    for dataset, last, count in (("digits", 2.0, 36), ("stl10", 1.5, 31)):
        sigmas = noise.sigmas_for(dataset)
        assert (sigmas[0], sigmas[-1], len(sigmas)) == (0.0, last, count)
        np.testing.assert_allclose(np.diff(sigmas[:31]), 0.05)


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_sigma_is_in_normalised_units(sigma):
    images = some_images(64)
    added = noise.noisy_images(images, sigma, seed=0) - normalise(images)
    assert added.std().item() == pytest.approx(sigma, rel=0.02)
    assert added.mean().item() == pytest.approx(0, abs=0.05)


def test_noise_is_not_clipped():
    assert noise.noisy_images(some_images(), 1.0, seed=0).abs().max() > 2


def test_no_noise_gives_the_clean_images():
    torch.testing.assert_close(noise.noisy_images(some_images(), 0.0, seed=5),
                               normalise(some_images()))


def test_noise_depends_on_the_seed_alone_and_sigma_makes_it_louder():
    first = noise.noisy_images(some_images(), 0.5, seed=1)
    torch.rand(100)
    assert torch.equal(noise.noisy_images(some_images(), 0.5, seed=1), first)
    assert not torch.equal(noise.noisy_images(some_images(), 0.5, seed=2), first)
    clean = normalise(some_images())
    torch.testing.assert_close(
        noise.noisy_images(some_images(), 1.0, seed=1) - clean, 2 * (first - clean))


def test_every_batch_of_a_dataset_has_noise_of_its_own(monkeypatch):
    monkeypatch.setattr(noise, "BATCH", 4)
    images = torch.zeros(8, 1, 16, 16, dtype=torch.uint8)
    noisy = noise.noisy_images(images, 1.0, seed=0)
    assert not torch.allclose(noisy[:4], noisy[4:])


def sweep_by_hand(methods, images, labels, sigmas, seeds):
    """The plain loop: everything anew for each method, seed and sigma."""
    accuracy, similarity = ({name: np.zeros((len(seeds), len(sigmas)))
                             for name in methods}
                            for _ in range(2))
    for name, predictor in methods.items():
        for row, seed in enumerate(seeds):
            for column, sigma in enumerate(sigmas):
                noisy = noise.noisy_images(images, sigma, seed)
                accuracy[name][row, column] = (predictor(noisy) == labels).float().mean().item()
                cosine = torch.nn.functional.cosine_similarity(
                    predictors.features_of(predictor.encoder, noisy),
                    predictors.features_of(predictor.encoder, images))
                similarity[name][row, column] = cosine.mean().item()
    return accuracy, similarity


def test_sharing_changes_no_number_of_a_sweep(monkeypatch):
    monkeypatch.setattr(robustness, "BATCH", 16)
    monkeypatch.setattr(noise, "BATCH", 16)  # 40 images: two whole batches and a smaller one
    images, labels = some_images(40), torch.arange(40) % 4
    encoder = build("slim", channels=1, image_size=16, width=8)
    probes = [
        linear_probe(predictors.features_of(encoder, images), labels, strength)
        for strength in (0.1, 10)
    ]
    head = torch.nn.Linear(encoder.num_features, 4).requires_grad_(False)
    methods = {
        "weak": predictors.probe_predictor(encoder, probes[0]),
        "strong": predictors.probe_predictor(encoder, probes[1]),
        "pixels": predictors.probe_predictor(
            None, linear_probe(normalise(images).flatten(1), labels)),
        "trained": predictors.classifier_predictor(
            Classifier(build("vit_digits", channels=1, image_size=16), torch.nn.Linear(64, 4), None,
                       ClassifierRecipe(steps=1))),
        "head": Predictor(encoder, lambda features: head(features).argmax(1))
    }
    sigmas, seeds = [0.0, 0.3, 1.2], [0, 7]
    sweep = robustness.noise_sweep(methods, Labeled(images, labels), sigmas, iter(seeds))
    accuracy, similarity = sweep_by_hand(methods, images, labels, sigmas, seeds)
    for name in methods:
        np.testing.assert_allclose(sweep.accuracy[name], accuracy[name], atol=1e-12)
        np.testing.assert_allclose(sweep.similarity[name], similarity[name], atol=1e-4)
    assert (sweep.similarity["pixels"][:, 0] > 0.9999).all() and (sweep.similarity["pixels"][:, 2]
                                                                  < 0.9).all()


def test_an_encoder_reads_each_noisy_batch_once_however_many_methods_use_it():
    calls = []
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 8))
    encoder.register_forward_hook(lambda *_: calls.append(1))
    methods = {
        str(number): Predictor(encoder, lambda features: features.argmax(1))
        for number in range(4)
    }
    robustness.noise_sweep(methods, Labeled(some_images(), torch.zeros(8)), [0.0, 0.5, 1.0],
                           range(3))
    assert len(calls) == 1 + 3 * 2  # the clean images once, and each louder noise once a seed


def test_every_method_is_shown_the_same_images():
    seen = {"a": [], "b": []}

    def watcher(name):
        def answer(features):
            # a method that draws random numbers must not change what the next one sees
            torch.rand(3)
            seen[name].append(features.clone())
            return torch.zeros(len(features))
        return Predictor(None, answer)

    watchers = {name: watcher(name) for name in seen}
    robustness.noise_sweep(watchers, Labeled(some_images(), torch.zeros(8)), [0.0, 1.0], range(2))
    assert len(seen["a"]) == 4
    assert all(torch.equal(a, b) for a, b in zip(seen["a"], seen["b"], strict=True))


def test_a_noise_sweep_gives_accuracies_seeds_by_sigmas():
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    methods = {"zeros": constant(0), "ones": constant(1)}
    scores = robustness.noise_sweep(methods, Labeled(some_images(), labels), [0.0, 0.5, 1.0],
                                    iter([0, 1])).accuracy
    np.testing.assert_allclose(scores["zeros"], np.full((2, 3), 3 / 8))
    np.testing.assert_allclose(scores["ones"], np.full((2, 3), 5 / 8))


def test_a_noise_sweep_is_reproducible_and_its_seeds_differ():
    labels = torch.arange(64) % 2
    images = torch.where(labels.bool(), 130, 125).to(torch.uint8).view(-1, 1, 1,
                                                                       1).expand(-1, 1, 4, 4)
    methods = {"mean": Predictor(None, lambda pixels: (pixels.mean(1) > 0).long())}
    data = Labeled(images, labels)
    runs = [robustness.noise_sweep(methods, data, [0.0, 0.2], range(3)).accuracy["mean"]
            for _ in range(2)]
    np.testing.assert_array_equal(*runs)
    assert (runs[0][:, 0] == 1).all()
    assert len(set(runs[0][:, 1])) > 1


def test_a_probe_on_pixels_and_one_on_features_answer_like_the_probe():
    images, labels = some_images(), torch.arange(8) % 2
    pixels = normalise(images).flatten(1)
    probe = linear_probe(pixels, labels)
    expected = torch.from_numpy(probe.predict(pixels.numpy()))
    assert torch.equal(predictors.probe_predictor(None, probe)(images), expected)
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 256))
    torch.nn.init.eye_(encoder[1].weight), torch.nn.init.zeros_(encoder[1].bias)
    assert torch.equal(predictors.probe_predictor(encoder, probe)(normalise(images)), expected)


def test_a_classifier_is_read_in_eval_mode_and_its_largest_logit_counts():
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.99),
                                  torch.nn.Linear(256, 8))
    head = torch.nn.Sequential(torch.nn.Dropout(0.9), torch.nn.Linear(8, 3))
    model = Classifier(encoder, head, None, ClassifierRecipe(steps=1)).train()
    x = normalise(some_images())
    answers = predictors.classifier_predictor(model)(x)
    assert model.training
    assert torch.equal(answers, model.eval()(x).argmax(1))


def test_corruption_errors_are_means_over_seeds_of_the_share_of_wrong_answers():
    images, labels = some_images(12), torch.arange(12) % 2
    methods = {
        "bright": Predictor(None, lambda pixels: (pixels.mean(1) > 0).long()), "zeros": constant(0)
    }
    errors = robustness.corruption_sweep(methods, Labeled(images, labels), range(2))
    assert set(errors["zeros"]) == set(SEVERITIES)
    for name in SEVERITIES:
        np.testing.assert_allclose(errors["zeros"][name], 0.5)
        seeds = range(2) if name in RANDOM else [0]
        by_hand = [[(methods["bright"](corrupt(images, name, severity, seed))
                     != labels).float().mean().item()
                    for severity in range(1, 6)]
                   for seed in seeds]
        np.testing.assert_allclose(errors["bright"][name], np.mean(by_hand, axis=0), atol=1e-6)


def test_corruption_errors_of_a_large_test_set_are_taken_in_blocks(monkeypatch):
    images, labels = some_images(12), torch.arange(12) % 2
    methods = {"bright": Predictor(None, lambda pixels: (pixels.mean(1) > 0).long())}
    whole = robustness.corruption_sweep(methods, Labeled(images, labels), range(1))["bright"]
    monkeypatch.setattr(robustness, "BATCH", 5)
    taken = robustness.corruption_sweep(methods, Labeled(images, labels), range(1))["bright"]
    for name in set(SEVERITIES) - set(RANDOM):  # the others draw other numbers
        np.testing.assert_allclose(taken[name], whole[name], atol=1e-6)


def test_mean_corruption_error_is_the_papers():
    baseline = {"a": np.array([0.1, 0.2, 0.3, 0.4, 0.5]), "b": np.array([0.1] * 5)}
    method = {"a": np.array([0.05, 0.1, 0.15, 0.2, 0.25]), "b": np.array([0.2] * 5)}
    assert robustness.mean_corruption_error(method, baseline) == pytest.approx((0.5 + 2) / 2)
    assert robustness.mean_corruption_error(baseline, baseline) == 1


@pytest.mark.parametrize("seldom", [0.0, 0.04])
def test_a_corruption_that_hardly_fools_the_baseline_is_left_out_of_the_mean(seldom):
    baseline = {"a": np.full(5, seldom), "b": np.array([0.1] * 5)}
    method = {"a": np.array([0.1] * 5), "b": np.array([0.2] * 5)}
    assert robustness.mean_corruption_error(method, baseline) == pytest.approx(2)
    assert np.isnan(robustness.mean_corruption_error({"a": np.ones(5)}, {"a": np.zeros(5)}))
    with pytest.raises(ValueError, match="different"):
        robustness.mean_corruption_error({"a": np.ones(5)}, baseline)


@pytest.mark.parametrize("name", LAYERS)
def test_without_noise_every_layer_is_similar_to_itself_and_layers_come_in_order(name):
    encoder = build(name, channels=1, image_size=16)
    x = normalise(some_images(3))
    rows = layer_similarity(encoder, x, x)
    assert [layer for layer, _ in rows] == LAYERS[name]
    assert [value for _, value in rows] == pytest.approx([1.0] * len(rows), abs=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_similarity_leaves_no_hooks_and_the_mode_as_it_was(name):
    encoder = build(name, channels=1, image_size=16).train()
    layer_similarity(encoder, normalise(some_images(2)), normalise(some_images(2)))
    assert hooks(encoder) == 0
    assert all(module.training for module in encoder.modules())


def test_layer_similarity_leaves_no_hooks_after_an_error():
    encoder = build("slim", channels=1, image_size=16)
    with pytest.raises(RuntimeError):
        layer_similarity(encoder, torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16))
    assert hooks(encoder) == 0


def test_the_first_row_of_layer_similarity_is_the_cosine_of_the_pixels():
    clean, noisy = normalise(some_images(4)), noise.noisy_images(some_images(4), 1.0, seed=0)
    rows = layer_similarity(build("slim", channels=1, image_size=16), clean, noisy)
    a, b = clean.flatten(1), noisy.flatten(1)
    expected = ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).mean().item()
    assert rows[0][1] == pytest.approx(expected, abs=1e-5)
    assert all(-1 <= value < 0.9999 for _, value in rows)


def test_the_embedding_of_a_vit_is_compared_with_its_positions_in_it():
    encoder = build("vit_digits", channels=1, image_size=16).eval()
    with torch.no_grad():  # positions so large that no noise can be seen beside them
        encoder.backbone.positions.fill_(1e3)
    clean, noisy = normalise(some_images(4)), noise.noisy_images(some_images(4), 1.0, seed=0)
    assert dict(layer_similarity(encoder, clean, noisy))["embedding"] > 0.9999


@pytest.mark.parametrize("token", ["class", "mean"])
def test_the_tokens_of_a_vit_are_compared_at_every_layer_up_to_the_final_norm(token):
    encoder = build("vit_digits", channels=1, image_size=16).eval()
    clean, noisy = normalise(some_images(4)), noise.noisy_images(some_images(4), 1.0, seed=0)
    rows = layer_similarity(encoder, clean, noisy, token)
    assert [name for name, _ in rows
            ] == ["pixels", "embedding", "block 1", "block 2", "block 3", "block 4", "final norm"]
    with torch.no_grad():
        states = [encoder.backbone.layers(encoder.prepare(x)) for x in (clean, noisy)]
    picked = [[state[:, 0] if token == "class" else state[:, 1:].mean(1)
               for state in each]
              for each in states]
    expected = [
        torch.nn.functional.cosine_similarity(a, b).mean().item()
        for a, b in zip(*picked, strict=True)
    ]
    assert [value for _, value in rows[1:]] == pytest.approx(expected, abs=1e-5)


def test_the_embedded_class_token_knows_nothing_of_the_image_yet():
    encoder = build("vit_digits", channels=1, image_size=16)
    rows = dict(
        layer_similarity(encoder, normalise(some_images(3)), torch.randn(3, 1, 16, 16),
                                    "class"))
    assert rows["embedding"] == pytest.approx(1) and rows["block 1"] < 0.99999


def test_an_encoder_without_tokens_says_so():
    with pytest.raises(ValueError, match="only a ViT"):
        layer_similarity(build("slim", channels=1, image_size=16),
                                    normalise(some_images(2)), normalise(some_images(2)), "class")


@pytest.mark.parametrize("sigma", [-1, float("nan"), float("inf")])
def test_noise_that_cannot_be_is_one_line(sigma):
    with pytest.raises(UserError, match="sigma must be a number from zero on"):
        noise.noisy_images(some_images(), sigma, seed=0)
