"""Sums of hidden states by row, in fixed point: what a replica returns where many positions make one vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import NonFiniteError
from kotovec.fixed import ENERGY_LARGEST, ENERGY_SCALE, LARGEST, SCALE

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of the vectors of some rows, one array a layer.

    Attributes:
        rows: (m,) int64 numbers of rows, ascending, each once.
        counts: (m,) int64 numbers of vectors in the sums.
        sums: (m, D) int64 sums of the rows' vectors each, in units of 2^-30.
        energies: (m,) int64 sums of the vectors' squared norms each, in units of 2^-20.
    """

    rows: Numbers
    counts: Numbers
    sums: tuple[Numbers, ...]
    energies: tuple[Numbers, ...]


def add_up(rows: Numbers, layers: Sequence[npt.NDArray[np.floating[Any]]]) -> Sums:
    """Return the sums of (k, D) vectors of each layer, k at least 1, by the (k,) rows that they belong to.

    Raises:
        NonFiniteError: a vector contains NaN, Inf, or a number of 262,144 or more, or its norm is 16,384 or more.
    """
    order = np.argsort(rows, kind="stable")
    numbers, starts, counts = np.unique(rows[order], return_index=True, return_counts=True)
    sums, energies = [], []
    for vectors in layers:
        exact = vectors[order].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # found below
            squares = np.einsum("ij,ij->i", exact, exact)
        if not (np.abs(exact).max() < LARGEST and squares.max() < ENERGY_LARGEST):
            raise NonFiniteError(
                f"a hidden state is NaN, Inf, or beyond {LARGEST:,.0f} (its norm beyond {ENERGY_LARGEST**0.5:,.0f}): "
                "no mean can be computed"
            )
        sums.append(np.add.reduceat(_whole(exact, SCALE), starts, axis=0))
        energies.append(np.add.reduceat(_whole(squares, ENERGY_SCALE), starts))
    return Sums(numbers, counts, tuple(sums), tuple(energies))


def _whole(numbers: npt.NDArray[np.float64], scale: float) -> Numbers:
    numbers *= scale
    return np.rint(numbers, out=numbers).astype(np.int64)
