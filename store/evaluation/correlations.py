"""Pearson's and Spearman's correlation, also of weighted values."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CONSTANT = 1e-13  # of the mean: values that lie closer together have no correlation (scipy warns below the same)


def pearson(one_side: Floats, other: Floats, weights: Ints | None = None) -> float:
    """Return Pearson's correlation of two arrays (n,); NaN where either is constant.

    Args:
        one_side: (n,) values.
        other: (n,) values.
        weights: (n,) how often each pair of values counts; once each without them.
    """
    counts = np.ones(len(one_side)) if weights is None else weights.astype(np.float64)
    total = counts.sum()
    if total == 0:
        return float("nan")
    centred, lengths = [], []
    for values in (one_side, other):
        mean = float(counts @ values) / total
        each = values - mean
        length = float(np.sqrt(counts @ (each * each)))
        if length <= CONSTANT * abs(mean) * np.sqrt(total):
            return float("nan")
        centred.append(each)
        lengths.append(length)
    found = float(counts @ (centred[0] * centred[1])) / lengths[0] / lengths[1]
    return min(1.0, max(-1.0, found))


def spearman(one_side: Floats, other: Floats) -> float:
    """Return Spearman's correlation of two arrays (n,); equal values share their mean rank. NaN as in `pearson`."""
    return pearson(Ranked(one_side).ranks(), Ranked(other).ranks())


class Ranked:
    """Values whose ranks are asked for often, in samples of them: sorted once."""

    def __init__(self, values: Floats) -> None:
        self._classes: Ints
        distinct, self._classes = np.unique(values, return_inverse=True)
        self._count = len(distinct)

    def ranks(self, weights: Ints | None = None) -> Floats:
        """Return the ranks of the values from 1, (n,), equal ones at their mean rank.

        Args:
            weights: (n,) how often each value is in the sample; once each without them.
        """
        sizes = np.bincount(self._classes, weights=weights, minlength=self._count)
        ranks: Floats = np.cumsum(sizes) - (sizes - 1) / 2
        return ranks[self._classes]
