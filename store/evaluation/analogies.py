"""Analogies in the spaces of stores: which share is answered right, with the words of the question and without them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store.evaluation.intervals import Estimate, draw_shares
from kotovec.store.evaluation.measures import Floats, Measure, Terms
from kotovec.store.evaluation.pairs import Asked, Counts, count_words, present_words
from kotovec.store.evaluation.questions import Category
from kotovec.store.evaluation.ranks import Candidates, Ranks, Run, rank
from kotovec.store.evaluation.words import Mask, Policy, Words, find_words, rows_with_vectors, unit
from kotovec.store.nearest import Rows
from kotovec.store.terms import Lookup

CUTS = (1, 5, 10)  # accuracy@k
LANDINGS = ("answer", "b", "a*", "a", "other")  # where the nearest row of all may lie


@dataclass(frozen=True)
class Score:
    """How often right answers are found.

    Attributes:
        questions: questions that were asked.
        accuracy: the shares whose best right answer is among the first 1, 5 and 10 rows.
        reciprocal: the mean of 1 / rank; 0 where every right answer is left out.
        interval: of accuracy@1, drawn over categories and the questions in each.
    """

    questions: int
    accuracy: tuple[float, ...]
    reciprocal: float
    interval: Estimate

    @classmethod
    def of(cls, ranks: Sequence[Rows], seed: int) -> "Score":
        """Return the score of the ranks of each category; a rank of 0 is none."""
        together = np.concatenate(ranks)
        found = [float(((together >= 1) & (together <= cut)).mean()) for cut in CUTS]
        reciprocal = np.divide(1.0, together, out=np.zeros(len(together)), where=together > 0)
        drawn = draw_shares([int((each == 1).sum()) for each in ranks], [len(each) for each in ranks], seed)
        return cls(len(together), tuple(found), float(reciprocal.mean()), Estimate.of(found[0], drawn))

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        accuracy = {f"accuracy@{cut}": share for cut, share in zip(CUTS, self.accuracy, strict=True)}
        bounds = {"low": self.interval.low, "high": self.interval.high}
        return {"questions": self.questions, **accuracy, **bounds, "reciprocal": self.reciprocal}


@dataclass(frozen=True, eq=False)
class Solved:
    """How a space answers the questions of a data set by one measure.

    Attributes:
        store: what the store is called.
        space: the space.
        measure: the measure.
        counts: what was asked.
        without_inputs: the score among the rows that are no word of the question, in any form.
        among_all: the score among all rows.
        landed: the share of questions whose first row of all is a right answer, b, a*, a or another row.
        categories: both scores of each category, by its name.
        items: for each category, the numbers of the questions that were asked, and their ranks.
    """

    store: str
    space: Space
    measure: Measure
    counts: Counts
    without_inputs: Score
    among_all: Score
    landed: dict[str, float]
    categories: dict[str, tuple[Score, Score]]
    items: dict[str, tuple[Rows, Ranks]]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        counts = {name: getattr(self.counts, name) for name in ("asked", "words", "unknown", "several", "absent")}
        return {
            "store": self.store,
            "space": str(self.space),
            "measure": str(self.measure),
            "questions": self.counts.items,
            **counts,
            "without_inputs": self.without_inputs.as_dict(),
            "among_all": self.among_all.as_dict(),
            "landed": self.landed,
            "categories": {
                name: {"without_inputs": without.as_dict(), "among_all": among_all.as_dict()}
                for name, (without, among_all) in self.categories.items()
            },
        }


@dataclass(frozen=True, eq=False)
class Problem:
    """The questions of a category that are asked, as rows of a store.

    Attributes:
        name: the name of the category.
        numbers: (m,) which of its questions they are.
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


def evaluate_analogies(
    stores: Sequence[Asked],
    categories: Sequence[Category],
    policy: Policy,
    measures: Sequence[Measure] = (Measure.ADD, Measure.ONLY_B),
    *,
    common: bool = False,
    seed: int = 0,
) -> list[Solved]:
    """Return the scores of every space by every measure, in the order of stores, spaces and measures.

    All spaces of a store are asked the same questions: those whose a, a* and b have a vector in all of them, and one
    of whose answers is a row with one.

    Args:
        stores: the stores and their spaces.
        categories: the questions.
        policy: how words are looked up; an answer of several tokens is no row, and cannot be found.
        measures: the measures.
        common: ask the same questions of all stores, too.
        seed: of the bootstrap, 1,000 draws.

    Raises:
        InputError: no question can be asked.
    """
    texts = [
        word
        for category in categories
        for each in category.questions
        for word in (each.a, each.a_star, each.b, *each.answers)
    ]
    words = {asked.name: find_words(asked.store.lookup, texts, policy) for asked in stores}
    return [
        result
        for group in ([list(stores)] if common else [[asked] for asked in stores])
        for result in _solve(group, words, categories, measures, seed)
    ]


def _solve(
    group: Sequence[Asked],
    words: Mapping[str, Words],
    categories: Sequence[Category],
    measures: Sequence[Measure],
    seed: int,
) -> list[Solved]:
    present = present_words(group, words)
    single = np.logical_and.reduce([present, *(np.diff(words[asked.name].offsets) == 1 for asked in group)])
    chosen = [_asked(category, words[group[0].name], present, single) for category in categories]
    total, asked_of_all = sum(len(each.questions) for each in categories), sum(map(len, chosen))
    counts = count_words(total, asked_of_all, [words[asked.name] for asked in group], present)
    if not asked_of_all:
        names = ", ".join(asked.name for asked in group)
        raise InputError(
            f"{names}: no question of {total:,} has all its words in all spaces",
            hint="use --lower, or ask fewer spaces",
        )
    found = []
    for asked in group:
        of_store = words[asked.name]
        problems = [
            make_problem(category, numbers, of_store, single, asked.store.lookup)
            for category, numbers in zip(categories, chosen, strict=True)
            if len(numbers)
        ]
        for space in asked.spaces:
            candidates = candidates_of(asked, space)
            bases = [_terms(problem, of_store, candidates) for problem in problems]
            runs = [
                Run(
                    terms.unit, terms.scorer(measure), each.answers, each.inputs, terms.tie(measure, candidates.longest)
                )
                for each, terms in zip(problems, bases, strict=True)
                for measure in measures
            ]
            ranks = rank(candidates, runs)
            for index, measure in enumerate(measures):
                of_measure = ranks[index :: len(measures)]
                found.append(summarize((asked.name, space, measure), counts, problems, of_measure, seed))
    return found


def candidates_of(asked: Asked, space: Space) -> Candidates:
    """Return the rows of a space that may be answers."""
    vectors = asked.store.vectors
    norms = np.asarray(vectors.norms(space.among(vectors.spaces)))
    return Candidates(asked.store.array(space), norms, rows_with_vectors(vectors, space.among(vectors.spaces)))


def _asked(category: Category, words: Words, present: Mask, single: Mask) -> Rows:
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
    used = {word for each in questions for word in (each.a, each.a_star, each.b, *each.answers)}
    forms = {words.numbers[word]: frozenset(lookup.forms(words.of(words.numbers[word])).tolist()) for word in used}
    sides = [words.at(getattr(each, side) for each in questions) for side in ("a", "a_star", "b")]
    distinct, indices = np.unique(np.concatenate(sides), return_inverse=True)
    a, a_star, b = np.split(indices.astype(np.int64), len(sides))
    answers = [
        {row for word in each.answers if single[words.numbers[word]] for row in forms[words.numbers[word]]}
        for each in questions
    ]
    inputs = [
        forms[words.numbers[each.a]] | forms[words.numbers[each.a_star]] | forms[words.numbers[each.b]]
        for each in questions
    ]
    return Problem(category.name, chosen, distinct, a, a_star, b, padded(answers), padded(inputs), forms)


def padded(sets: Sequence[Iterable[int]]) -> Rows:
    """Return sets of rows as (m, j) int64, each ascending, −1 where there are fewer."""
    rows = [sorted(each) for each in sets]
    width = max(1, *map(len, rows))
    return np.array([each + [-1] * (width - len(each)) for each in rows], dtype=np.int64)


def _terms(problem: Problem, words: Words, candidates: Candidates) -> Terms:
    vectors: Floats = words.vectors(candidates.array, problem.words)
    return Terms(unit(vectors), np.linalg.norm(vectors, axis=1), problem.a, problem.a_star, problem.b)


def summarize(
    of: tuple[str, Space, Measure], counts: Counts, problems: Sequence[Problem], ranks: Sequence[Ranks], seed: int
) -> Solved:
    """Return the scores of all categories by one measure."""
    landed = [name for problem, each in zip(problems, ranks, strict=True) for name in problem.landings(each.first)]
    shares = {name: landed.count(name) / len(landed) for name in LANDINGS}
    scores = [Score.of([getattr(each, kind) for each in ranks], seed) for kind in ("without_inputs", "among_all")]
    categories = {
        problem.name: (Score.of([each.without_inputs], seed), Score.of([each.among_all], seed))
        for problem, each in zip(problems, ranks, strict=True)
    }
    items = {problem.name: (problem.numbers, each) for problem, each in zip(problems, ranks, strict=True)}
    return Solved(*of, counts, scores[0], scores[1], shares, categories, items)
