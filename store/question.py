"""A question: an expression that was read into the tokens that it names and their sum, one vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, NotStoredError
from kotovec.space import LAYERED, Space
from kotovec.store.arguments import check_text
from kotovec.store.expression import Term, hyphenated, lengthened, parse, render
from kotovec.store.terms import Lookup, ResolvedTerm

VANISHING = 1e-12  # share of the terms' summed lengths: what rounding leaves of 王 - 王 is below, real sums far above


Unnamed = Callable[[int], npt.NDArray[np.float64]]
Check = Callable[[Sequence[int], str], None]  # of rows, and what was typed for them


def none_of(number: int) -> npt.NDArray[np.float64]:
    """Refuse a row without a token, in a space that has none.

    Raises:
        NotStoredError: always.
    """
    raise NotStoredError(f"this space has no row #{number}", hint="choose `static`")


def all_present(_: Sequence[int], __: str) -> None:
    """Refuse no row: in most spaces, all have a vector."""


@dataclass(frozen=True)
class Question:
    """An expression that was read.

    Attributes:
        text: the expression as kotovec understood it.
        terms: the terms, each with the tokens that it stands for.
        vector: their weighted sum, (D,) float64.
        readings: what a person should know about how the expression was split into terms.
    """

    text: str
    terms: tuple[ResolvedTerm, ...]
    vector: npt.NDArray[np.float64]
    readings: tuple[str, ...] = ()

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The rows of the tokens that the expression is made of, ascending, each once."""
        # np.unique would import numpy.ma, 15 ms of a query's 500 ms.
        return np.array(sorted({row for term in self.terms for row in term.rows}), dtype=np.int64)

    def notes(self, space: Space) -> tuple[str, ...]:
        """Return what a person should know about how the expression was read, in a space."""
        notes = [*self.readings, *(term.note for term in self.terms if term.note)]
        if space.name in LAYERED and any(len(term.rows) > 1 for term in self.terms):
            notes.append(f"a mean of {space.name} vectors only approximates the word: the model never saw it whole")
        return tuple(dict.fromkeys(notes))


def read(
    expression: str,
    lookup: Lookup,
    vectors: npt.NDArray[np.floating[Any]],
    *,
    unit_terms: bool = False,
    allow_zero: bool = False,
    unnamed: Unnamed = none_of,
    check: Check = all_present,
) -> Question:
    """Read an expression.

    Args:
        expression: what the user typed.
        lookup: the lookup in the store's vocabulary.
        vectors: the vectors of the space, (V, D).
        unit_terms: scale each term to length 1 before adding.
        allow_zero: accept a sum that is zero.
        unnamed: returns the vector of a row without a token.
        check: refuses rows that have no vector in the space.

    Raises:
        ExpressionError: the expression cannot be read.
        UnknownTokenError: a term is neither in the vocabulary nor made of its tokens.
        NotStoredError: no token has such an id, or it has no vector in the space.
        InputError: as in `add`.
    """
    check_text(expression)
    terms, readings = resolve(expression, lookup)
    return add(terms, vectors, readings, unit_terms=unit_terms, allow_zero=allow_zero, unnamed=unnamed, check=check)


def resolve(expression: str, lookup: Lookup) -> tuple[tuple[ResolvedTerm, ...], tuple[str, ...]]:
    """Return the terms of an expression, and what a person should know about how it was split into them.

    Raises:
        ExpressionError, UnknownTokenError, NotStoredError: as in `read`.
    """
    terms = parse(expression, lookup.known)
    lengthened_ = lengthened(expression, terms, lookup.known)
    readings = (each for each in hyphenated(expression, terms) if each.partition(" is read")[0] not in lengthened_)
    return tuple(map(lookup.resolve, terms)), (*lengthened_.values(), *readings)


def add(
    terms: Sequence[ResolvedTerm],
    vectors: npt.NDArray[np.floating[Any]],
    readings: Sequence[str] = (),
    *,
    unit_terms: bool = False,
    allow_zero: bool = False,
    unnamed: Unnamed = none_of,
    check: Check = all_present,
) -> Question:
    """Return the question that some terms make; a term of several tokens is the mean of their vectors.

    Args:
        terms: the terms.
        vectors: the vectors of the space, (V, D).
        readings: how the expression was split into them, as `resolve` returns it.
        unit_terms: scale each term to length 1 before adding.
        allow_zero: accept a sum that is zero.
        unnamed: returns the vector of a row without a token.
        check: refuses rows that have no vector in the space.

    Raises:
        NotStoredError: a row has no vector in the space.
        InputError: the sum is zero or, with `unit_terms`, the vector of a term is.
    """
    vectors = np.asarray(vectors)  # indexing a memmap takes 10 µs more
    total = np.zeros(vectors.shape[1], dtype=np.float64)
    lengths = 0.0
    for term in terms:
        check(term.rows, term.text)
        if term.unnamed is not None:
            vector = unnamed(term.unnamed)
        elif len(term.rows) == 1:
            vector = vectors[term.rows[0]].astype(np.float64)
        else:
            vector = vectors[list(term.rows)].astype(np.float64).mean(axis=0)
        length = float(np.linalg.norm(vector))
        if unit_terms and length == 0:
            problem = f"the vector of {term.text} is zero, and cannot be scaled to length 1"
            raise InputError(problem, hint="leave it out, or ask without unit terms")
        total += term.weight * (vector / length if unit_terms else vector)
        lengths += abs(term.weight) * (1.0 if unit_terms else length)
    text = render([Term(term.text, term.weight, 0, term.literal) for term in terms])
    if not allow_zero and float(np.linalg.norm(total)) <= VANISHING * lengths:
        raise InputError(
            f"the sum of {text} is the zero vector, to which nothing is nearest", hint=_cure(terms, lengths)
        )
    return Question(text, tuple(terms), total, tuple(readings))


def _cure(terms: Sequence[ResolvedTerm], lengths: float) -> str:
    """Return what makes another sum of terms whose sum is zero; `lengths` is the sum of their lengths."""
    if not any(term.weight for term in terms):
        return "give a term a weight other than 0"
    return "leave out the terms that cancel" if lengths else "ask about a token whose vector is not zero"
