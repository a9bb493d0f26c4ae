"""Maps of representations: against scikit-learn, and on points whose neighbours are known."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.manifold import trustworthiness as peer_trustworthiness
from threadpoolctl import threadpool_info

from helpers.evaluation import embedding

ROOT = Path(__file__).parents[2]


def clusters(count: int = 20, dims: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(3).repeat(count)
    noise = torch.randn(len(labels), dims, generator=torch.Generator().manual_seed(0))
    return noise + 20 * torch.eye(dims)[labels], labels


def test_pca_of_a_plane_keeps_all_distances():
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(30, 2, generator=generator)
    basis = torch.linalg.qr(torch.randn(7, 7, generator=generator))[0][:2]
    points = embedding.pca(plane @ basis + 5)
    distances = torch.cdist(torch.from_numpy(points).float(), torch.from_numpy(points).float())
    torch.testing.assert_close(distances, torch.cdist(plane, plane), atol=1e-3, rtol=1e-3)


def test_pca_puts_the_largest_variance_first():
    spread = np.var(embedding.pca(clusters()[0]), axis=0)
    assert spread[0] >= spread[1]


@pytest.mark.parametrize("dims", [2, 3])
def test_tsne_keeps_separated_clusters_apart(dims):
    features, labels = clusters()
    points = embedding.tsne(features, dims=dims, perplexity=5)
    assert points.shape == (60, dims)
    assert embedding.knn_agreement(points, labels, k=5) > 0.9


def test_tsne_is_the_same_for_the_same_seed():
    features = clusters(6)[0]
    np.testing.assert_array_equal(embedding.tsne(features, seed=1),
                                  embedding.tsne(features, seed=1))


def test_tsne_from_pca_has_one_map_and_from_random_starts_many():
    features = clusters(6)[0]
    one, same = (embedding.tsne(features, seed=seed) for seed in (0, 1))
    other, another = (embedding.tsne(features, seed=seed, start="random") for seed in (0, 1))
    # The seed moves the PCA start by rounding errors only: the two maps have nearly the same
    # neighbours.
    assert embedding.trustworthiness(torch.from_numpy(one), same, k=3) > 0.9
    assert np.abs(other - another).max() > 1


def test_tsne_gives_the_threads_back():
    before = [pool["num_threads"] for pool in threadpool_info()]
    embedding.tsne(clusters(6)[0])
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_tsne_of_few_points_lowers_the_perplexity():
    assert embedding.tsne(clusters(3)[0], perplexity=30).shape == (9, 2)


@pytest.mark.slow
def test_umap_gives_the_threads_back():
    """In a process of its own: numba sets their number with the first loop that it runs."""
    program = """
import torch
from helpers.evaluation import embedding
from threadpoolctl import threadpool_info
threads = lambda: {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
before = threads()
embedding.umap(torch.rand(60, 4, generator=torch.Generator().manual_seed(0)))
assert torch.get_num_threads() == 1 and threads() == threads() | before, (before, threads())"""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", program], env=variables, cwd=ROOT, check=True)


@pytest.mark.slow
def test_umap_keeps_separated_clusters_apart():
    features, labels = clusters()
    assert embedding.knn_agreement(embedding.umap(features), labels, k=5) == 1.0


def test_joint_embeds_both_at_once_and_takes_them_apart_in_order():
    clean, noisy = torch.zeros(3, 2), torch.ones(4, 2)
    seen = []

    def embed(features):
        seen.append(len(features))
        return features.numpy() * 5

    first, second = embedding.joint(embed, clean, noisy)
    assert seen == [7]
    np.testing.assert_array_equal(first, np.zeros((3, 2)))
    np.testing.assert_array_equal(second, np.full((4, 2), 5.0))


def test_a_faithful_map_has_trustworthiness_one():
    points = clusters()[0][:, :2]
    assert embedding.trustworthiness(points, 3 * points.numpy()) == pytest.approx(1)


def test_trustworthiness_of_a_wrong_map_is_scikit_learns_number():
    features = clusters()[0]
    wrong = np.random.RandomState(0).randn(60, 2)
    expected = peer_trustworthiness(features.numpy(), wrong, n_neighbors=10)
    assert expected < 0.7
    assert embedding.trustworthiness(features, wrong) == pytest.approx(expected)


def test_knn_agreement_counted_by_hand():
    points = np.array([[0.0], [1.0], [10.0], [11.5]])  # nearest neighbours: 1, 0, 3, 2
    assert embedding.knn_agreement(points, torch.tensor([0, 0, 0, 1]), k=1) == 0.5


def test_a_point_is_not_its_own_neighbour():
    points = np.array([[0.0], [1.0]])
    assert embedding.knn_agreement(points, torch.tensor([0, 1]), k=10) == 0.0


def test_knn_agreement_of_shuffled_labels_is_near_chance():
    features, labels = clusters(100)
    shuffled = labels[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    assert embedding.knn_agreement(features, shuffled) == pytest.approx(1 / 3, abs=0.05)
