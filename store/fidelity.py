"""How well a map preserves neighbourhoods: recall of the nearest, and trustworthiness (Venna and Kaski, 2001)."""

import numpy as np

from kotovec.store.library import import_faiss
from kotovec.store.maps import Coordinates
from kotovec.store.nearest import Rows
from kotovec.store.projection import Vectors

NEAREST = 10  # of each token, at most
SAMPLED = 2000  # tokens that trustworthiness is measured on: each needs the rank of all others
BLOCK = 256


def measured_on(count: int) -> int:
    """Return how many nearest tokens of each both measures take, of so many tokens: less than half of them.

    With half of them or more, trustworthiness leaves 0 to 1, and with all of them recall is 1 on every map.
    """
    return min(NEAREST, (count - 1) // 2)


def recall(true: Rows, drawn: Rows) -> float:
    """Return the mean share of true neighbours that are also neighbours on the map; both are (n, k) rows."""
    return float(
        np.mean([len(np.intersect1d(near, shown)) / len(near) for near, shown in zip(true, drawn, strict=True)])
    )


def nearest_on_map(coordinates: Coordinates, count: int) -> Rows:
    """Return the nearest points of each point, without the point itself: (n, count)."""
    _, rows = import_faiss().knn(coordinates, coordinates, count + 1)
    own = np.arange(len(rows))[:, np.newaxis]
    order = np.argsort(rows == own, axis=1, kind="stable")  # the point itself last
    return np.take_along_axis(rows, order, axis=1)[:, :count]


def trustworthiness(vectors: Vectors, drawn: Rows, seed: int, sampled: int = SAMPLED) -> tuple[float, int]:
    """Return how far points that are near on the map are near in the space, and how many tokens this was measured on.

    The measure is scikit-learn's `trustworthiness(metric="cosine")`, over a random sample if there are more points.

    Args:
        vectors: (n, D) vectors of length 1.
        drawn: (n, k) nearest points on the map, k < n / 2.
        seed: the random seed of the sample.
        sampled: the most points in the sample.
    """
    count, near = drawn.shape
    points = np.arange(count)
    if count > sampled:
        points = np.sort(np.random.default_rng(seed).choice(count, sampled, replace=False))
    penalty = 0.0
    for start in range(0, len(points), BLOCK):
        part = points[start : start + BLOCK]
        scores = vectors[part] @ vectors.T
        scores[np.arange(len(part)), part] = np.inf  # the point itself has rank 0
        own = np.take_along_axis(scores, drawn[part], axis=1)
        ranks = (scores[:, np.newaxis, :] > own[:, :, np.newaxis]).sum(axis=2)
        penalty += float(np.maximum(0, ranks - near).sum())
    largest = near * (2 * count - 3 * near - 1) / 2
    return 1.0 - penalty / (len(points) * largest), len(points)
