"""k-means of very many tiny sets of points at once, from several starts each, with draws that are given.

The sets of one size go through Lloyd's iterations together, in float64, as Gram matrices: distances then cost n² of a
set of n points, and not n times their dimensions. faiss' and scikit-learn's take one set at a time, with random numbers
of their own.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_ROUNDS = 300  # of Lloyd's iterations; the 30 sentences of 120 words settled after 1 to 9
# Of each set, the one with the smallest inertia is kept. Of 700 sets of 5 planted groups of 6 points, no farther from
# each other than their points are, 8 by k-means++ divide 688 as planted; 7 and one by farthest points, all.
STARTS = 8
# Of the longest squared distance from a set's mean: what is closer to each other than that is equal, so that the last
# bits of a matrix product, which differ between processors, decide nothing.
TIE = 1e-9
TOGETHER_BYTES = 64 << 20  # of the arrays of the sets that are taken together

Numbers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.uint8]


def partition(points: npt.NDArray[np.floating[Any]], offsets: Numbers, most: int, draws: Doubles) -> Labels:
    """Divide each of m sets of points among at most `most` centres, each the mean of the points nearest to it.

    Equal points count as often as they stand there, and are always together: a set has no more centres than distinct
    points, and where it has no more points than centres, each is a centre of its own.

    Args:
        points: (e, D) finite points, one set after the other.
        offsets: (m + 1,) int64, where each set begins.
        most: most centres of a set, from 1 to 255.
        draws: (m, `STARTS`, most) float64 from 0 to 1, exclusive: what the starts of each set are drawn with.

    Returns:
        The number of each point's centre within its set, (e,): the one with most points is 0, and of those with
        equally many the one that has the first point.
    """
    labels = np.zeros(len(points), dtype=np.uint8)
    sizes: dict[int, list[int]] = {}
    firsts: list[Numbers] = []
    owners: list[Numbers] = []
    for index, (start, stop) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
        first, owner = _distinct(points[start:stop])
        firsts.append(first + start)
        owners.append(owner)
        if len(first) > most > 1:
            sizes.setdefault(len(first), []).append(index)
        elif most > 1:
            labels[start:stop] = _in_order(owner)
    for count, sets in sorted(sizes.items()):
        for some in _parts(sets, count, points.shape[1], most):
            found = np.stack([points[firsts[index]] for index in some]).astype(np.float64)
            weights = np.stack([np.bincount(owners[index], minlength=count) for index in some]).astype(np.float64)
            divided = _divide(found, weights, most, draws[some])
            for index, each in zip(some, divided, strict=True):
                labels[offsets[index] : offsets[index + 1]] = _in_order(each[owners[index]])
    return labels


def _distinct(points: npt.NDArray[np.floating[Any]]) -> tuple[Numbers, Numbers]:
    """Return where each distinct point stands first, and which of them each point is."""
    seen: dict[bytes, int] = {}
    points = points + points.dtype.type(0)  # −0 becomes 0, which it equals
    owners = np.array([seen.setdefault(point.tobytes(), len(seen)) for point in points], dtype=np.int64)
    firsts = np.empty(len(seen), dtype=np.int64)
    firsts[owners[::-1]] = np.arange(len(points))[::-1]
    return firsts, owners


def _in_order(labels: npt.NDArray[np.integer[Any]]) -> Labels:
    """Return labels (n,) whose order is that of their sizes, and of their first points where these are equal."""
    if not len(labels):
        return np.empty(0, dtype=np.uint8)
    values, first, numbers, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(values), dtype=np.uint8)
    ranks[np.lexsort((first, -counts))] = np.arange(len(values))
    return np.asarray(ranks[numbers])


def _parts(sets: list[int], count: int, width: int, most: int) -> Iterator[list[int]]:
    """Cut the sets of `count` distinct points each into parts that fit in memory together."""
    together = max(1, TOGETHER_BYTES // (8 * count * max(count, width, STARTS * most)))
    return (sets[start : start + together] for start in range(0, len(sets), together))


def _divide(points: Doubles, weights: Doubles, most: int, draws: Doubles) -> Numbers:
    """Return the labels, (m, n), of sets of n distinct points, (m, n, D), with weights (m, n)."""
    total = weights.sum(axis=1)
    points = points - (points * weights[..., np.newaxis]).sum(axis=1, keepdims=True) / total[:, np.newaxis, np.newaxis]
    gram = points @ points.transpose(0, 2, 1)
    lengths = np.einsum("mii->mi", gram).copy()
    ties = TIE * lengths.max(axis=1)
    squares = np.maximum(lengths[:, :, np.newaxis] + lengths[:, np.newaxis] - 2 * gram, 0.0)
    labels = _begin(squares, weights, draws, ties)
    inertia = np.empty(labels.shape[:2])
    active = np.arange(len(points))
    for _ in range(MOST_ROUNDS):
        distances = _distances(gram[active], lengths[active], weights[active], labels[active], most)
        nearest = _nearest(distances, ties[active])
        _fill(nearest, distances, most)
        own = np.take_along_axis(distances, nearest[..., np.newaxis], axis=-1)[..., 0]
        inertia[active] = (own * weights[active, np.newaxis]).sum(axis=-1)
        moved = (nearest != labels[active]).any(axis=(1, 2))
        labels[active] = nearest
        active = active[moved]
        if not len(active):
            break
    best = (inertia <= inertia.min(axis=1, keepdims=True) + ties[:, np.newaxis]).argmax(axis=1)
    return np.asarray(labels[np.arange(len(labels)), best])


def _begin(squares: Doubles, weights: Doubles, draws: Doubles, ties: Doubles) -> Numbers:
    """Return the labels (m, R, n) of R starts.

    The first point of each is drawn. In the first start, each next centre is the point farthest from all before; in
    the others it is drawn by its squared distance from the nearest of them, as in k-means++ (Arthur and Vassilvitskii,
    2007).

    Args:
        squares: (m, n, n) squared distances.
        weights: (m, n).
        draws: (m, R, k), one for each centre.
        ties: (m,), below which a distance is zero.
    """
    sets, starts, most = draws.shape
    rows = np.arange(sets)[:, np.newaxis]
    chances = np.broadcast_to(weights[:, np.newaxis], (sets, starts, weights.shape[1]))
    seeds = np.empty((sets, starts, most), dtype=np.int64)
    nearest = np.full(chances.shape, np.inf)
    for centre in range(most):
        sums = np.cumsum(chances, axis=-1)
        drawn = draws[:, :, centre] * sums[:, :, -1]
        seeds[:, :, centre] = np.minimum((sums <= drawn[..., np.newaxis]).sum(axis=-1), chances.shape[-1] - 1)
        if centre:
            seeds[:, 0, centre] = nearest[:, 0].argmax(axis=-1)
        nearest = np.minimum(nearest, squares[rows, seeds[:, :, centre]])
        chances = weights[:, np.newaxis] * np.where(nearest > ties[:, np.newaxis, np.newaxis], nearest, 0.0)
    return _nearest(squares[rows[..., np.newaxis], seeds].transpose(0, 1, 3, 2), ties)


def _distances(gram: Doubles, lengths: Doubles, weights: Doubles, labels: Numbers, most: int) -> Doubles:
    """Return the squared distances (m, R, n, k) of all points from the means of those with each label; inf of none."""
    sets, starts, count = labels.shape
    members = (labels[..., np.newaxis] == np.arange(most)) * weights[:, np.newaxis, :, np.newaxis]
    totals = members.sum(axis=2)
    among = members.transpose(0, 2, 1, 3).reshape(sets, count, starts * most)
    products = (gram @ among).reshape(sets, count, starts, most).transpose(0, 2, 1, 3)
    products = products / np.where(totals > 0, totals, 1.0)[:, :, np.newaxis]
    within = (members * products).sum(axis=2) / np.where(totals > 0, totals, 1.0)
    found = lengths[:, np.newaxis, :, np.newaxis] - 2 * products + within[:, :, np.newaxis]
    return np.where(totals[:, :, np.newaxis] > 0, np.maximum(found, 0.0), np.inf)


def _nearest(distances: Doubles, ties: Doubles) -> Numbers:
    """Return the first of the nearest centres of each point, (m, R, n)."""
    best = distances.min(axis=-1, keepdims=True)
    return np.asarray((distances <= best + ties[:, np.newaxis, np.newaxis, np.newaxis]).argmax(axis=-1))


def _fill(labels: Numbers, distances: Doubles, most: int) -> None:
    """Give each centre that has lost all of its points the one that is farthest from its own, in place."""
    counts = (labels[..., np.newaxis] == np.arange(most)).sum(axis=2)
    for set_, start, centre in np.argwhere(counts == 0).tolist():
        mine = labels[set_, start]
        own = distances[set_, start, np.arange(len(mine)), mine]
        shared = np.bincount(mine, minlength=most)[mine] > 1
        mine[np.where(shared, own, -1.0).argmax()] = centre
