"""What a frozen encoder is worth: against scikit-learn, hand counts and closed forms."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch import nn

from helpers.common.errors import UserError
from helpers.evaluation import collapse, predictors, probes
from helpers.evaluation import features as evaluation
from helpers.evaluation.probes import OneScale
from helpers.models.encoder import build


def clusters(count: int = 40, gap: float = 8.0, dims: int = 6, classes: int = 3, seed: int = 0):
    """`count` points a class around `classes` orthogonal centres that are `gap` from the origin."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat(count)
    return torch.randn(len(labels), dims,
                       generator=generator) + gap * torch.eye(dims)[labels], labels


def mixed_modes() -> nn.Sequential:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    model.train()
    model[1].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_evaluating_sets_eval_mode_everywhere_and_turns_gradients_off():
    model = mixed_modes()
    with evaluation.evaluating(model) as same:
        assert same is model
        assert not any(modes(model))
        assert not model(torch.ones(4, 3)).requires_grad


def test_evaluating_gives_each_module_its_own_mode_back():
    model = mixed_modes()
    with evaluation.evaluating(model):
        pass
    assert modes(model) == [True, True, False, True]


def test_evaluating_gives_the_modes_back_after_an_exception():
    model = mixed_modes()
    with pytest.raises(KeyError), evaluation.evaluating(model):
        raise KeyError
    assert modes(model) == [True, True, False, True]
    assert model(torch.ones(4, 3)).requires_grad


def test_batchnorm_statistics_do_not_move_in_extract_features():
    encoder = build("slim", channels=1, image_size=16).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    evaluation.extract_features(encoder, torch.randint(0, 256, (9, 1, 16, 16), dtype=torch.uint8))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert encoder.training


def test_features_do_not_depend_on_the_batch_size():
    encoder = build("slim", channels=1, image_size=16)
    images = torch.randint(0, 256, (9, 1, 16, 16), dtype=torch.uint8)
    one, many = (evaluation.extract_features(encoder, images, batch_size=size) for size in (2, 100))
    torch.testing.assert_close(one, many)


def test_bytes_and_normalised_images_have_the_same_features():
    encoder = build("slim", channels=1, image_size=16)
    images = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(evaluation.extract_features(encoder, images),
                               evaluation.extract_features(encoder, images.float() / 127.5 - 1))


def test_accuracy_is_the_share_of_right_rows():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [5.0, 1.0]])
    assert probes.accuracy(logits, torch.tensor([0, 1, 1, 0])) == 0.75


def test_knn_accuracy_is_that_of_scikit_learns_weighted_vote():
    bank, labels = clusters(gap=1.5)
    queries, answers = clusters(gap=1.5, seed=1)
    peer = KNeighborsClassifier(7, metric="cosine", weights=lambda distance: np.exp(
        (1 - distance) / 0.1))
    expected = peer.fit(bank.numpy(), labels.numpy()).score(queries.numpy(), answers.numpy())
    assert 0.5 < expected < 1
    assert probes.knn_accuracy(bank, labels, queries, answers, k=7) == pytest.approx(expected)


def test_knn_accuracy_is_one_on_separated_clusters():
    bank, labels = clusters(gap=30.0)
    assert probes.knn_accuracy(bank, labels, *clusters(gap=30.0, seed=1)) == 1.0


def test_knn_accuracy_does_not_see_the_length_of_features():
    bank, labels = clusters(gap=1.5)
    queries, answers = clusters(gap=1.5, seed=1)
    lengths = torch.linspace(0.1, 10, len(queries))[:, None]
    assert probes.knn_accuracy(bank, labels, queries * lengths, answers) == \
        probes.knn_accuracy(bank, labels, queries, answers)


def test_knn_takes_all_neighbours_where_k_is_larger_than_the_bank():
    bank, labels = torch.eye(2), torch.tensor([0, 1])
    assert probes.knn_accuracy(bank, labels, bank, labels, k=50) == 1.0


def test_one_scale_keeps_the_angles_between_points():
    points = np.random.RandomState(0).randn(20, 5) * np.array([100, 10, 1, 0.1, 5]) + 7
    scaled = probes.OneScale().fit(points).transform(points)

    def cosines(x):
        edges = x[1:] - x[:1]
        edges = edges / np.linalg.norm(edges, axis=1, keepdims=True)
        return edges @ edges.T

    np.testing.assert_allclose(cosines(scaled), cosines(points), atol=1e-9)


def test_one_scale_gives_mean_zero_and_root_mean_square_one():
    points = np.random.RandomState(0).randn(20, 5) * 30 + 7
    scaled = probes.OneScale().fit(points).transform(points)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-9)
    assert np.square(scaled).mean() == pytest.approx(1)


def test_one_scale_uses_the_fitted_numbers_on_new_points():
    scaler = probes.OneScale().fit(np.array([[-2.0], [2.0]]) + 5)
    np.testing.assert_allclose(scaler.transform(np.array([[9.0]])), [[2.0]])


def test_linear_probe_is_logistic_regression_on_scaled_features():
    x, labels = clusters(gap=1.5)
    probe = probes.linear_probe(x, labels, strength=0.3)
    scaled = x.numpy() - x.numpy().mean(0)
    scaled /= np.sqrt(np.square(scaled).mean())
    peer = LogisticRegression(C=0.3, max_iter=2000).fit(scaled, labels.numpy())
    np.testing.assert_allclose(probe.predict_proba(x.numpy()), peer.predict_proba(scaled),
                               atol=1e-3)


@pytest.mark.parametrize("fit", [probes.linear_probe, probes.mlp_probe])
def test_a_probe_learns_separated_clusters_and_score_says_so(fit):
    probe = fit(*clusters(count=200))
    assert probes.score(probe, *clusters(seed=1)) > 0.95


def test_score_of_wrong_answers_is_zero():
    x, labels = clusters(gap=30.0)
    assert probes.score(probes.linear_probe(x, labels), x, (labels + 1) % 3) == 0


LABELS = torch.tensor([0] * 30 + [1] * 12 + [2] * 20)


def test_the_svm_is_scikit_learns_of_the_strength_that_validation_chooses():
    (x, labels), (val, val_labels), (test, _) = (clusters(gap=2.0, seed=seed) for seed in range(3))
    x, val, test = x.numpy(), val.numpy(), test.numpy()
    found = predictors.svm_predictions([x, val, test], labels, val_labels)
    usual = {strength: make_pipeline(OneScale(), SVC(C=strength)).fit(x, labels)
             for strength in predictors.SVM_STRENGTHS}
    right = {strength: svm.score(val, val_labels) for strength, svm in usual.items()}
    assert len(set(right.values())) > 1  # so that the choice matters
    best = max(right, key=right.get)
    assert found.tolist() == usual[best].predict(test).tolist()


def test_label_subsets_give_the_same_number_per_class():
    for index in probes.label_subsets(LABELS, per_class=5, draws=3):
        assert torch.bincount(LABELS[index]).tolist() == [5, 5, 5]
        assert len(index.unique()) == 15


def test_label_subsets_are_the_same_for_the_same_seed_and_differ_for_another():
    first, again, other = (probes.label_subsets(LABELS, 5, 2, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_label_subsets_differ_from_each_other():
    one, two, three = (set(index.tolist()) for index in probes.label_subsets(LABELS, 5, 3))
    assert one != two and two != three and one != three


def test_fewer_than_no_labels_per_class_is_refused():
    with pytest.raises(UserError, match="-3 labels per class"):
        probes.label_subsets(LABELS, per_class=-3, draws=3)


def test_zero_labels_per_class_takes_everything_once():
    draws = probes.label_subsets(LABELS, per_class=0, draws=3)
    assert len(draws) == 1
    assert draws[0].tolist() == list(range(len(LABELS)))


def test_a_class_with_too_few_images_gives_all_of_them():
    (index,) = probes.label_subsets(LABELS, per_class=15, draws=1)
    assert torch.bincount(LABELS[index]).tolist() == [15, 12, 15]


def test_few_label_scores_have_one_accuracy_per_draw():
    x, labels = clusters(gap=2.0)
    scores = probes.few_label_scores(x, labels, *clusters(gap=2.0, seed=1), per_class=2, draws=4)
    assert len(scores) == 4
    assert all(1 / 3 < score <= 1 for score in scores)
    assert len(set(scores)) > 1


def test_confusion_counts_true_classes_in_rows():
    counts = probes.confusion(torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 1, 1, 1, 0]),
                              classes=3)
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]


def test_per_class_accuracy_is_the_diagonal_over_the_row_and_nan_for_an_absent_class():
    shares = probes.per_class_accuracy(np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]]))
    np.testing.assert_allclose(shares, [0.75, 0.5, np.nan])


def test_feature_std_is_zero_for_constant_features():
    assert collapse.feature_std(torch.ones(50, 8)) == pytest.approx(0, abs=1e-6)


def test_feature_std_is_near_one_for_gaussian_features():
    features = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    assert collapse.feature_std(features) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("directions", [1, 3, 6])
def test_effective_rank_of_equal_orthogonal_directions_is_their_number(directions):
    axes = torch.eye(8)[:directions] * 3
    assert collapse.effective_rank(torch.cat([axes, -axes])) == pytest.approx(directions, rel=1e-4)


def test_effective_rank_is_exp_of_the_entropy_of_the_singular_values():
    features = torch.diag(torch.tensor([3.0, 1.0]))
    features = torch.cat([features, -features])  # singular values in the ratio 3 to 1
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert collapse.effective_rank(features) == pytest.approx(math.exp(entropy))


def test_a_shared_direction_does_not_count_as_content():
    axes = torch.eye(8)[:3]
    features = torch.cat([axes, -axes])
    assert collapse.effective_rank(features + 1000) == pytest.approx(
        collapse.effective_rank(features), rel=1e-3)


def test_effective_rank_of_constant_features_is_one():
    assert collapse.effective_rank(torch.ones(20, 8)) == pytest.approx(1, abs=1e-4)


def test_pixels_of_small_images_are_the_features_themselves():
    images = torch.randint(0, 256, (5, 1, 16, 16), dtype=torch.uint8)
    assert torch.allclose(evaluation.pixel_features(images), images.flatten(1).float() / 127.5 - 1)


def test_large_images_are_averaged_before_their_pixels_are_features():
    images = torch.zeros(2, 3, 96, 96, dtype=torch.uint8)
    images[1, 0, :6, :6] = 255  # the first of 16 x 16 cells, in red
    features = evaluation.pixel_features(images)
    assert features.shape == (
        2, 3 * 16 * 16) and features[1, 0] == 1 and features.sum() == 2 - features.numel()


@pytest.mark.parametrize("side,cpu", [(16, 256), (48, 28), (224, 16)])
def test_a_forward_pass_takes_fewer_large_images_on_a_cpu_and_many_on_a_gpu(side, cpu):
    images = torch.zeros(2, 3, side, side)
    assert evaluation.batch_for(images, torch.device("cpu")) == cpu
    assert evaluation.batch_for(images, torch.device("cuda")) == 512


def test_features_are_the_same_whatever_the_batch():
    encoder = build("slim", channels=3, image_size=16)
    images = torch.randint(0, 256, (70, 3, 16, 16), dtype=torch.uint8)
    torch.testing.assert_close(evaluation.extract_features(encoder, images, 70),
                               evaluation.extract_features(encoder, images, 8), atol=1e-5,
                               rtol=1e-4)


def test_no_label_subset_is_refused():
    with pytest.raises(UserError, match="draws must be a whole number above zero, not 0"):
        probes.label_subsets(LABELS, per_class=5, draws=0)
