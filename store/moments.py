"""Mean, distances and the first principal component of a matrix, in float64 and block by block."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]
MOST_BYTES = 32 << 20  # of a block in float64: 10,922 rows of 384 dimensions; larger ones are no faster


def blocks(vectors: Floats) -> Iterator[slice]:
    """Yield slices of (V, D) vectors of at least one row, which take at most 32 MB in float64 if they have several."""
    step = max(1, MOST_BYTES // max(1, 8 * vectors.shape[1]))
    return (slice(start, start + step) for start in range(0, len(vectors), step))


def mean(*matrices: Floats) -> Doubles:
    """Return the mean of the rows of one or several matrices (V, D), (D,)."""
    total = np.zeros(matrices[0].shape[1])
    for vectors in matrices:
        for block in blocks(vectors):
            total += vectors[block].astype(np.float64).sum(axis=0)
    return total / max(1, sum(map(len, matrices)))


def chosen_blocks(vectors: Floats, chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[slice, Doubles]]:
    """Yield where each block of (V, D) vectors lies, and its chosen rows, (V,) bool, in float64; none without any."""
    for block in blocks(vectors):
        if chosen[block].any():
            yield block, vectors[block][chosen[block]].astype(np.float64)


def mean_of(vectors: Floats, chosen: npt.NDArray[np.bool_]) -> Doubles:
    """Return the mean of the chosen rows, (V,) bool, of (V, D) vectors, (D,)."""
    total = np.zeros(vectors.shape[1])
    for _, part in chosen_blocks(vectors, chosen):
        total += part.sum(axis=0)
    return total / max(1, int(chosen.sum()))


def scatter_of(vectors: Floats, chosen: npt.NDArray[np.bool_], centre: Doubles) -> Doubles:
    """Return the sum of the outer products of the chosen rows, (V,) bool, of (V, D) vectors around a point, (D, D)."""
    found = np.zeros((len(centre), len(centre)))
    for _, part in chosen_blocks(vectors, chosen):
        centred = part - centre
        found += centred.T @ centred
    return found


def without_rounding(variances: Doubles) -> Doubles:
    """Return ascending eigenvalues of a covariance (D,), with zeros for those that are rounding errors."""
    return np.where(variances < len(variances) * np.finfo(np.float64).eps * variances[-1], 0.0, variances)


def distances(vectors: Floats, centre: Doubles) -> Doubles:
    """Return the L2 distances of (V, D) vectors from a point, (V,)."""
    found = np.empty(len(vectors))
    for block in blocks(vectors):
        found[block] = np.linalg.norm(vectors[block].astype(np.float64) - centre, axis=1)
    return found


def first_component(centre: Doubles, *matrices: Floats) -> Doubles:
    """Return the first principal component of the rows of matrices (V, D), (D,), of length 1.

    It is that of their covariance around their mean, which takes D² numbers: 134 MB for 4,096 dimensions.

    Raises:
        InputError: a number is not finite.
    """
    covariance = np.zeros((len(centre), len(centre)))
    for vectors in matrices:
        for block in blocks(vectors):
            centred = vectors[block].astype(np.float64) - centre
            covariance += centred.T @ centred
    if not np.isfinite(covariance).all():
        raise InputError("the vectors hold a number that is not finite")
    return np.ascontiguousarray(np.linalg.eigh(covariance)[1][:, -1])


def cosine_distances(vectors: Floats, target: Doubles, component: Doubles | None = None) -> Doubles:
    """Return 1 − the cosines of (V, D) vectors with a target (D,), (V,); 1 where a vector is zero.

    Args:
        vectors: (V, D) vectors.
        target: (D,) the target.
        component: (D,) a direction of length 1 that is removed from vectors and target first.
    """
    found = np.empty(len(vectors))
    aim = target if component is None else target - (target @ component) * component
    for block in blocks(vectors):
        part = vectors[block].astype(np.float64)
        if component is not None:
            part -= np.outer(part @ component, component)
        found[block] = cosine_distance(part, aim)
    return found


def cosine_distance(left: Doubles, right: Doubles) -> Doubles:
    """Return 1 − the cosine of each row of (n, D) with a vector (D,) or with the same row of (n, D), (n,)."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=-1)
    products = (left * right).sum(axis=1)
    cosines = np.divide(products, lengths, out=np.zeros(len(left)), where=lengths > 0)
    return np.asarray(1.0 - np.clip(cosines, -1.0, 1.0))
