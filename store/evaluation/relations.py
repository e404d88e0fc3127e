"""Measures that learn a relation from all pairs of its category but the one that is asked: 3CosAvg and LRCos.

Both are those of Drozd, Gladkova and Matsuoka (2016, https://aclanthology.org/C16-1332), of unit vectors.
"""

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


def relation_of(category: Category, words: Words, present: Mask, single: Mask) -> Relation:
    """Return the pairs of a category that can be asked: none if these are fewer than two."""
    found = []
    for index, (word, answers) in enumerate(category.pairs):
        usable = [words.numbers[answer] for answer in answers if single[words.numbers[answer]]]
        if present[words.numbers[word]] and usable:
            found.append((index, words.numbers[word], usable[0]))
    if len(found) < FEWEST:
        found = []
    return Relation(*np.array(found, dtype=np.int64).reshape(-1, 3).T)


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
    sources, targets = (unit(words.vectors(candidates.array, each)) for each in (relation.sources, relation.targets))
    offsets = targets - sources
    basis = sources + (offsets.sum(axis=0) - offsets) / (len(offsets) - 1)
    return Run(basis, lambda products, _norms, asked: products[asked], answers, inputs, TIE)


def regression_run(
    relation: Relation, words: Words, candidates: Candidates, answers: Rows, inputs: Rows, negatives: Rows
) -> Run:
    """Return LRCos: the probability of the class of the targets times the cosine with b.

    The regression learns the targets of the other pairs against their sources and the random rows.
    """
    sources, targets = (unit(words.vectors(candidates.array, each)) for each in (relation.sources, relation.targets))
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
