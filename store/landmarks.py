"""Landmarks of a map: the path that an expression takes over it, and the points where its sums land."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError
from kotovec.store import question as questions
from kotovec.store.database import Store
from kotovec.store.maps import Map
from kotovec.store.metric import Metric
from kotovec.store.question import Question


@dataclass(frozen=True)
class Stop:
    """A point on a map that belongs to an expression.

    Attributes:
        label: the name of the point.
        position: the coordinates of the point, (2,) float32.
    """

    label: str
    position: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Way:
    """The path of an expression over a map.

    Attributes:
        stops: the first term, then the points where the sums of the first two terms, the first three and so on land:
            each at the nearest token that is none of the terms so far.
        terms: the terms that are added and subtracted on the path.
    """

    stops: tuple[Stop, ...]
    terms: tuple[Stop, ...]


def trace(store: Store, map_: Map, expression: str) -> Way:
    """Return the path of an expression over a map.

    Raises:
        ExpressionError, UnknownTokenError: as in `Store.search`.
        InputError: a term is not on the map.
    """
    space = map_.record.space
    terms = store.question(expression, space).terms
    stops, others = [], []
    for count, term in enumerate(terms, start=1):
        own = Stop(term.text, _position(store, map_, term.rows))
        if count == 1 and term.weight > 0:
            stops.append(own)
            continue
        others.append(own)
        # A zero sum lands nowhere, and a sample may lack the token at which a sum lands.
        with contextlib.suppress(InputError):
            sum_ = questions.add(terms[:count], store.array(space))  # all terms are there, as `question` knows
            row = _nearest(store, map_, sum_)
            stops.append(Stop(f"{sum_.text} ≈ {store.tokens.surfaces[row]}", _position(store, map_, (row,))))
    return Way(tuple(stops), tuple(others))


def _nearest(store: Store, map_: Map, question: Question) -> int:
    """Return the row of the token that is nearest to a question by cosine and is no form of one of its own tokens.

    Raises:
        InputError: the question is made of all tokens.
    """
    ((rows, _),) = store.nearest(
        question.vector[np.newaxis],
        space=map_.record.space,
        metric=Metric.COSINE,
        k=1,
        skip=[store.lookup.forms(question.rows)],
        exact=True,
        device="cpu",
    )
    if len(rows) == 0:
        raise InputError(f"{question.text} is made of all tokens: no other one is near")
    return int(rows[0])


def _position(store: Store, map_: Map, rows: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the coordinates of a token, or the mean of those of several tokens."""
    return np.asarray(map_.coordinates[map_.positions(rows, store.tokens)].mean(axis=0))
