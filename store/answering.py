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
from kotovec.store.tokens import Tokens

if TYPE_CHECKING:
    from kotovec.store.database import Store
    from kotovec.store.scripts import Masks


class Find(Protocol):
    """Returns the finder for a space, as a store keeps it."""

    def __call__(self, space: Space, *, many: bool) -> Finder:
        """Return the finder; with `many`, for several queries at once."""


def answer(
    store: "Store", expressions: Iterable[str], search: Search, wanted: tuple[Metric, int], find: Find, written: "Masks"
) -> list[Answer]:
    """Return the answers to some expressions.

    Args:
        store: the open store.
        expressions: the expressions.
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
    space, lookup = store.space(search.space, search.layer), store.lookup
    questions = [store.question(text, space, unit_terms=search.unit_terms) for text in expressions]
    if not questions:
        return []
    view = lens.look(store.vectors, space, search.space or space, search.within)
    found = find(view.within, many=len(questions) > 1).answer(
        view.through(np.stack([question.vector for question in questions])),
        k,
        [lookup.forms(question.rows) for question in questions] if search.exclude_inputs else None,
        _answerable(store.tokens, search, written),
    )
    return [
        compose(question, near, store.tokens, space, metric.value, (*view.notes, *filter(None, [note])))
        for question, (near, note) in zip(questions, found, strict=True)
    ]


def _answerable(tokens: Tokens, search: Search, written: "Masks") -> npt.NDArray[np.bool_] | None:
    if not search.words_only and search.script is None:
        return None
    from kotovec.store.scripts import answerable

    return answerable(tokens, search.script, written, words_only=search.words_only)
