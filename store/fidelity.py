"""What a map keeps of the neighbourhoods: recall of the true nearest, and trustworthiness (Venna and Kaski, 2001)."""

import numpy as np

from kotovec.store.library import import_faiss
from kotovec.store.maps import Coordinates
from kotovec.store.nearest import Rows
from kotovec.store.projection import Vectors

NEAREST = 10
SAMPLED = 2000  # tokens of which trustworthiness is taken: each needs the rank of all others
BLOCK = 256


def recall(true: Rows, drawn: Rows) -> float:
    """Return the share of true neighbours that are neighbours on the map: of (n, k) rows each, the mean."""
    return float(np.mean([len(np.intersect1d(one, other)) / len(one) for one, other in zip(true, drawn, strict=True)]))


def nearest_on_map(coordinates: Coordinates, count: int) -> Rows:
    """Return the nearest points of each point, without itself: (n, count)."""
    _, rows = import_faiss().knn(coordinates, coordinates, count + 1)
    own = np.arange(len(rows))[:, np.newaxis]
    order = np.argsort(rows == own, axis=1, kind="stable")  # itself last
    return np.take_along_axis(rows, order, axis=1)[:, :count]


def trustworthiness(vectors: Vectors, drawn: Rows, seed: int, sampled: int = SAMPLED) -> tuple[float, int]:
    """Return how far what is near on the map is near in the space, and of how many tokens that was taken.

    As scikit-learn's `trustworthiness(metric="cosine")`, over a seeded sample of the points where there are more.

    Args:
        vectors: (n, D) of length 1.
        drawn: (n, k) nearest on the map.
        seed: of the sample.
        sampled: points at most.
    """
    count, near = drawn.shape
    points = np.arange(count)
    if count > sampled:
        points = np.sort(np.random.default_rng(seed).choice(count, sampled, replace=False))
    penalty = 0.0
    for start in range(0, len(points), BLOCK):
        part = points[start : start + BLOCK]
        scores = vectors[part] @ vectors.T
        scores[np.arange(len(part)), part] = np.inf  # itself has rank 0
        own = np.take_along_axis(scores, drawn[part], axis=1)
        ranks = (scores[:, np.newaxis, :] > own[:, :, np.newaxis]).sum(axis=2)
        penalty += float(np.maximum(0, ranks - near).sum())
    largest = near * (2 * count - 3 * near - 1) / 2
    return 1.0 - penalty / (len(points) * largest), len(points)
