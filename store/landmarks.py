"""What a map points at: the true neighbours of its tokens, and the way that an expression takes over it."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError
from kotovec.store.answer import Answer
from kotovec.store.database import Store
from kotovec.store.expression import Term, render
from kotovec.store.maps import Map
from kotovec.store.nearest import Metric, Rows
from kotovec.store.terms import ResolvedTerm

TOGETHER = 1000  # tokens whose neighbours are looked for at once


@dataclass(frozen=True)
class Neighbours:
    """The nearest tokens of each token on a map, of the whole vocabulary, in the space and not on the map.

    Attributes:
        rows: (n, k) int64, nearest first; −1 for a token whose vector is zero, as nothing is near to that.
        cosines: (n, k) float32.
    """

    rows: Rows
    cosines: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Stop:
    """A place on a map that has something to do with an expression.

    Attributes:
        label: what is there.
        place: (2,) coordinates.
    """

    label: str
    place: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """An expression's way over a map.

    Attributes:
        stops: the first term, and where the sum of the first two lands, of the first three, and so on: at the nearest
            token that is none of the terms so far.
        terms: those that are added and subtracted on the way.
    """

    stops: tuple[Stop, ...]
    terms: tuple[Stop, ...]


def neighbours(store: Store, made: Map, count: int) -> Neighbours:
    """Return what `kotovec query '#ID' --metric cosine --exclude-inputs --exact` gives for each token of a map."""
    ids = store.tokens.ids
    count = min(count, len(ids) - 1)
    rows = np.full((len(made.rows), count), -1, dtype=np.int64)
    cosines = np.zeros(rows.shape, dtype=np.float32)
    there = np.flatnonzero(store.norms(made.record.space)[made.rows] > 0)
    for start in range(0, len(there), TOGETHER):
        part = there[start : start + TOGETHER]
        for place, answer in zip(part, _search(store, made, _named(ids[made.rows[part]]), count), strict=True):
            rows[place] = np.searchsorted(ids, [hit.id for hit in answer.hits])
            cosines[place] = [hit.score for hit in answer.hits]
    return Neighbours(rows, cosines)


def trace(store: Store, made: Map, expression: str) -> Way:
    """Return the way of an expression over a map.

    Raises:
        ExpressionError, UnknownTokenError: as `Store.search`.
        InputError: a term is not on the map.
    """
    (whole,) = _search(store, made, [expression], 1)
    named = [Term(_sum_of(store, term), term.weight / len(term.rows), 0) for term in whole.terms]
    shown = [Term(term.text, term.weight, 0) for term in whole.terms]
    stops, others = [], []
    for count, term in enumerate(whole.terms, start=1):
        own = Stop(term.text, _place(store, made, term.rows))
        if count == 1 and term.weight > 0:
            stops.append(own)
            continue
        others.append(own)
        # A sum that is zero is nowhere, and a sample may lack where one lands.
        with contextlib.suppress(InputError):
            last = count == len(named)
            (hit,) = (whole if last else _search(store, made, [render(named[:count])], 1)[0]).hits
            row = int(np.searchsorted(store.tokens.ids, hit.id))
            stops.append(Stop(f"{render(shown[:count])} ≈ {hit.token}", _place(store, made, (row,))))
    return Way(tuple(stops), tuple(others))


def _search(store: Store, made: Map, expressions: list[str], count: int) -> list[Answer]:
    record = made.record
    return store.search(
        expressions,
        space=record.space,
        metric=Metric.COSINE,
        k=count,
        exclude_inputs=True,
        exact=True,
        device="cpu",
    )


def _named(ids: npt.NDArray[np.int64]) -> list[str]:
    return [f"#{number}" for number in ids.tolist()]


def _sum_of(store: Store, term: ResolvedTerm) -> str:
    tokens = " + ".join(_named(store.tokens.ids[list(term.rows)]))
    return f"({tokens})" if len(term.rows) > 1 else tokens


def _place(store: Store, made: Map, rows: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the coordinates of a token, or the mean of several's."""
    return np.asarray(made.coordinates[made.places(rows, store.tokens)].mean(axis=0))
