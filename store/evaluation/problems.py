"""The questions of a category as rows of a store: which can be asked, what is right, and what is an input."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kotovec.store.evaluation.questions import Category
from kotovec.store.evaluation.relations import Relation
from kotovec.store.evaluation.words import Mask, Words
from kotovec.store.nearest import Rows
from kotovec.store.terms import Lookup

LANDINGS = ("answer", "b", "a*", "a", "other")  # where the nearest row of all may lie


@dataclass(frozen=True, eq=False)
class Problem:
    """The questions of a category that are asked, as rows of a store.

    Attributes:
        name: the name of the category.
        numbers: (m,) which of its questions they are, or which of its pairs.
        words: (w,) numbers of the words of the questions.
        a: (m,) which of these a is.
        a_star: (m,) likewise.
        b: (m,) likewise.
        answers: (m, j) rows of right answers in all forms, −1 where there are fewer.
        inputs: (m, k) rows of a, a* and b in all forms, likewise.
        forms: the rows of each word in all its forms, by its number.
    """

    name: str
    numbers: Rows
    words: Rows
    a: Rows
    a_star: Rows
    b: Rows
    answers: Rows
    inputs: Rows
    forms: Mapping[int, frozenset[int]]

    def landings(self, first: Rows) -> list[str]:
        """Return what the first row of each question is."""
        found = []
        for index, row in enumerate(first.tolist()):
            words = (int(self.words[each[index]]) for each in (self.b, self.a_star, self.a))
            kinds = [frozenset(self.answers[index].tolist()), *(self.forms[word] for word in words)]
            found.append(next((name for name, rows in zip(LANDINGS, kinds, strict=False) if row in rows), "other"))
        return found


def askable(category: Category, words: Words, present: Mask, single: Mask) -> Rows:
    """Return the numbers of the questions that can be asked."""
    numbers = words.numbers
    return np.array(
        [
            index
            for index, each in enumerate(category.questions)
            if all(present[numbers[word]] for word in (each.a, each.a_star, each.b))
            and any(single[numbers[word]] for word in each.answers)
        ],
        dtype=np.int64,
    )


def make_problem(category: Category, chosen: Rows, words: Words, single: Mask, lookup: Lookup) -> Problem:
    """Return the chosen questions of a category as rows of a store."""
    questions = [category.questions[index] for index in chosen.tolist()]
    sides = [words.at(getattr(each, side) for each in questions) for side in ("a", "a_star", "b")]
    return _problem(category.name, chosen, sides, [each.answers for each in questions], words, single, lookup)


def pair_problem(category: Category, relation: Relation, words: Words, single: Mask, lookup: Lookup) -> Problem:
    """Return the pairs of a relation as questions of which b alone is a word."""
    answers = [category.pairs[index][1] for index in relation.numbers.tolist()]
    return _problem(category.name, relation.numbers, [relation.sources] * 3, answers, words, single, lookup)


def _problem(
    name: str,
    numbers: Rows,
    sides: Sequence[Rows],
    answers: Sequence[Sequence[str]],
    words: Words,
    single: Mask,
    lookup: Lookup,
) -> Problem:
    """Return a problem; the sides are the numbers of the words a, a* and b."""
    right = [[number for word in each if single[number := words.numbers[word]]] for each in answers]
    distinct, indices = np.unique(np.concatenate(sides), return_inverse=True)
    used = {*distinct.tolist(), *(number for each in right for number in each)}
    forms = {number: frozenset(lookup.forms(words.of(number)).tolist()) for number in used}
    a, a_star, b = np.split(indices.astype(np.int64), len(sides))
    rows = [frozenset().union(*(forms[number] for number in each)) for each in right]
    inputs = [
        frozenset().union(*(forms[number] for number in each))
        for each in zip(*map(np.ndarray.tolist, sides), strict=True)
    ]
    return Problem(name, numbers, distinct, a, a_star, b, padded(rows), padded(inputs), forms)


def padded(sets: Sequence[Iterable[int]]) -> Rows:
    """Return sets of rows as (m, j) int64, each ascending, −1 where there are fewer."""
    rows = [sorted(each) for each in sets]
    width = max(1, *map(len, rows))
    return np.array([each + [-1] * (width - len(each)) for each in rows], dtype=np.int64)
