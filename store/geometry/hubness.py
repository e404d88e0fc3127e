"""Hubs: rows that are among the nearest of far more rows than others are, and rows that are among those of none."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.store.nearest import Rows

HUB = 2  # times k: a row with at least so many occurrences is a hub, as scikit-hubness defines it
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Hubness:
    """How unevenly n rows occur among the k nearest of each other.

    Attributes:
        rows: n.
        skewness: of the numbers of occurrences (Radovanović et al. 2010): 0 where they are even, above 1 with hubs.
        largest: the row that occurs most often; None where there is none.
        occurrences: how often it does.
        hubs: the share of rows that occur at least 2k times, where the mean is k.
        antihubs: the share of rows that never occur.
    """

    rows: int
    skewness: float | None
    largest: int | None
    occurrences: int
    hubs: float | None
    antihubs: float | None


def count_occurrences(neighbours: Rows, total: int) -> npt.NDArray[np.int64]:
    """Return how often each of V rows is a neighbour, (V,), from the neighbours (n, k) of n rows, −1 where none is."""
    return np.bincount(neighbours[neighbours >= 0], minlength=total)


def measure(occurrences: npt.NDArray[np.int64], k: int, eligible: Mask) -> Hubness:
    """Measure the hubness of some rows.

    Args:
        occurrences: (V,) how often each row is among the k nearest of another one.
        k: how many nearest rows of each were counted.
        eligible: (V,) bool, the rows that are measured; all of them may be neighbours.
    """
    counts = occurrences[eligible]
    if len(counts) == 0:
        return Hubness(0, None, None, 0, None, None)
    centred = counts - counts.mean()
    spread = float(np.sqrt((centred**2).mean()))
    rows = np.flatnonzero(eligible)
    most = int(counts.argmax())
    return Hubness(
        rows=len(counts),
        skewness=float((centred**3).mean()) / spread**3 if spread else None,
        largest=int(rows[most]),
        occurrences=int(counts[most]),
        hubs=float((counts >= HUB * k).mean()),
        antihubs=float((counts == 0).mean()),
    )
