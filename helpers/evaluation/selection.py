"""Which images to label next: random ones, typical ones, covering ones, or those in doubt.

Every strategy takes features N x D, labels N (a class number, `NOT_ASKED`, or `NO_CLASS` for what a
person has seen and put into no class), the number of classes, a budget and a seed, and returns the
rows of at most `budget` images that nobody was asked about, the most useful first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn import functional as F

from helpers.common.compute import numpy_threads
from helpers.common.errors import UserError
from helpers.evaluation.probes import FEW_NUMBERS, linear_probe

NOT_ASKED, NO_CLASS = -1, -2
POOL = 10_000  # images that a strategy looks at: of more, that many at random
NEIGHBOURS, MOST_CLUSTERS, SMALLEST = 20, 500, 5  # Hacohen et al. 2022, appendix F
PURITY = 0.95  # Yehuda et al. 2022, section 3.3


def random_images(features: Tensor, labels: Tensor, classes: int, budget: int,
                  seed: int) -> np.ndarray:
    """The baseline: any images, each as likely as the others."""
    left = np.flatnonzero(labels.numpy() == NOT_ASKED)
    return np.random.RandomState(seed).permutation(left)[:budget]


def typical_images(features: Tensor, labels: Tensor, classes: int, budget: int,
                   seed: int) -> np.ndarray:
    """TypiClust (Hacohen et al. 2022): the most typical image of each of the largest clusters.

    k-means makes as many clusters as there will be labels (500 at most). Among those with the
    fewest labels the largest gives its most typical image z, that with the nearest neighbours:

        typicality(z) = 1 / mean over its 20 nearest neighbours z' in the cluster of |z - z'|
    """
    z, asked = _unit(features), labels.numpy() != NOT_ASKED
    cluster = _clusters(z, min(int(asked.sum()) + budget, MOST_CLUSTERS, len(z)), seed)
    sizes, chosen = np.bincount(cluster), []
    usable = sizes >= SMALLEST if (sizes >= SMALLEST).any() else sizes > 0
    for _ in range(min(budget, int((~asked).sum()))):
        covered, left = (np.bincount(cluster[rows], minlength=len(sizes))
                         for rows in (asked, ~asked))
        best = np.lexsort((-sizes, covered, ~usable, left == 0))[0]
        rows = np.flatnonzero((cluster == best) & ~asked)
        chosen.append(rows[_typicality(z[rows]).argmax()])
        asked[chosen[-1]] = True
    return np.array(chosen, dtype=int)


def _typicality(z: np.ndarray) -> np.ndarray:
    """One over the mean distance of each row of N x D to its nearest neighbours; N."""
    near = min(NEIGHBOURS, len(z) - 1)
    nearest = np.sort(cdist(z, z), axis=1)[:, 1:near + 1]
    return 1 / (nearest.mean(1) + 1e-12) if near else np.ones(1)


def covering_images(features: Tensor, labels: Tensor, classes: int, budget: int,
                    seed: int) -> np.ndarray:
    """ProbCover (Yehuda et al. 2022): those whose balls cover the most images not yet covered.

    An image covers all within a radius delta of it. Each choice is the greedy one,

        argmax over z of |{z' : |z - z'| < delta and no labelled image covers z'}|

    and where all are covered, images are taken at random.
    """
    z, asked = _unit(features), labels.numpy() != NOT_ASKED
    balls = NearestNeighbors(radius=pure_radius(z, classes, seed)).fit(z)
    near = balls.radius_neighbors(z, return_distance=False)  # of each image those that it covers
    covered, gain = np.zeros(len(z), bool), np.array([len(rows) for rows in near])

    def take(row: int) -> None:
        for new in near[row][~covered[near[row]]]:
            covered[new] = True
            gain[near[new]] -= 1

    for row in np.flatnonzero(asked):
        take(row)
    chosen, order = [], np.random.RandomState(seed).permutation(len(z))  # ties break at random
    for _ in range(min(budget, int((~asked).sum()))):
        best = order[np.where(asked, -1, gain)[order].argmax()]
        chosen.append(best)
        asked[best] = True
        take(best)
    return np.array(chosen, dtype=int)


def pure_radius(z: np.ndarray, classes: int, seed: int) -> float:
    """The largest radius at which 95 % of the balls hold images of one cluster only.

    k-means stands in for the classes, so no label is needed. A ball is pure up to its distance to
    the nearest image of another cluster: the radius is the 5 % quantile of these distances.

    Args:
        z: N x D, of length 1.
    """
    cluster = _clusters(z, min(classes, len(z)), seed)

    def to_others(distances: np.ndarray, start: int) -> np.ndarray:
        same = cluster[start:start + len(distances), None] == cluster
        return np.where(same, np.inf, distances).min(1)

    nearest = np.concatenate(list(pairwise_distances_chunked(z, reduce_func=to_others)))
    return float(np.quantile(nearest, 1 - PURITY, method="lower"))


def margin_images(features: Tensor, labels: Tensor, classes: int, budget: int,
                  seed: int) -> np.ndarray:
    """Those between whose two likeliest classes the probe on today's labels hardly decides.

    The smallest p(first | z) - p(second | z) comes first (Scheffer et al. 2001). Without labels of
    two classes there is no probe yet, and images are taken at random.
    """
    known = labels >= 0
    if len(labels[known].unique()) < 2:
        return random_images(features, labels, classes, budget, seed)
    left = np.flatnonzero(labels.numpy() == NOT_ASKED)
    probe = linear_probe(features[known], labels[known])
    likeliest = np.sort(probe.predict_proba(features[left].numpy()), axis=1)
    return left[np.argsort(likeliest[:, -1] - likeliest[:, -2], kind="stable")[:budget]]


STRATEGIES: dict[str, Callable[..., np.ndarray]] = {
    "random": random_images, "typical": typical_images, "coverage": covering_images,
    "margin": margin_images,
}
# What wins at a budget, chosen on validation images (benchmarks/selection.py): with few labels
# typical images, and from so many labels per class on those in doubt. On digits and photographs a
# switch at 2 costs points at 5 labels per class; between 5 and 20 it hardly matters when it comes.
AUTO, SWITCH = "auto", 10


def suited(labels: Tensor, classes: int) -> str:
    """The strategy that "auto" stands for, by how many labels there are: "typical" or "margin"."""
    return "typical" if int((labels >= 0).sum()) < SWITCH * classes else "margin"


def select(strategy: str, features: Tensor, labels: Tensor, classes: int, budget: int,
           seed: int = 0) -> list[int]:
    """The rows of the images to label next, by a strategy's name or "auto"; see the top.

    Of more than `POOL` images that nobody was asked about, as many are drawn to choose among.

    Raises:
        UserError: no strategy has that name.
    """
    if strategy not in (AUTO, *STRATEGIES):
        raise UserError(f"no strategy is called {strategy!r}: choose {AUTO}, "
                        f"{', '.join(STRATEGIES)}")
    strategy = suited(labels, classes) if strategy == AUTO else strategy
    left = torch.from_numpy(random_images(features, labels, classes, POOL, seed))
    if not len(left):
        return []
    rows = torch.cat([(labels != NOT_ASKED).nonzero()[:, 0], left]).sort().values
    with numpy_threads(features[:1].numel() * len(rows) < FEW_NUMBERS):
        chosen = STRATEGIES[strategy](features[rows], labels[rows], classes, budget, seed)
    return rows[torch.from_numpy(chosen)].tolist()


def labelled_so_far(strategy: str, features: Tensor, answers: Tensor, classes: int,
                    budgets: Sequence[int], seed: int) -> Iterator[Tensor]:
    """Labels N after each round, in which a person would answer as `answers` N says.

    Args:
        budgets: labels per class on average after each round, rising.
    """
    labels = torch.full_like(answers, NOT_ASKED)
    for budget in budgets:
        wanted = min(budget * classes, len(labels)) - int((labels != NOT_ASKED).sum())
        chosen = select(strategy, features, labels, classes, wanted, seed)
        labels[chosen] = answers[chosen]
        yield labels.clone()


def probe_of(features: Tensor, labels: Tensor):
    """A linear probe on the labelled rows; where they have one class only, it is the answer."""
    known = labels >= 0
    if len(labels[known].unique()) < 2:
        return DummyClassifier().fit(features[known].numpy(), labels[known].numpy())
    return linear_probe(features[known], labels[known])


def _unit(features: Tensor) -> np.ndarray:
    """Features of length 1: N x D."""
    return F.normalize(features.float().flatten(1), dim=1).numpy()


def _clusters(z: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The cluster of each row, by k-means."""
    return KMeans(count, random_state=seed, n_init=1).fit_predict(z)
