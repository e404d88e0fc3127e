"""The answers of a store to expressions: read, summed, looked up, and searched together."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store import lens
from kotovec.store.answer import Answer, compose
from kotovec.store.arguments import Search
from kotovec.store.finder import Finder
from kotovec.store.metric import Metric
from kotovec.store.question import Question
from kotovec.store.tokens import Tokens

if TYPE_CHECKING:
    from kotovec.store.scripts import Masks
    from kotovec.store.terms import Lookup
    from kotovec.store.vectors import Vectors


class Find(Protocol):
    """Returns the finder for a space, as a store keeps it."""

    def __call__(self, space: Space, *, many: bool) -> Finder:
        """Return the finder; with `many`, for several queries at once."""


def answer(
    vectors: "Vectors",
    lookup: "Lookup",
    space: Space,
    questions: Iterable[Question],
    search: Search,
    wanted: tuple[Metric, int],
    find: Find,
    written: "Masks",
) -> list[Answer]:
    """Return the answers to some expressions.

    Args:
        vectors: the open files of the store.
        lookup: the lookup in its table.
        space: the stored space of the expressions' vectors.
        questions: the expressions, each of which is read when it is reached.
        search: how they are searched.
        wanted: the metric, and how many tokens are wanted.
        find: returns the finder for a space.
        written: which tokens are of which scripts, as far as it is known; what is found is added.

    Raises:
        ExpressionError, UnknownTokenError, NotStoredError, InputError: as `Store.search`.
    """
    metric, k = wanted
    if search.unit_terms and metric.is_distance:
        raise InputError(f"unit terms mean nothing with {metric}", hint="use them with `cosine` or `ip`")
    questions, tokens = list(questions), vectors.tokens
    if not questions:
        return []
    view = lens.look(vectors, space, search.space or space, search.within)
    finder = find(view.within, many=len(questions) > 1)
    few = None if finder.gaps is None else finder.gaps.note(k)
    found = finder.answer(
        view.through(np.stack([question.vector for question in questions])),
        k,
        [lookup.forms(question.rows) for question in questions] if search.exclude_inputs else None,
        _answerable(tokens, search, written),
    )
    return [
        compose(question, near, tokens, space, metric.value, (*view.notes, *filter(None, [note, few])))
        for question, (near, note) in zip(questions, found, strict=True)
    ]


def _answerable(tokens: Tokens, search: Search, written: "Masks") -> npt.NDArray[np.bool_] | None:
    if not search.words_only and search.script is None:
        return None
    from kotovec.store.scripts import answerable

    return answerable(tokens, search.script, written, words_only=search.words_only)
