"""Copies, collapsed encoders and folders of a few images: numbers stay true, nothing ends."""

import functools
import warnings

import numpy as np
import pytest
import torch

from helpers.common.errors import UserError
from helpers.evaluation.embedding import knn_agreement, pca, trustworthiness, tsne, umap
from helpers.evaluation.features import extract_features, last_blocks
from helpers.evaluation.linear_sgd import linear_features
from helpers.evaluation.outliers import consensus, found_at, outlier_scores, whitened
from helpers.evaluation.probes import mlp_probe, score
from helpers.models.encoder import build


def features(count, dims=96, seed=0):
    return torch.randn(count, dims, generator=torch.Generator().manual_seed(seed))


def farthest_copies(points, distinct):
    """The largest distance of copies, and the smallest of what differs."""
    groups = points.reshape(-1, distinct, points.shape[1])
    apart = np.linalg.norm(points[:distinct, None] - points[None, :distinct], axis=-1)
    return np.linalg.norm(groups - groups[:1], axis=-1).max(), apart[apart > 0].min()


@pytest.mark.parametrize(("distinct", "copies"), [(6, 10), (20, 5), (40, 3)])
def test_copies_stay_together_when_directions_are_whitened(distinct, copies):
    near, far = farthest_copies(whitened(features(distinct).repeat(copies, 1)), distinct)
    assert near < 1e-2
    assert far > 1


def test_equal_features_are_whitened_to_nothing():
    for value in (0.0, 1.0, 1e20):
        assert not whitened(torch.full((60, 96), value)).any()


@pytest.mark.parametrize("rank", [2, 5, 20])
def test_outliers_are_found_where_most_directions_are_empty(rank):
    """Three deviations away in each of the few directions that there are."""
    basis = torch.linalg.qr(features(96, rank + 1)).Q
    spread = torch.cat([0.3 * features(200, rank), 0.9 * features(6, rank, seed=1).sign()])
    found = torch.cat([spread, torch.ones(206, 1)], 1) @ basis.T
    quality = found_at(consensus(outlier_scores(found)), np.arange(206) >= 200, 6)
    assert quality["recall"] > 0.6


@pytest.mark.parametrize("copies", [0, 10, 21, 60])
def test_a_burst_of_copies_makes_no_score_astronomic(copies):
    ordinary, odd = features(200) @ features(96, seed=1) / 10 + 3, 3 * features(5, seed=2)
    found = torch.cat([ordinary, odd, ordinary[:1].repeat(copies, 1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = outlier_scores(found)["local outlier factor"]
    assert scores.max() < 10
    assert set(np.argsort(-scores)[:5]) == {200, 201, 202, 203, 204}


def test_nothing_is_an_outlier_among_equal_images():
    for values in outlier_scores(torch.ones(60, 96)).values():
        assert np.isfinite(values).all()
        assert np.ptp(values) == pytest.approx(0)


@pytest.mark.parametrize("sizes", [(5, 5), (40, 1), (40, 2), (40, 3), (3, 3, 3), (30, 30, 1),
                                   (1, 1), (2, 1)])
def test_the_mlp_probe_learns_classes_of_a_few_images(sizes):
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    found = features(len(labels)) + 6 * torch.eye(96)[labels]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score(mlp_probe(found, labels), found, labels) == 1


@pytest.mark.parametrize("embed", [pca, tsne, umap, functools.partial(tsne, dims=3)])
def test_a_collapsed_encoder_is_one_point_on_every_map(embed):
    points = embed(torch.full((40, 16), 0.7))
    assert points.shape in {(40, 2), (40, 3)}
    assert np.ptp(points, axis=0) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("embed", [pca, tsne, umap])
def test_up_to_three_images_have_an_exact_map(embed, count):
    found = features(count)
    points = embed(found)
    assert points.shape == (count, 2)
    np.testing.assert_allclose(torch.cdist(torch.from_numpy(points), torch.from_numpy(points)),
                               torch.cdist(found, found), atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_numbers_of_a_small_map_are_fractions(count):
    found = features(count)
    assert 0 <= trustworthiness(found, pca(found)) <= 1
    assert 0 <= knn_agreement(found, torch.arange(count) % 2) <= 1


@pytest.mark.parametrize("embed", [pca, tsne, umap])
def test_a_map_of_no_numbers_says_what_went_wrong(embed):
    broken = features(20)
    broken[3] = torch.nan
    with pytest.raises(UserError, match="NaN"):
        embed(broken)


@pytest.mark.parametrize("describe", [extract_features, linear_features, last_blocks])
def test_features_can_be_trained_on(describe):
    encoder = build("vit_digits", channels=1, image_size=16)
    found = describe(encoder, torch.zeros(4, 1, 16, 16, dtype=torch.uint8))
    layer = torch.nn.Linear(found.shape[1], 2)
    layer(found.sub_(1)).sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    assert not found.requires_grad


@pytest.mark.parametrize("describe", [extract_features, linear_features, last_blocks])
def test_features_of_no_numbers_are_one_line_before_anything_is_made_of_them(describe):
    encoder = build("vit_digits", channels=1, image_size=16)
    encoder.backbone.norm.bias.data[3] = torch.inf
    with pytest.raises(UserError, match="NaN or infinite"):
        describe(encoder, torch.zeros(4, 1, 16, 16, dtype=torch.uint8))
