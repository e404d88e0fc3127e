"""Pearson's and Spearman's correlation, also of samples that have each value so many times."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CONSTANT = 1e-13  # of the mean: values that lie closer together have no correlation (scipy warns below the same)


def pearson(one_side: Floats, other: Floats, weights: Ints | None = None) -> Floats:
    """Return Pearson's correlation of values along the last axis; NaN where either is constant.

    Args:
        one_side: (n,) values, or (B, n) of B samples.
        other: likewise.
        weights: (B, n) how often each pair of values is in each of B samples; without them it is there a single time.

    Returns:
        (B,), or () of a single sample.
    """
    counts = np.ones(one_side.shape[-1]) if weights is None else weights.astype(np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred, lengths = [], []
        for values in (one_side, other):
            mean = (counts * values).sum(axis=-1, keepdims=True) / total
            each = values - mean
            length = np.sqrt((counts * each * each).sum(axis=-1))
            constant = length <= CONSTANT * np.abs(mean[..., 0]) * np.sqrt(total[..., 0])
            centred.append(each)
            lengths.append(np.where(constant, np.nan, length))
        found = (counts * centred[0] * centred[1]).sum(axis=-1) / lengths[0] / lengths[1]
    return np.asarray(np.clip(found, -1.0, 1.0))


def spearman(one_side: Floats, other: Floats) -> float:
    """Return Spearman's correlation of two arrays (n,); equal values share their mean rank. NaN as in `pearson`."""
    return float(pearson(Ranked(one_side).ranks(), Ranked(other).ranks()))


class Ranked:
    """Values whose ranks are asked for in many samples of them: sorted at the beginning.

    Args:
        values: (n,).
    """

    def __init__(self, values: Floats) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        is_first = np.concatenate([np.ones(min(1, len(ordered)), dtype=np.bool_), ordered[1:] != ordered[:-1]])
        self._starts = np.flatnonzero(is_first)
        self._classes = np.empty(len(values), dtype=np.int64)
        self._classes[self._order] = np.cumsum(is_first) - 1

    def ranks(self, weights: Ints | None = None) -> Floats:
        """Return the ranks of the values from 1, equal ones at their mean rank.

        Args:
            weights: (B, n) how often each value is in each sample; without them it is there a single time.

        Returns:
            (B, n), or (n,) without weights.
        """
        counts = np.ones(len(self._order), dtype=np.int64) if weights is None else weights
        sizes = np.add.reduceat(counts[..., self._order], self._starts, axis=-1)
        ranks = np.cumsum(sizes, axis=-1) - (sizes - 1) / 2
        return np.asarray(ranks[..., self._classes])
