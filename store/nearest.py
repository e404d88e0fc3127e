"""The exact nearest rows: candidates in float32, decided in float64, with a proof that none is missing.

A bound on the float32 error proves that no row outside the candidates belongs to the answer. Where it does not, more
candidates are fetched if that can help; otherwise all rows are scanned in float64, for all such queries together.
(Vectors that share one huge component, as those of GPT-2's layers do, are practically equal in float32.)

What depends on the metric is in `Metric`. Equal scores are ordered by row, which is the order of token ids.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kotovec.store.metric import Metric, Scores

__all__ = ["Candidates", "Choice", "Matrix", "Metric", "Neighbourhood", "Rows", "Scores", "nearest", "score"]

SLACK = 16  # candidates beyond k: with 8, one in ten queries needed a second round; with 16, one in fifty
GROWTH = 4  # how many times more candidates the next round asks for
MOST_CANDIDATES = 2**20  # in one call, over all its queries: 12 MB of scores and rows, and some 60 MB to merge them
SCAN_BLOCK = 4096  # rows that a float64 scan converts at a time: 25 MB at 768 dimensions
SCAN_QUERIES = 256  # queries that share a scan: 8 MB of products with a block; with more, converting hardly counts
MOST_BYTES = 64 << 20  # of float64 vectors at a time, whatever their dimensions: 4,096 rows of 131,072 take 4 GB
RESCORED = 256  # candidates that are rescored at a time, of several queries: 1.5 MB at 768 dimensions

Rows = npt.NDArray[np.int64]
# (n, D) float32 queries and m → (n, m) float32 scores, best first, and (n, m) int64 rows, −1 where there is none
Candidates = Callable[[npt.NDArray[np.float32], int], tuple[npt.NDArray[np.float32], Rows]]


class Neighbourhood(NamedTuple):
    """The nearest rows of a query: `rows` (m,) int64, best first, and their `scores` (m,) float64."""

    rows: Rows
    scores: Scores


@dataclass(frozen=True)
class Matrix:
    """What is searched: vectors (V, D) as stored, float32 or float16, and their norms (V,) float64."""

    vectors: npt.NDArray[np.floating[Any]]
    norms: npt.NDArray[np.float64]

    @cached_property
    def longest(self) -> float:
        """The largest norm."""
        return float(self.norms.max())


@dataclass(frozen=True)
class Choice:
    """Which rows may be answers: not those of `skip` (per query), and only those of `keep` (V,) bool, if given."""

    skip: Sequence[Rows]
    keep: npt.NDArray[np.bool_] | None = None

    def allows(self, queries: Sequence[int], rows: Rows) -> npt.NDArray[np.bool_]:
        """Return for each of the rows (n, m) whether it may answer its query."""
        allowed = rows >= 0
        for index, query in enumerate(queries):
            if len(self.skip[query]):
                allowed[index] &= ~np.isin(rows[index], self.skip[query])
        return allowed if self.keep is None else allowed & self.keep[rows]

    def allowed(self, query: int, total: int) -> int:
        """Return how many of all rows may answer a query."""
        skipped = {row for row in np.asarray(self.skip[query]).tolist() if 0 <= row < total}
        if self.keep is None:
            return total - len(skipped)
        return int(self.keep.sum()) - sum(bool(self.keep[row]) for row in skipped)


def nearest(
    matrix: Matrix,
    queries: npt.NDArray[np.float64],
    k: int,
    metric: Metric,
    choice: Choice,
    candidates: Candidates,
    *,
    exact: bool = True,
) -> list[Neighbourhood]:
    """Return for each of the (n, D) queries the k nearest rows and their scores, best first.

    `exact=False` accepts the first candidates (an approximate index cannot prove anything), and only rescores
    them in float64.
    """
    total = len(matrix.vectors)
    lengths = np.linalg.norm(queries, axis=1)
    longest = max((len(rows) for rows in choice.skip), default=0)
    share = 1.0 if choice.keep is None else max(1, int(choice.keep.sum())) / total
    count = min(total, int((k + longest + SLACK) / share) + 1)
    answers: dict[int, Neighbourhood] = {}
    waiting = list(range(len(queries)))
    hopeless: list[int] = []
    while waiting and (count <= total // GROWTH or not exact):
        unsure: list[int] = []
        for part in _parts(waiting, max(1, MOST_CANDIDATES // count)):
            found, rows = candidates(metric.scaled(queries[part], lengths[part]), count)
            allowed = choice.allows(part, rows)
            rescored = _rescored(matrix, queries[part], k, metric, rows, allowed)
            for query, last, answer in zip(part, found[:, -1].tolist(), rescored, strict=True):
                error = metric.float32_error(queries[query], matrix.longest)
                proven, promising = _outlook(metric, k, answer[1], last, error)
                if proven or not exact:
                    answers[query] = answer
                else:
                    (unsure if promising else hopeless).append(query)
        waiting, count = unsure, count * GROWTH
    for part in _parts(waiting + hopeless, within(SCAN_QUERIES, matrix)):
        answers.update(zip(part, _scan(matrix, queries, k, metric, choice, part), strict=True))
    return [answers[query] for query in range(len(queries))]


def within(count: int, matrix: Matrix) -> int:
    """Return how many float64 vectors of a matrix's dimensions to take at a time: `count`, or as many as make 64 MB."""
    dimensions: int = matrix.vectors.shape[1]
    return min(count, max(1, MOST_BYTES // max(1, 8 * dimensions)))


def score(matrix: Matrix, query: npt.NDArray[np.float64], metric: Metric, rows: Rows) -> Scores:
    """Return the float64 scores of some rows, (len(rows),)."""
    return np.asarray(_scores(matrix, query[np.newaxis], metric, rows[np.newaxis])[0])


def _scores(matrix: Matrix, queries: npt.NDArray[np.float64], metric: Metric, rows: Rows) -> Scores:
    """Return the float64 scores of the rows (n, m) of each query (n, D); a row −1 has any score."""
    scores = np.empty(rows.shape)
    vectors, norms = np.asarray(matrix.vectors), np.asarray(matrix.norms)  # indexing a memmap takes 10 µs more
    together, block = max(1, within(RESCORED, matrix) // max(1, rows.shape[1])), within(SCAN_BLOCK, matrix)
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        for left in range(0, rows.shape[1], block):
            some = rows[part, left : left + block]
            scores[part, left : left + block] = metric.exact(
                vectors[some].astype(np.float64), norms[some], queries[part, np.newaxis]
            )
    return scores


def _rescored(
    matrix: Matrix,
    queries: npt.NDArray[np.float64],
    k: int,
    metric: Metric,
    rows: Rows,
    allowed: npt.NDArray[np.bool_],
) -> list[Neighbourhood]:
    """Return the best k of the allowed candidates of each query, rescored in float64."""
    scores = _scores(matrix, queries, metric, rows)
    order = np.lexsort((rows, metric.sign * scores, ~allowed), axis=-1)[:, :k]
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    counts = np.minimum(allowed.sum(axis=1), k).tolist()
    return [Neighbourhood(rows[index, :count], scores[index, :count]) for index, count in enumerate(counts)]


def _best(rows: Rows, scores: Scores, k: int, metric: Metric) -> Neighbourhood:
    order = np.lexsort((rows, metric.sign * scores))[:k]
    return Neighbourhood(rows[order], scores[order])


def _parts(queries: list[int], most: int) -> Iterator[list[int]]:
    return (queries[start : start + most] for start in range(0, len(queries), most))


def _outlook(metric: Metric, k: int, scores: Scores, last: float, error: float) -> tuple[bool, bool]:
    """Return whether every row outside the candidates is worse than the k-th answer; if not, whether more may prove it.

    `last` is the worst float32 score among the candidates: no row outside has a better one, nor a true score
    that is better by more than `error`. More candidates do not help if their scores are far closer together than
    that.
    """
    if len(scores) < k:
        return False, error < np.inf
    margin = metric.sign * (last - float(scores[-1]))
    return margin > error, margin * GROWTH > error


def _scan(
    matrix: Matrix, queries: npt.NDArray[np.float64], k: int, metric: Metric, choice: Choice, chosen: list[int]
) -> list[Neighbourhood]:
    """Return the answers to the chosen queries from all rows, block by block, for all of the queries together.

    A float64 product shows which rows of a block may still be among the best k; only those are summed exactly.
    """
    best = [Neighbourhood(np.empty(0, dtype=np.int64), np.empty(0)) for _ in chosen]
    block, asked = within(SCAN_BLOCK, matrix), queries[chosen]
    for start in range(0, len(matrix.vectors), block):
        part = slice(start, start + block)
        keep = slice(None) if choice.keep is None else choice.keep[part]
        rows = np.arange(len(matrix.vectors), dtype=np.int64)[part][keep]
        vectors, norms = matrix.vectors[part][keep].astype(np.float64), matrix.norms[part][keep]
        products = asked @ vectors.T
        for index, query in enumerate(chosen):
            low, high = metric.bounds(products[index], norms, queries[query])
            known_rows, known = best[index]
            worst = np.inf if len(known) < k else metric.sign * known[-1]
            near = np.flatnonzero(~(low > worst))  # written this way, NaN counts as near
            near = near[choice.allows([query], rows[np.newaxis, near])[0]]
            if len(near) > k:
                near = near[~(low[near] > np.partition(high[near], k - 1)[k - 1])]
            if len(near) > 0:
                scores = metric.exact(vectors[near], norms[near], queries[query])
                both = np.concatenate([known_rows, rows[near]]), np.concatenate([known, scores])
                best[index] = _best(*both, k, metric)
    return best
