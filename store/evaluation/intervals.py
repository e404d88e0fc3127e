"""Bootstrap intervals: percentiles of what samples with replacement give, with a seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 1000
LEVEL = 95  # per cent of the draws that an interval holds


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % bootstrap interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, drawn: npt.NDArray[np.float64]) -> "Estimate":
        """Return a number with the percentiles of the draws (B,); draws that are NaN are left out."""
        if np.isnan(value):
            return cls(None)
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) == 0:
            return cls(float(value))
        low, high = np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
        return cls(float(value), float(low), float(high))

    def as_dict(self) -> dict[str, float | None]:
        """Return it for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def draw_items(count: int, seed: int, draws: int = DRAWS) -> Iterator[npt.NDArray[np.int64]]:
    """Yield for each draw how often it has each of `count` items, (count,) int64; the same for the same seed."""
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.bincount(random.integers(count, size=count), minlength=count)


def draw_shares(right: Sequence[int], asked: Sequence[int], seed: int, draws: int = DRAWS) -> npt.NDArray[np.float64]:
    """Return the share of right answers in each draw, (B,): categories are drawn, then questions within each.

    A sample of n questions, of which the share p is right, has a binomial number of right ones: no question needs to
    be drawn for it.

    Args:
        right: for each category, how many of its questions are answered right.
        asked: for each category, how many there are.
        seed: the random seed.
        draws: how many draws, B.
    """
    totals = np.asarray(asked, dtype=np.int64)
    shares = np.asarray(right) / totals
    random = np.random.default_rng(seed)
    chosen = random.integers(len(totals), size=(draws, len(totals)))
    found: npt.NDArray[np.float64] = random.binomial(totals[chosen], shares[chosen]).sum(axis=1)
    return np.asarray(found / totals[chosen].sum(axis=1))
