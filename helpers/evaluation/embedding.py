"""Maps: features in two or three dimensions, and numbers that say how far to trust them."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from helpers.common.compute import numpy_threads, threads_given_back
from helpers.common.progress_bar import working
from helpers.evaluation.features import require_finite

FEWEST = 4  # different points that a map is worth making for: three always lie in one plane
MANY = 5000  # points from which more than one thread of t-SNE is worth its while


def pca(features: Tensor, dims: int = 2) -> np.ndarray:
    """The `dims` directions of largest variance: N x D to N x dims; distances keep a meaning.

    What fewer images than `dims` cannot fill is 0.

    Raises:
        UserError: the features hold NaN or infinite numbers.
    """
    require_finite(features)
    if len(features) < 2:
        return np.zeros((len(features), dims), np.float32)
    directions = min(dims, *features.shape)
    points = PCA(n_components=directions, random_state=0).fit_transform(features.numpy())
    return np.pad(points, ((0, 0), (0, dims - directions)))


def _few_places(features: Tensor) -> bool:
    """Whether the features lie at so few places that their exact map is that of `pca`."""
    require_finite(features)
    return len(torch.unique(features, dim=0)) < FEWEST


def tsne(features: Tensor, dims: int = 2, seed: int = 0, perplexity: float = 30.0,
         start: str = "pca") -> np.ndarray:
    """t-SNE (van der Maaten & Hinton 2008): neighbours stay neighbours, distance means nothing.

    Args:
        features: N x D.
        dims: 2 or 3.
        seed: matters with a random start only.
        perplexity: about how many neighbours count; lowered where there are few points.
        start: "pca", which gives the same map every time and keeps some of the large distances
            (Kobak & Linderman 2021), or "random".

    Returns:
        N x dims. Fewer than four different rows lie as in `pca`, which is their exact map; all
        equal ones (of a collapsed encoder) lie at one point.
    """
    if _few_places(features):
        return pca(features, dims)
    perplexity = min(perplexity, max(2.0, (len(features) - 1) / 3))
    model = TSNE(n_components=dims, perplexity=perplexity, init=start, random_state=seed)
    with numpy_threads(len(features) < MANY), working(f"t-SNE of {len(features):,} points"):
        return model.fit_transform(features.numpy())


def umap(features: Tensor, seed: int = 0, gap: float = 0.1) -> np.ndarray:
    """UMAP (McInnes et al. 2018): N x D to N x 2; the first call compiles.

    `gap` is how close points may come (min_dist, up to 1): a larger one leaves room for images.
    Fewer than four different rows lie as in `pca`.
    """
    if _few_places(features):
        return pca(features)
    bar = working(f"UMAP of {len(features):,} points")
    with threads_given_back(), warnings.catch_warnings(), bar:
        warnings.simplefilter("ignore")
        _let_numba_cache()
        from umap import UMAP

        _keep_compiled()
        model = UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed, n_jobs=1,
                     min_dist=gap)
        return model.fit_transform(features.numpy())


def _let_numba_cache() -> None:
    """Give numba a folder of this process where it can write neither beside the packages nor in
    the home: it ends otherwise."""
    packages = importlib.util.find_spec("umap").submodule_search_locations[0]
    if "NUMBA_CACHE_DIR" in os.environ or any(map(_can_write, (packages, Path.home()))):
        return
    os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="numba-")
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


def _can_write(folder: str | Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@functools.cache
def _keep_compiled() -> None:
    """Let numba keep what it compiles for UMAP on the disk, so that only the first process waits.

    UMAP asks for this for few of its functions (0.5 s in place of 11 s). Where no folder can be
    written to, numba compiles anew each time, as without this.
    """
    import umap.distances
    import umap.layouts
    import umap.utils
    from numba.core.registry import CPUDispatcher

    for module in (umap.umap_, umap.layouts, umap.distances, umap.utils):
        for function in vars(module).values():
            if isinstance(function, CPUDispatcher):
                with suppress(RuntimeError):  # numba: no folder for the cache
                    function.enable_caching()


def joint(embed: Callable[[Tensor], np.ndarray], clean: Tensor,
          noisy: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Embed clean and noisy features (N x D, M x D) in one map and take them apart again."""
    points = embed(torch.cat([clean, noisy]))
    return points[:len(clean)], points[len(clean):]


def trustworthiness(features: Tensor, points: np.ndarray, k: int = 10) -> float:
    """Whether the k neighbours on the map (N x 2) are neighbours in the features (N x D), 0 to 1
    (Venna & Kaski 2001). Fewer count where there are not twice as many points."""
    if len(points) < 3:
        return 1.0  # the only neighbour there is stays it
    k = max(1, min(k, len(points) // 2 - 1))
    return float(sklearn_trustworthiness(features.numpy(), points, n_neighbors=k))


def knn_agreement(points: np.ndarray | Tensor, labels: Tensor, k: int = 10) -> float:
    """Share of the k nearest neighbours of features or points of a map, N x D, that have a point's
    own class, 0 to 1."""
    points, labels = np.asarray(points), labels.numpy()
    if len(points) < 2:
        return 0.0  # there is no neighbour
    search = NearestNeighbors(n_neighbors=min(k, len(points) - 1)).fit(points)
    index = search.kneighbors(return_distance=False)  # N x k, a point is not its own neighbour
    return float((labels[index] == labels[:, None]).mean())
