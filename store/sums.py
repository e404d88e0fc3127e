"""Means from sums in fixed point; see `kotovec.fixed`."""

import numpy as np
import numpy.typing as npt

from kotovec.fixed import ENERGY_SCALE, SCALE

Numbers = npt.NDArray[np.int64]


def mean(sums: Numbers, counts: Numbers) -> npt.NDArray[np.float32]:
    """Return the means, (m, D) float32, of (m, D) sums of (m,) vectors; zeros where there is no vector."""
    return (sums / (np.maximum(counts, 1)[:, np.newaxis] * SCALE)).astype(np.float32)


def mean_energy(sums: Numbers, counts: Numbers) -> npt.NDArray[np.float64]:
    """Return the mean squared norms, (m,) float64, of (m,) sums of (m,) vectors; zeros where there is no vector."""
    return sums / (np.maximum(counts, 1) * ENERGY_SCALE)
