"""The ranks of right answers among all rows of a space: larger scores are counted, block by block, and none is sorted.

Equal scores are ordered by row, which is the order of token ids. Memory is that of a block, whatever the size of the
vocabulary: 2,048 unit vectors, their cosines with the words of a category, and 64 questions' scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.store.evaluation.measures import Floats, Scorer
from kotovec.store.evaluation.words import Mask, Words
from kotovec.store.finite import check_finite
from kotovec.store.nearest import Rows

BLOCK = 2048  # rows at a time: 13 MB as float64 at 768 dimensions
TOGETHER = 64  # questions at a time: 1 MB of scores of a block, which stay in the cache


@dataclass(frozen=True, eq=False)
class Candidates:
    """The rows of a space.

    Attributes:
        array: (V, D) vectors.
        norms: (V,) float64.
        present: (V,) which rows have a direction, and may be answers.
        name: what an error calls the space.
    """

    array: npt.NDArray[np.floating[Any]]
    norms: Floats
    present: Mask
    name: str = "the space"

    def unit(self, rows: "Rows | slice") -> Floats:
        """Return some rows at length 1 in float64; those that are no answers are zeros.

        Raises:
            DamagedError: one is not finite.
        """
        present = self.present[rows]
        found = np.asarray(self.array[rows]).astype(np.float64)
        found[~present] = 0
        found[present] /= self.norms[rows][present, np.newaxis]
        check_finite(found, self.name)
        return found

    def vectors(self, words: Words, numbers: Rows) -> Floats:
        """Return the vectors of words by their numbers, (m, D) float64.

        Raises:
            DamagedError: one is not finite.
        """
        found = words.vectors(self.array, numbers)
        check_finite(found, self.name)
        return found

    def lengths(self, rows: "Rows | slice") -> Floats:
        """Return the norms of some rows; those that are no answers have 0."""
        return np.where(self.present[rows], self.norms[rows], 0.0)

    @property
    def longest(self) -> float:
        """The largest norm of a row that may be an answer."""
        return float(self.norms[self.present].max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Run:
    """Questions that are answered by one measure.

    Attributes:
        basis: (w, D) float64, whose products with unit vectors of rows the scores are made of.
        score: the scores.
        answers: (m, j) rows of the right answers of each question; −1 where there are fewer.
        inputs: (m, k) distinct rows of its words in all forms; −1 where there are fewer.
        tie: scores that are no further apart are equal.
    """

    basis: Floats
    score: Scorer
    answers: Rows
    inputs: Rows
    tie: float


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the best of the right answers of each question stands.

    Attributes:
        among_all: (m,) its rank from 1 among all rows.
        without_inputs: (m,) its rank among the rows that are no input; 0 where every right answer is an input.
        first: (m,) the row with the best score of all.
    """

    among_all: Rows
    without_inputs: Rows
    first: Rows


def rank(candidates: Candidates, runs: Sequence[Run]) -> list[Ranks]:
    """Return the ranks of all runs in one pass over the rows."""
    counters = [_Counter(candidates, run) for run in runs]
    by_basis: dict[int, list[_Counter]] = {}  # the measures of a category share one
    for counter in counters:
        by_basis.setdefault(id(counter.run.basis), []).append(counter)
    for start in range(0, len(candidates.present), BLOCK):
        rows = slice(start, start + BLOCK)
        unit, norms, gone = candidates.unit(rows), candidates.lengths(rows), ~candidates.present[rows]
        for sharing in by_basis.values():
            products = sharing[0].run.basis @ unit.T
            for counter in sharing:
                counter.add(products, norms, gone, start)
    return [counter.ranks() for counter in counters]


class _Counter:
    """Counts the rows that are ahead of targets: of the best answer of each question, and of the best that is no input.

    Where these are two rows, the second one is another target, after those of all questions.
    """

    def __init__(self, candidates: Candidates, run: Run) -> None:
        self.run = run
        count = len(run.answers)
        of_answers, of_inputs = _selected(candidates, run)
        best = _best(run.answers, of_answers, run.tie)
        of_answers[_among(run.answers, run.inputs)] = -np.inf
        other = _best(run.answers, of_answers, run.tie)
        self._inputs_ahead = _ahead(run.inputs, of_inputs, *other, run.tie)
        more = np.flatnonzero((other[0] >= 0) & (other[0] != best[0]))
        self._owners = np.concatenate([np.arange(count), more])
        self._rows = np.concatenate([best[0], other[0][more]])
        self._scores = np.concatenate([best[1], other[1][more]])
        self._outside = np.where(other[0] >= 0, np.arange(count), -1)
        self._outside[more] = count + np.arange(len(more))
        self._ahead = np.zeros(len(self._owners), dtype=np.int64)
        self._first, self._highest = np.full(count, -1, dtype=np.int64), np.full(count, -np.inf)

    def add(self, products: Floats, norms: Floats, gone: Mask, start: int) -> None:
        """Count the rows of a block, of which some are no candidates."""
        any_gone = bool(gone.any())
        for part in _chunks(len(self._owners)):
            scores = self.run.score(products, norms, self._owners[part])
            if any_gone:
                scores[:, gone] = -np.inf
            self._count(scores, part, start)
            self._find_first(scores, part, start)

    def _count(self, scores: Floats, part: slice, start: int) -> None:
        # Equal scores are ahead in the rows before the target, and not in those after it.
        below, above = self._scores[part] - self.run.tie, self._scores[part] + self.run.tie
        local = self._rows[part] - start
        ahead = scores > np.where(local >= scores.shape[1], below, above)[:, np.newaxis]
        # One row at a time: count_nonzero along an axis takes five times as long.
        counts = [np.count_nonzero(row) for row in ahead]
        for index in np.flatnonzero((local >= 0) & (local < scores.shape[1])).tolist():
            before, after = scores[index, : local[index]], scores[index, local[index] + 1 :]
            counts[index] = np.count_nonzero(before > below[index]) + np.count_nonzero(after > above[index])
        self._ahead[part] += counts

    def _find_first(self, scores: Floats, part: slice, start: int) -> None:
        questions = self._owners[part]
        questions = questions[: max(0, min(len(questions), len(self._first) - part.start))]
        highest = scores[: len(questions)].max(axis=1)
        for index in np.flatnonzero(highest > self._highest[questions] + self.run.tie).tolist():
            self._highest[questions[index]] = highest[index]
            self._first[questions[index]] = start + int(np.argmax(scores[index] >= highest[index] - self.run.tie))

    def ranks(self) -> Ranks:
        """Return the ranks after all blocks."""
        count = len(self._first)
        outside = np.where(self._outside >= 0, self._ahead[self._outside] + 1 - self._inputs_ahead, 0)
        return Ranks(self._ahead[:count] + 1, outside, self._first)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + TOGETHER) for start in range(0, count, TOGETHER))


def _selected(candidates: Candidates, run: Run) -> tuple[Floats, Floats]:
    """Return the scores of the answers (m, j) and of the inputs (m, k) of each question; −inf where there is none."""
    rows = np.unique(np.concatenate([run.answers.ravel(), run.inputs.ravel()]))
    rows = rows[rows >= 0]
    products, norms = run.basis @ candidates.unit(rows).T, candidates.lengths(rows)
    gone = ~candidates.present[rows]
    found = np.full(run.answers.shape, -np.inf), np.full(run.inputs.shape, -np.inf)
    for part in _chunks(len(run.answers)):
        asked = np.arange(len(run.answers))[part]
        scores = run.score(products, norms, asked)
        scores[:, gone] = -np.inf
        for wanted, taken in zip((run.answers, run.inputs), found, strict=True):
            columns = np.searchsorted(rows, wanted[part]).clip(max=len(rows) - 1)
            chosen = np.take_along_axis(scores, columns, axis=1)
            taken[part] = np.where(wanted[part] >= 0, chosen, -np.inf)
    return found


def _among(rows: Rows, others: Rows) -> Mask:
    """Return which of the rows of each question (m, j) are among its others (m, k)."""
    found = np.zeros(rows.shape, dtype=np.bool_)
    for column in others.T:  # (m, j, k) at once would take a GB for BATS
        found |= rows == column[:, np.newaxis]
    return found


def _best(rows: Rows, scores: Floats, tie: float) -> tuple[Rows, Floats]:
    """Return the row with the best score of each question, the first of equal ones, and the score; −1 and −inf if none.

    The score of equal ones is the best of them.
    """
    highest = scores.max(axis=1)
    is_best = np.isfinite(scores) & (scores >= highest[:, np.newaxis] - tie)
    found = np.where(is_best, rows, np.iinfo(np.int64).max).min(axis=1)
    return np.where(is_best.any(axis=1), found, -1), highest


def _ahead(rows: Rows, scores: Floats, target: Rows, of_target: Floats, tie: float) -> Rows:
    """Return how many of the rows of each question (m, k) are ahead of a target (m,)."""
    with np.errstate(invalid="ignore"):  # −inf − −inf, where there is no target
        larger = scores > of_target[:, np.newaxis] + tie
        equal = (scores > of_target[:, np.newaxis] - tie) & ~larger & (rows < target[:, np.newaxis])
    return np.asarray((larger | equal).sum(axis=1))
