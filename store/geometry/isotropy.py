"""How vectors fill their space: how narrow their cone is, in how many directions they lie, what dominates cosines.

All numbers are of float64 sums over all vectors of a space that are not zero; nothing is sampled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.store.moments import Doubles, Floats, chosen_blocks, mean_of, scatter_of, without_rounding

DOMINANT = 3  # dimensions that are named, as by Timkey and van Schijndel
PAIR = 2  # vectors


@dataclass(frozen=True)
class Dimension:
    """A dimension, and what it adds to the mean cosine: the part of `share`, which is None where that mean is 0."""

    number: int
    contribution: float
    share: float | None


@dataclass(frozen=True)
class Isotropy:
    """How n vectors of D dimensions fill their space; None where a number is not defined.

    Attributes:
        vectors: n, how many vectors are not zero.
        mean_cosine: the mean cosine of all pairs of two vectors (Ethayarajh 2019, over all pairs, not a sample).
        dimensions: the three that add most to it (Timkey and van Schijndel 2021), in either direction.
        isoscore: 1 where all directions have the same variance, 0 where one has all of it (Rudman et al. 2022).
        partition: the smallest over the largest Σ exp(c·v) among unit vectors c that are eigenvectors of VᵀV, in both
            of their directions (Mu and Viswanath 2018): 1 is isotropic.
        effective_rank: exp of the entropy of the singular values of the vectors around their mean (Roy and Vetterli
            2007): in how many dimensions they lie, from 1 to D.
        top_share: the part of the variance along the first principal component.
        mean_share: the part of the mean squared norm that is the squared norm of the mean: the common direction.
    """

    vectors: int
    mean_cosine: float | None = None
    dimensions: tuple[Dimension, ...] = ()
    isoscore: float | None = None
    partition: float | None = None
    effective_rank: float | None = None
    top_share: float | None = None
    mean_share: float | None = None


def measure(vectors: Floats, norms: Doubles, keep: npt.NDArray[np.bool_] | None = None) -> Isotropy:
    """Measure a space, or some of its rows.

    Args:
        vectors: (V, D) vectors.
        norms: (V,) their L2 norms.
        keep: (V,) bool, the rows that are measured; None for all. Vectors of zeros never are.
    """
    chosen = norms > 0 if keep is None else keep & (norms > 0)
    count = int(chosen.sum())
    if count < PAIR:
        return Isotropy(count)
    mean_cosine, dimensions = _cosines(vectors, norms, chosen, count)
    mean = mean_of(vectors, chosen)
    scatter = scatter_of(vectors, chosen, mean)
    variances = without_rounding(np.asarray(np.linalg.eigvalsh(scatter), dtype=np.float64))
    squares = float((norms[chosen] ** 2).sum())
    return Isotropy(
        vectors=count,
        mean_cosine=mean_cosine,
        dimensions=dimensions,
        isoscore=isoscore(variances),
        partition=_partition(vectors, chosen, scatter + count * np.outer(mean, mean)),
        effective_rank=effective_rank(variances),
        top_share=float(variances.max() / variances.sum()) if variances.any() else None,
        mean_share=count * float(mean @ mean) / squares,
    )


def isoscore(variances: Doubles) -> float | None:
    """Return the IsoScore of D variances along principal components, (D,).

    The steps of Rudman et al. (2022) come to ((Σλ)² / Σλ² − 1) / (D − 1).
    """
    if len(variances) < PAIR or not variances.any():
        return None
    scaled = variances / variances.max()
    return (float(scaled.sum()) ** 2 / float((scaled**2).sum()) - 1) / (len(variances) - 1)


def effective_rank(variances: Doubles) -> float | None:
    """Return the effective rank of vectors with these variances along principal components, (D,)."""
    if not variances.any():
        return None
    shares = np.sqrt(variances[variances > 0])
    shares /= shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _cosines(
    vectors: Floats, norms: Doubles, chosen: npt.NDArray[np.bool_], count: int
) -> tuple[float, tuple[Dimension, ...]]:
    """Return the mean cosine of all pairs, by sums of unit vectors, and the dimensions that dominate it."""
    sums, squares = np.zeros((2, vectors.shape[1]))
    for block, part in chosen_blocks(vectors, chosen):
        units = part / norms[block][chosen[block], np.newaxis]
        sums += units.sum(axis=0)
        squares += (units**2).sum(axis=0)
    contributions = (sums**2 - squares) / (count * (count - 1))
    mean = float(contributions.sum())
    order = np.argsort(-np.abs(contributions), kind="stable")[:DOMINANT]
    found = ((int(number), float(contributions[number])) for number in order)
    return mean, tuple(Dimension(number, each, each / mean if mean else None) for number, each in found)


def _partition(vectors: Floats, chosen: npt.NDArray[np.bool_], products: Any) -> float:
    """Return the smallest over the largest partition function, both as logarithms until the end."""
    axes = np.linalg.eigh(products)[1]
    totals = np.full(2 * len(axes), -np.inf)
    for _, block in chosen_blocks(vectors, chosen):
        along = block @ axes
        for values, total in ((along, totals[: len(axes)]), (-along, totals[len(axes) :])):
            top = values.max(axis=0)
            np.logaddexp(total, top + np.log(np.exp(values - top).sum(axis=0)), out=total)
    return float(np.exp(totals.min() - totals.max()))
