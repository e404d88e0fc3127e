"""How well each indicator of under-trained tokens separates the reference rows from other tokens, measured."""

from collections.abc import Iterator

import numpy as np

from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.moments import Doubles, cosine_distance
from kotovec.store.nearest import Rows
from kotovec.store.undertrained import Indicator, Indicators, unnamed_rows

FEWEST = 2  # reference rows: a single one has no others that it could be compared with


def separation(
    store: Store, indicators: Indicators, references: Rows, unnamed_ids: Rows, others: Rows
) -> dict[Indicator, float]:
    """Return for each indicator how often a reference row has a smaller value than another token.

    That is the area under the ROC curve: 1 where it is so always, ½ for chance. For cosines, each reference row is
    compared with the mean of the others without itself; one that was compared with itself would always look close.

    Args:
        store: the open store that the indicators are of.
        indicators: the indicators of its tokens.
        references: rows of tokens that no text trains.
        unnamed_ids: numbers of rows without a token that are references, too.
        others: (n,) rows of the other tokens.

    Returns:
        The areas; none for an indicator with fewer than two reference rows, or without other tokens.
    """
    found = {}
    for indicator, values in _of_references(store, indicators, references, unnamed_ids):
        if len(values) >= FEWEST and len(others):
            found[indicator] = area(values, indicators.of(indicator)[others])
    return found


def _of_references(
    store: Store, indicators: Indicators, references: Rows, unnamed_ids: Rows
) -> Iterator[tuple[Indicator, Doubles]]:
    """Yield the values of the reference rows for each indicator."""
    unnamed = _unnamed(store, indicators.norm_space, unnamed_ids)
    yield Indicator.NORM, np.concatenate([indicators.norm[references], np.linalg.norm(unnamed, axis=1)])
    if indicators.target is None or indicators.first is None:
        return
    vectors = store.array(indicators.cosine_space)[references].astype(np.float64)
    rows = np.concatenate([vectors, _unnamed(store, indicators.cosine_space, unnamed_ids)])
    yield Indicator.COSINE, _left_out(rows, indicators.target)
    first = indicators.first
    target = indicators.target - (indicators.target @ first) * first
    yield Indicator.COMPONENT, _left_out(rows - np.outer(rows @ first, first), target)


def _unnamed(store: Store, space: Space, wanted: Rows) -> Doubles:
    ids, vectors = unnamed_rows(store, space)
    return np.asarray(vectors[np.isin(ids, wanted)], dtype=np.float64)


def _left_out(rows: Doubles, mean: Doubles) -> Doubles:
    """Return the cosine distance of each row from the mean of the others, given the mean of all."""
    return cosine_distance(rows, mean * len(rows) - rows) if len(rows) >= FEWEST else np.empty(0)


def area(values: Doubles, others: Doubles) -> float:
    """Return the area under the ROC curve: how often a value is smaller than another one, ties counting half."""
    ordered = np.sort(others)
    smaller, equal_or_smaller = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return float(1 - (smaller + equal_or_smaller).mean() / 2 / len(others))
