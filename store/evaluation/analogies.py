"""Analogies in the spaces of stores: which share is answered right, with the words of the question and without them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store.evaluation.measures import Floats, Measure, Terms
from kotovec.store.evaluation.pairs import Asked, Counts, count_words, present_words
from kotovec.store.evaluation.problems import LANDINGS, Problem, askable, make_problem, pair_problem
from kotovec.store.evaluation.questions import Category
from kotovec.store.evaluation.ranks import Candidates, Ranks, Run, rank
from kotovec.store.evaluation.relations import (
    LEARNED,
    Relation,
    average_run,
    draw_negatives,
    regression_run,
    relation_of,
)
from kotovec.store.evaluation.scores import Score, score
from kotovec.store.evaluation.words import Mask, Policy, Words, find_words, rows_with_vectors, unit
from kotovec.store.finite import source
from kotovec.store.nearest import Rows

_KINDS = ("without_inputs", "among_all")  # of `Ranks`


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
        DamagedError: a vector is not finite.
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
    first = words[group[0].name]
    chosen = [askable(category, first, present, single) for category in categories]
    every = [words[asked.name] for asked in group]
    related = [relation_of(category, every, present, single) for category in categories]
    asked_of_all = sum(map(len, chosen))
    total = sum(len(category.questions) for category in categories)
    if not asked_of_all:
        names = ", ".join(asked.name for asked in group)
        raise InputError(
            f"{names}: no question of {total:,} has all its words in all spaces",
            hint="use --lower, or ask fewer spaces",
        )
    counts = count_words(total, asked_of_all, every, present)
    pairs = sum(len(category.pairs) for category in categories), sum(len(each.numbers) for each in related)
    of_pairs = replace(counts, items=pairs[0], asked=pairs[1])
    found = []
    for asked in group:
        questions = _Asking(asked, words[asked.name], single, seed)
        questions.add(categories, chosen, related)
        for space in asked.spaces:
            for measure, (problems, ranks) in questions.solve(space, measures).items():
                asked_so = of_pairs if measure in LEARNED else counts
                found.append(_Answered(asked.name, space, measure, asked_so, problems, ranks))
    return _summarize(found, seed)


@dataclass(frozen=True, eq=False)
class _Answered:
    """The ranks of a space by a measure."""

    store: str
    space: Space
    measure: Measure
    counts: Counts
    problems: Sequence[Problem]
    ranks: Sequence[Ranks]


class _Asking:
    """The problems of a store, which all of its spaces are asked."""

    def __init__(self, asked: Asked, words: Words, single: Mask, seed: int) -> None:
        self._asked, self._words, self._single, self._seed = asked, words, single, seed
        self._problems: list[Problem] = []
        self._relations: list[tuple[Problem, Relation, Rows]] = []

    def add(self, categories: Sequence[Category], chosen: Sequence[Rows], related: Sequence[Relation]) -> None:
        """Add the chosen questions and pairs of each category."""
        lookup, vectors = self._asked.store.lookup, self._asked.store.vectors
        free = np.logical_and.reduce([rows_with_vectors(vectors, space) for space in self._asked.spaces])
        for category, numbers, relation in zip(categories, chosen, related, strict=True):
            if len(numbers):
                self._problems.append(make_problem(category, numbers, self._words, self._single, lookup))
            if len(relation.numbers):
                problem = pair_problem(category, relation, self._words, self._single, lookup)
                taken = frozenset().union(*problem.forms.values())
                negatives = draw_negatives(relation, taken, free, self._seed)
                self._relations.append((problem, relation, negatives))

    def solve(self, space: Space, measures: Sequence[Measure]) -> dict[Measure, tuple[list[Problem], list[Ranks]]]:
        """Return the ranks in a space by each measure.

        Raises:
            InputError: a measure learns from pairs, and no category has two.
        """
        if not self._relations and set(measures) & set(LEARNED):
            raise InputError(
                f"no category has two pairs, which {' and '.join(LEARNED)} need", hint="leave them out of --measure"
            )
        candidates = candidates_of(self._asked, space)
        terms = [_terms(problem, self._words, candidates) for problem in self._problems]
        runs: dict[Measure, list[Run]] = {}
        for measure in measures:
            if measure in LEARNED:
                runs[measure] = [self._learned(measure, candidates, *each) for each in self._relations]
            else:
                runs[measure] = [
                    Run(each.unit, each.scorer(measure), problem.answers, problem.inputs, tie)
                    for problem, each in zip(self._problems, terms, strict=True)
                    for tie in [each.tie(measure, candidates.longest)]
                ]
        ranks = iter(rank(candidates, [run for each in runs.values() for run in each]))
        problems = {True: [problem for problem, _, _ in self._relations], False: self._problems}
        return {measure: (problems[measure in LEARNED], [next(ranks) for _ in each]) for measure, each in runs.items()}

    def _learned(
        self, measure: Measure, candidates: Candidates, problem: Problem, relation: Relation, negatives: Rows
    ) -> Run:
        parts = relation, self._words, candidates, problem.answers, problem.inputs
        return average_run(*parts) if measure is Measure.AVERAGE else regression_run(*parts, negatives)


def candidates_of(asked: Asked, space: Space) -> Candidates:
    """Return the rows of a space that may be answers."""
    vectors = asked.store.vectors
    norms = np.asarray(vectors.norms(space.among(vectors.spaces)))
    present = rows_with_vectors(vectors, space.among(vectors.spaces))
    return Candidates(asked.store.array(space), norms, present, source(vectors.path, space))


def _terms(problem: Problem, words: Words, candidates: Candidates) -> Terms:
    vectors: Floats = candidates.vectors(words, problem.words)
    return Terms(unit(vectors), np.linalg.norm(vectors, axis=1), problem.a, problem.a_star, problem.b)


def _summarize(answered: Sequence[_Answered], seed: int) -> list[Solved]:
    """Return the scores of all; those that were asked the same questions have the same draws."""
    found: dict[int, Solved] = {}
    for learned in (False, True):
        alike = [index for index, each in enumerate(answered) if (each.measure in LEARNED) is learned]
        if alike:
            solved = _score([answered[index] for index in alike], seed)
            found.update(zip(alike, solved, strict=True))
    return [found[index] for index in range(len(answered))]


def _score(answered: Sequence[_Answered], seed: int) -> list[Solved]:
    """Return the scores of spaces and measures that were asked the same questions."""
    measures = [each.measure for each in answered]
    first = [measures.index(each) + start for start in (0, len(measures)) for each in measures]
    names = [problem.name for problem in answered[0].problems]
    ranks = [[getattr(category, kind) for category in each.ranks] for kind in _KINDS for each in answered]
    words = [(problem.a, problem.b) for problem in answered[0].problems]
    together = _by_kind(score(ranks, words, first, seed))
    by_category = {
        name: _by_kind(score([[each[index]] for each in ranks], [words[index]], first, seed))
        for index, name in enumerate(names)
    }
    return [
        Solved(
            each.store,
            each.space,
            each.measure,
            each.counts,
            *together[index],
            _landed(each),
            {name: pairs[index] for name, pairs in by_category.items()},
            {problem.name: (problem.numbers, found) for problem, found in zip(each.problems, each.ranks, strict=True)},
        )
        for index, each in enumerate(answered)
    ]


def _by_kind(scores: Sequence[Score]) -> list[tuple[Score, Score]]:
    """Return the scores without inputs, which are the first half, each with that among all rows."""
    half = len(scores) // 2
    return list(zip(scores[:half], scores[half:], strict=True))


def _landed(answered: _Answered) -> dict[str, float]:
    pairs = zip(answered.problems, answered.ranks, strict=True)
    landed = [name for problem, ranks in pairs for name in problem.landings(ranks.first)]
    return {name: landed.count(name) / len(landed) for name in LANDINGS}
