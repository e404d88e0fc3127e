"""Bootstrap intervals: expanded percentiles of what samples with replacement give, with a seed.

The units that are drawn are independent of each other: categories; of a single category its pairs, of which two make a
question; of a data set of word pairs these. A second stage, questions within the drawn categories, would count their
chance twice: 99 of 100 intervals of differences would hold the true one (Davison and Hinkley 1997, Bootstrap Methods
and their Application, 3.8).

The plain percentiles of samples of few units are too narrow. Hesterberg (2015,
https://doi.org/10.1080/00031305.2015.1089789) expands them: the normal quantile becomes that of Student's t, for
units − 1 degrees of freedom, times √(units / (units − 1)). Of categories of different sizes, the units are their
effective number (Carter, Schnepel and Steigerwald 2017, https://doi.org/10.1162/REST_a_00639), which for a mean is
(Σ n)² / Σ n².
benchmarks/coverage.py measures what such intervals hold.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from kotovec.store.nearest import Rows

Floats = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = 95  # per cent: the intervals that hold the true value
FEWEST = 3  # units, of which there is an interval: of two, every sample has one of three means
WEIGHTS = 1 << 22  # of items in draws, that are in memory at a time: 32 MB


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % bootstrap interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, drawn: Floats, units: float) -> "Estimate":
        """Return a number with its interval, or without one where fewer than 3 units were drawn from.

        Args:
            value: the number; NaN where it is not defined.
            drawn: (B,) the number in each draw; those that are NaN are left out.
            units: from how many units the samples were drawn.
        """
        if math.isnan(value):
            return cls(None)
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) == 0 or units < FEWEST:
            return cls(float(value))
        below = tail(units)
        low, high = np.percentile(drawn, [below, 100 - below])
        return cls(float(value), float(low), float(high))

    def as_dict(self) -> dict[str, float | None]:
        """Return it for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def tail(units: float) -> float:
    """Return how many per cent of the draws lie below an interval, and how many above: 2.5 of many units."""
    normal = NormalDist()
    scale = math.sqrt(units / (units - 1))
    return 100 * normal.cdf(-scale * _student(normal.inv_cdf((100 + LEVEL) / 200), units - 1))


def _student(z: float, freedom: float) -> float:
    """Return the quantile of Student's t for a quantile of the normal distribution.

    Abramowitz and Stegun (1964), 26.7.5: from 4 degrees of freedom on, right to .002; below, `tail` is nearly 0.
    """
    terms = (
        1.0,
        (z**2 + 1) / 4,
        (5 * z**4 + 16 * z**2 + 3) / 96,
        (3 * z**6 + 19 * z**4 + 17 * z**2 - 15) / 384,
        (79 * z**8 + 776 * z**6 + 1482 * z**4 - 1920 * z**2 - 945) / 92160,
    )
    return z * sum(term / freedom**power for power, term in enumerate(terms))


def draw_items(
    count: int, seed: int, draws: int = DRAWS, *, width: int | None = None
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield for some draws at a time, (b, count) int64, how often each draw has each of `count` items.

    Args:
        count: how many items.
        seed: the random seed.
        draws: how many draws in all.
        width: how many numbers of a draw the caller has in memory; without it `count`.
    """
    random = np.random.default_rng(seed)
    together = max(1, WEIGHTS // (width or count))
    for start in range(0, draws, together):
        rows = min(together, draws - start)
        chosen = random.integers(count, size=(rows, count)) + np.arange(rows)[:, np.newaxis] * count
        yield np.bincount(chosen.ravel(), minlength=rows * count).reshape(rows, count)


def draw_categories(values: Sequence[Floats], seed: int, draws: int = DRAWS) -> Floats:
    """Return the means of all questions of the categories in each draw, (B, S).

    Args:
        values: for each category, numbers of its questions, (n, S). All columns are of the same draws.
        seed: the random seed.
        draws: how many draws, B.
    """
    sums, sizes = np.stack([each.sum(axis=0) for each in values]), np.array([len(each) for each in values])
    weights = np.concatenate(list(draw_items(len(values), seed, draws)))
    return np.asarray((weights @ sums) / (weights @ sizes)[:, np.newaxis])


def draw_pairs(values: Floats, a: Rows, b: Rows, seed: int, draws: int = DRAWS) -> Floats:
    """Return the means of the questions of a category in each draw of its pairs, (B, S).

    A question whose pairs were drawn x and y times counts x·y times. A draw without a question is NaN.

    Args:
        values: numbers of the questions, (n, S). All columns are of the same draws.
        a: (n,) which word each question begins with, as a pair is named by its first word.
        b: (n,) which word it asks for; the same as `a` where questions are of one pair.
        seed: the random seed.
        draws: how many draws, B.
    """
    words, indices = np.unique(np.concatenate([a, b]), return_inverse=True)
    of_a, of_b = np.split(indices, 2)
    found = []
    for times in draw_items(len(words), seed, draws, width=max(len(words), len(values))):
        weights = np.where(of_a == of_b, times[:, of_b], times[:, of_a] * times[:, of_b]).astype(np.float64)
        total = weights.sum(axis=1, keepdims=True)
        empty = np.full((len(times), values.shape[1]), np.nan)
        found.append(np.divide(weights @ values, total, out=empty, where=total > 0))
    return np.concatenate(found)


def units_of(sizes: Sequence[int]) -> float:
    """Return the effective number of categories of these sizes."""
    return sum(sizes) ** 2 / sum(size**2 for size in sizes)
