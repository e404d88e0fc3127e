"""Sums of vectors by row in numpy: the reference for `workers/totals.py` on any device."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import NonFiniteError
from kotovec.sums import LARGEST, SCALE, Numbers, squared_norms


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of the vectors of some rows.

    Attributes:
        rows: (m,) int64 numbers of rows, ascending, each once.
        sums: (m, D) int64 sums of the rows' vectors, in units of 2^-30.
        counts: (m,) int64 numbers of vectors in the sums.
        energies: (m, 2) int64 sums of the vectors' squared norms: whole parts, and fractions in units of 2^-30. The
            squared norm of a vector may take 2^36, which leaves a single int64 no room for fractions.
    """

    rows: Numbers
    sums: Numbers
    counts: Numbers
    energies: Numbers


def add_up(rows: Numbers, vectors: npt.NDArray[np.floating[Any]]) -> Sums:
    """Return the sums of (k, D) vectors, k at least 1, by the (k,) rows that they belong to.

    Raises:
        NonFiniteError: a vector contains NaN, Inf, or a number of 262,144 or more.
    """
    if not np.abs(vectors).max() < LARGEST:
        raise NonFiniteError(f"a hidden state is NaN, Inf, or beyond {LARGEST:,.0f}: no mean can be computed")
    order = np.argsort(rows, kind="stable")
    numbers, starts, counts = np.unique(rows[order], return_index=True, return_counts=True)
    doubles = vectors[order].astype(np.float64)
    squares = squared_norms(doubles)
    energies = np.stack([np.floor(squares), np.rint(squares % 1 * SCALE)], axis=1).astype(np.int64)
    whole = np.rint(doubles * SCALE).astype(np.int64)
    return Sums(numbers, np.add.reduceat(whole, starts, axis=0), counts, np.add.reduceat(energies, starts, axis=0))
