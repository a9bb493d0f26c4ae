"""Labels spread over a graph of neighbouring images: the cheapest way to use unlabelled ones.

A few labels flow along the edges of a k-nearest-neighbour graph of all training images (Zhou et al.
2003), and a new image takes the vote of its neighbours. Nothing is pretrained. Whoever claims that
unlabelled images help through a network has this to beat.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading
from torch import Tensor

from helpers.common.compute import numpy_threads
from helpers.common.progress_bar import working
from helpers.data.splits import Labeled, Splits
from helpers.evaluation.features import pixel_features
from helpers.evaluation.probes import label_subsets

NAME, PROTOCOL = "label spreading", "pixels and unlabelled images"
NEIGHBOURS = (3, 5, 7, 10, 20, 40)
ALPHAS = (0.05, 0.2, 0.5, 0.8, 0.95)  # how much an image listens to its neighbours
MOST_IMAGES = 20_000  # in the graph
TRIALS = 3  # label subsets on which the two are chosen


class Spreading:
    """Label spreading on pixels, its two numbers chosen on validation for each number of labels.

    The graph holds the training images, at most `MOST_IMAGES` of them; their labels are hidden
    except for those of a subset.
    """

    def __init__(self, splits: Splits, seed: int = 0) -> None:
        train = Labeled(splits.train.images[:MOST_IMAGES], splits.train.labels[:MOST_IMAGES])
        self.labels, self.val, self.test, self.seed = train.labels, splits.val, splits.test, seed
        self.features = [pixel_features(part.images).numpy()
                         for part in (train, splits.val, splits.test)]
        self.graphs = lru_cache(maxsize=None)(self._graphs)

    def _graphs(self, neighbours: int) -> list[csr_matrix]:
        """Which training images are nearest to each training, validation and test image."""
        train = self.features[0]
        search = NearestNeighbors(n_neighbors=min(neighbours, len(train))).fit(train)
        with numpy_threads(True):
            return [search.kneighbors_graph(part) for part in self.features]

    def _predictions(self, index: Tensor, neighbours: int, alpha: float, part: int) -> np.ndarray:
        graphs = self.graphs(neighbours)
        known = np.full(len(self.labels), -1)
        known[index] = self.labels[index]
        model = LabelSpreading(kernel=lambda *_: graphs[0], alpha=alpha)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its 30 passes are near enough
            model.fit(self.features[0], known)
        return model.classes_[(graphs[part] @ model.label_distributions_).argmax(1)]

    def choose(self, per_class: int) -> tuple[int, float]:
        """Neighbours and alpha that are best on all validation images, with other label subsets
        than those reported."""
        subsets = label_subsets(self.labels, per_class, TRIALS, self.seed + 100)
        labels = self.val.labels.numpy()
        return max(itertools.product(NEIGHBOURS, ALPHAS), key=lambda pair: np.mean(
            [(self._predictions(index, *pair, part=1) == labels).mean() for index in subsets]))

    def scores(self, per_class: int, draws: int) -> list[float]:
        """Test accuracy for each label subset, those of `few_label_scores`; 0 is all labels."""
        pair = self.choose(per_class)
        return [float((self._predictions(index, *pair, part=2) == self.test.labels.numpy()).mean())
                for index in label_subsets(self.labels, per_class, draws, self.seed)]


def spreading_scores(splits: Splits, counts: Sequence[int], draws: int,
                     seed: int = 0) -> dict[tuple[str, int], list[float]]:
    """Test accuracies by ("label spreading", labels per class), one for each label subset."""
    with working(NAME):
        spreading = Spreading(splits, seed)
        return {(NAME, count): spreading.scores(count, draws) for count in counts}
