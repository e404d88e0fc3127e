"""Sums of vectors that commute exactly: any split of the vectors and any order of the parts give the same bits.

Each number is rounded to a multiple of 2^-30 before it is added, and is then a whole number in int64, whose sums are
never rounded. float32 is no finer from 0.008 on, and a mean loses 5e-10 at most.

Squared norms are added as two whole numbers, their whole parts and their fractions in units of 2^-30: one may take
2^36, which leaves a single int64 no room for fractions.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

SCALE = 2.0**30
LARGEST = 2.0**18  # limit of a number, and
MOST = 2**15  # of vectors per row, so that no sum leaves int64
Numbers = npt.NDArray[np.int64]


def squared_norms(vectors: Any) -> Any:
    """Return the squared norms, (k,), of (k, D) float64 vectors of numpy or torch: the same bits whatever k is.

    The halves of each vector are added until one number is left; the order of a library's own sum may depend on k.
    """
    parts = vectors * vectors
    while (width := parts.shape[1]) > 1:
        half = (width + 1) // 2
        parts[:, : width - half] += parts[:, half:]
        parts = parts[:, :half]
    return parts[:, 0]


def mean(sums: Numbers, counts: Numbers) -> npt.NDArray[np.float32]:
    """Return the means, (m, D) float32, of (m, D) sums of (m,) vectors; zeros where there is no vector."""
    return (sums / (np.maximum(counts, 1)[:, np.newaxis] * SCALE)).astype(np.float32)


def mean_energy(energies: Numbers, counts: Numbers) -> npt.NDArray[np.float64]:
    """Return the mean squared norms, (m,) float64, of (m,) vectors from their sums, (m, 2); 0 without any."""
    total: npt.NDArray[np.float64] = energies[:, 0] + energies[:, 1] / SCALE
    return total / np.maximum(counts, 1)
