"""Measures that learn a relation from all pairs of its category but the one that is asked: 3CosAvg and LRCos.

Both are those of Drozd, Gladkova and Matsuoka (2016, https://aclanthology.org/C16-1332), of unit vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kotovec.store.evaluation.measures import TIE, Floats, Measure
from kotovec.store.evaluation.questions import Category
from kotovec.store.evaluation.ranks import Candidates, Run
from kotovec.store.evaluation.regression import Regression, sigmoid
from kotovec.store.evaluation.words import Mask, Words, unit
from kotovec.store.nearest import Rows

FEWEST = 2  # pairs of a category: one is asked, the others are learned from
NEGATIVES = 5  # random rows for each pair, beside the sources of the other pairs
LEARNED = (Measure.AVERAGE, Measure.REGRESSION)


@dataclass(frozen=True, eq=False)
class Relation:
    """The pairs of a category that can be asked.

    Attributes:
        numbers: (m,) which of its pairs they are.
        sources: (m,) numbers of the words b.
        targets: (m,) numbers of the first answer of each that is a row with a vector.
    """

    numbers: Rows
    sources: Rows
    targets: Rows


def relation_of(category: Category, stores: Sequence[Words], present: Mask, single: Mask) -> Relation:
    """Return the pairs of a category that can be asked: none if these are fewer than two.

    Args:
        category: the category.
        stores: the words of the stores that are asked, with the same numbers in each.
        present: (n,) which of the words have a vector in all spaces.
        single: (n,) which of them are a row, too.
    """
    numbers, found = stores[0].numbers, []
    for index, (word, answers) in enumerate(category.pairs):
        usable = [numbers[answer] for answer in answers if single[numbers[answer]]]
        if present[numbers[word]] and usable:
            found.append((index, numbers[word], usable))
    for words in stores:
        found = _distinct(found, words)
    if len(found) < FEWEST:
        found = []
    first = [(index, source, usable[0]) for index, source, usable in found]
    return Relation(*np.array(first, dtype=np.int64).reshape(-1, 3).T)


def _distinct(pairs: Sequence[tuple[int, int, list[int]]], words: Words) -> list[tuple[int, int, list[int]]]:
    """Return pairs of different rows: if `Paris France` and `paris france` are the same, they learn from each other.

    Of those whose word and first answer are the same rows, the one with most answers is taken, or the first.
    """
    found: dict[tuple[bytes, bytes], tuple[int, int, list[int]]] = {}
    for pair in pairs:
        rows = words.of(pair[1]).tobytes(), words.of(pair[2][0]).tobytes()
        if len(pair[2]) > len(found.get(rows, (0, 0, []))[2]):
            found[rows] = pair
    return sorted(found.values())


def draw_negatives(relation: Relation, taken: frozenset[int], free: Mask, seed: int) -> Rows:
    """Return random rows that are no words of a relation, ascending and distinct.

    Args:
        relation: the pairs.
        taken: the rows of their words, in all forms.
        free: (V,) which rows may be drawn.
        seed: the random seed.
    """
    rows = np.setdiff1d(np.flatnonzero(free), np.array(sorted(taken), dtype=np.int64))
    count = min(len(rows), NEGATIVES * len(relation.numbers))
    return np.sort(np.random.default_rng(seed).choice(rows, size=count, replace=False))


def average_run(relation: Relation, words: Words, candidates: Candidates, answers: Rows, inputs: Rows) -> Run:
    """Return 3CosAvg: the cosine with b plus the mean offset of the other pairs."""
    sources, targets = (unit(candidates.vectors(words, each)) for each in (relation.sources, relation.targets))
    offsets = targets - sources
    basis = sources + (offsets.sum(axis=0) - offsets) / (len(offsets) - 1)
    return Run(basis, lambda products, _norms, asked: products[asked], answers, inputs, TIE)


def regression_run(
    relation: Relation, words: Words, candidates: Candidates, answers: Rows, inputs: Rows, negatives: Rows
) -> Run:
    """Return LRCos: the probability of the class of the targets times the cosine with b.

    The regression learns the targets of the other pairs against their sources and the random rows.
    """
    sources, targets = (unit(candidates.vectors(words, each)) for each in (relation.sources, relation.targets))
    count = len(sources)
    points = np.concatenate([targets, sources, candidates.unit(negatives)])
    learned = Regression(points, np.arange(len(points)) < count)
    weights, intercepts = np.empty_like(sources), np.empty(count)
    for index in range(count):
        kept = np.ones(len(points), dtype=np.bool_)
        kept[[index, count + index]] = False
        weights[index], intercepts[index] = learned.fit(kept)

    def scores(products: Floats, _norms: Floats, asked: Rows) -> Floats:
        """Return the scores, made of the products with b and with the weights."""
        found = sigmoid(products[count + asked] + intercepts[asked, np.newaxis])
        found *= products[asked]
        return found

    return Run(np.concatenate([sources, weights]), scores, answers, inputs, TIE)
