"""The exact nearest rows: candidates in float32, decided in float64, with a proof that none is missing.

A bound on the float32 error proves that no row outside the candidates belongs to the answer. Where it does not, more
candidates are fetched if that can help; else all rows are scanned in float64, for all such queries together. (Vectors
that share one huge component, as those of GPT-2's layers, are all as good as equal in float32.)

Scores: `l2` is the squared distance, as faiss reports it, smaller is nearer; for `cosine` and `ip` (inner product)
larger is nearer. A zero row has cosine 0. Equal scores are ordered by token id.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

SLACK = 16  # candidates beyond k: with 8, one in ten queries had to ask again; with 16, one in fifty
GROWTH = 4  # how many times more candidates the next round asks for
MOST_CANDIDATES = 2**20  # in one call, over all its queries: 12 MB of scores and rows, and some 60 MB to merge them
SCAN_BLOCK = 4096  # rows that a float64 scan converts at a time: 25 MB at 768 dimensions
SCAN_QUERIES = 256  # that share a scan: their products with a block are 8 MB; with more, converting is no longer felt
RESCORED = 256  # candidates that are rescored at a time, of several queries: 1.5 MB at 768 dimensions
SINGLE, DOUBLE = 2.0**-24, 2.0**-53  # the unit roundoffs of float32 and float64
SMALLEST = 2.0**-126  # of the normal float32: what is below may count as zero
LARGEST = 2.0**127  # half of what float32 can hold
TAME = 1e100  # longer queries, or shorter ones than its inverse, might leave the range of float64

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
# (n, D) float32 queries and m → (n, m) float32 scores, best first, and (n, m) int64 rows, −1 where there is none
Candidates = Callable[[npt.NDArray[np.float32], int], tuple[npt.NDArray[np.float32], Rows]]


class Metric(StrEnum):
    """How nearness is measured."""

    L2 = "l2"
    COSINE = "cosine"
    IP = "ip"


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
        """Tell of each of the rows (n, m) whether it may answer its query."""
        allowed = rows >= 0
        for place, query in enumerate(queries):
            if len(self.skip[query]):
                allowed[place] &= ~np.isin(rows[place], self.skip[query])
        return allowed if self.keep is None else allowed & self.keep[rows]


def nearest(
    matrix: Matrix,
    queries: npt.NDArray[np.float64],
    k: int,
    metric: Metric,
    choice: Choice,
    candidates: Candidates,
    *,
    exact: bool = True,
) -> list[tuple[Rows, Scores]]:
    """Return for each of the (n, D) queries the k nearest rows and their scores, best first.

    `exact=False` takes the first candidates as they are (an approximate index cannot prove anything), only
    rescored in float64.
    """
    total = len(matrix.vectors)
    longest = max((len(rows) for rows in choice.skip), default=0)
    share = 1.0 if choice.keep is None else max(1, int(choice.keep.sum())) / total
    count = min(total, int((k + longest + SLACK) / share) + 1)
    answers: dict[int, tuple[Rows, Scores]] = {}
    waiting = list(range(len(queries)))
    hopeless: list[int] = []
    while waiting and (count <= total // GROWTH or not exact):
        unsure: list[int] = []
        for part in _parts(waiting, max(1, MOST_CANDIDATES // count)):
            found, rows = candidates(_in_float32(queries[part], metric), count)
            allowed = choice.allows(part, rows)
            rescored = _rescored(matrix, queries[part], k, metric, rows, allowed)
            for query, last, answer in zip(part, found[:, -1].tolist(), rescored, strict=True):
                error = _float32_error(metric, queries[query], matrix.longest)
                proven, promising = _outlook(metric, k, answer[1], last, error)
                if proven or not exact:
                    answers[query] = answer
                else:
                    (unsure if promising else hopeless).append(query)
        waiting, count = unsure, count * GROWTH
    for part in _parts(waiting + hopeless, SCAN_QUERIES):
        answers.update(zip(part, _scan(matrix, queries, k, metric, choice, part), strict=True))
    return [answers[query] for query in range(len(queries))]


def score(matrix: Matrix, query: npt.NDArray[np.float64], metric: Metric, rows: Rows) -> Scores:
    """Return the float64 scores of some rows, (len(rows),)."""
    return np.asarray(_scores(matrix, query[np.newaxis], metric, rows[np.newaxis])[0])


def _scores(matrix: Matrix, queries: npt.NDArray[np.float64], metric: Metric, rows: Rows) -> Scores:
    """Return the float64 scores of the rows (n, m) of each query (n, D); of a row −1 any score."""
    scores = np.empty(rows.shape)
    vectors, norms = np.asarray(matrix.vectors), np.asarray(matrix.norms)  # indexing a memmap takes 10 µs more
    together = max(1, RESCORED // max(1, rows.shape[1]))
    for start in range(0, len(rows), together):
        part = slice(start, start + together)
        for left in range(0, rows.shape[1], SCAN_BLOCK):
            some = rows[part, left : left + SCAN_BLOCK]
            scores[part, left : left + SCAN_BLOCK] = _exact(
                vectors[some].astype(np.float64), norms[some], queries[part, np.newaxis], metric
            )
    return scores


def _exact(
    vectors: npt.NDArray[np.float64], norms: npt.NDArray[np.float64], query: npt.NDArray[np.float64], metric: Metric
) -> Scores:
    """Return the scores of rows (…, m, D) for a query (D,), or for one each (…, 1, D), in float64; spoils the rows.

    Sums run along each row, so that equal rows get equal scores to the last bit, whatever rows are beside them
    (a matrix product's kernels do not promise that).
    """
    if metric is Metric.L2:
        vectors -= query
        return np.asarray(np.square(vectors, out=vectors).sum(axis=-1))
    vectors *= query
    products = np.asarray(vectors.sum(axis=-1))
    return _cosines(products, norms, query) if metric is Metric.COSINE else products


def _cosines(products: Scores, norms: npt.NDArray[np.float64], query: npt.NDArray[np.float64]) -> Scores:
    # Each by itself: summed along an axis, a norm may differ in its last bit.
    length = [float(np.linalg.norm(each)) for each in query.reshape(-1, query.shape[-1])]
    lengths = norms * np.reshape(length, query.shape[:-1])
    return np.asarray(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))


def _rescored(
    matrix: Matrix,
    queries: npt.NDArray[np.float64],
    k: int,
    metric: Metric,
    rows: Rows,
    allowed: npt.NDArray[np.bool_],
) -> list[tuple[Rows, Scores]]:
    """Return the best k of the allowed candidates of each query, rescored in float64."""
    scores = _scores(matrix, queries, metric, rows)
    order = np.lexsort((rows, scores if metric is Metric.L2 else -scores, ~allowed), axis=-1)[:, :k]
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    counts = np.minimum(allowed.sum(axis=1), k).tolist()
    return [(rows[place, :count], scores[place, :count]) for place, count in enumerate(counts)]


def _best(rows: Rows, scores: Scores, k: int, metric: Metric) -> tuple[Rows, Scores]:
    order = np.lexsort((rows, scores if metric is Metric.L2 else -scores))[:k]
    return rows[order], scores[order]


def _parts(queries: list[int], most: int) -> Iterator[list[int]]:
    return (queries[start : start + most] for start in range(0, len(queries), most))


def _in_float32(queries: npt.NDArray[np.float64], metric: Metric) -> npt.NDArray[np.float32]:
    if metric is Metric.COSINE:
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # such a query proves nothing, and is answered in float64
        return queries.astype(np.float32)


def _outlook(metric: Metric, k: int, scores: Scores, last: float, error: float) -> tuple[bool, bool]:
    """Tell whether every row outside the candidates is worse than the k-th answer, and if not, if more may prove it.

    `last` is the worst float32 score among the candidates: no row outside has a better one, nor a true score
    that is better by more than `error`. More candidates will not do where their scores lie far closer together
    than that.
    """
    if len(scores) < k:
        return False, error < np.inf
    margin = last - float(scores[-1]) if metric is Metric.L2 else float(scores[-1]) - last
    return margin > error, margin * GROWTH > error


def _scan(
    matrix: Matrix, queries: npt.NDArray[np.float64], k: int, metric: Metric, choice: Choice, chosen: list[int]
) -> list[tuple[Rows, Scores]]:
    """Return the answers to the chosen queries out of all rows, a block at a time for all of them.

    A float64 product tells which rows of a block may still be among the best k; only those are summed exactly.
    """
    best = [(np.empty(0, dtype=np.int64), np.empty(0)) for _ in chosen]
    for start in range(0, len(matrix.vectors), SCAN_BLOCK):
        part = slice(start, start + SCAN_BLOCK)
        keep = slice(None) if choice.keep is None else choice.keep[part]
        rows = np.arange(len(matrix.vectors), dtype=np.int64)[part][keep]
        vectors, norms = matrix.vectors[part][keep].astype(np.float64), matrix.norms[part][keep]
        products = queries[chosen] @ vectors.T
        for place, query in enumerate(chosen):
            low, high = _range(products[place], norms, queries[query], metric)
            known_rows, known = best[place]
            worst = np.inf if len(known) < k else (known[-1] if metric is Metric.L2 else -known[-1])
            near = np.flatnonzero(~(low > worst))  # so written, NaN counts as near
            near = near[choice.allows([query], rows[np.newaxis, near])[0]]
            if len(near) > k:
                near = near[~(low[near] > np.partition(high[near], k - 1)[k - 1])]
            if len(near) > 0:
                scores = _exact(vectors[near], norms[near], queries[query], metric)
                both = np.concatenate([known_rows, rows[near]]), np.concatenate([known, scores])
                best[place] = _best(*both, k, metric)
    return best


def _range(
    products: Scores, norms: npt.NDArray[np.float64], query: npt.NDArray[np.float64], metric: Metric
) -> tuple[Scores, Scores]:
    """Return between what bounds the exact scores of rows lie, given their products with the query in float64.

    Of `cosine` and `ip` the negative, so that smaller is nearer. Twice the bound of `_float32_error` in float64,
    as both the product and the exact sums may err; a query that is no longer `TAME` bounds nothing.
    """
    gamma = 2 * (len(query) + 16) * DOUBLE
    length = float(np.linalg.norm(query))
    if not 1 / TAME < length < TAME:
        return np.full_like(products, -np.inf), np.full_like(products, np.inf)
    if metric is Metric.L2:
        middle, error = norms**2 + length**2 - 2 * products, gamma * (norms + length) ** 2
    elif metric is Metric.IP:
        middle, error = -products, gamma * norms * length
    else:
        middle, error = -_cosines(products, norms, query), np.full_like(products, gamma)
    return middle - error, middle + error


def _float32_error(metric: Metric, query: npt.NDArray[np.float64], longest: float) -> float:
    """Return the most that a score in float32 can be wrong by; infinite where it may overflow.

    A float32 inner product of D terms errs by at most γ‖x‖‖y‖, γ = D·u/(1 − D·u), in whatever order it is summed
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); a few more units cover the rounding of
    the query (and of rows scaled to length 1) and the final sums. For few queries faiss sums (x − y)², for many
    ‖x‖² + ‖y‖² − 2xy: the bound of the latter, γ(‖x‖ + ‖y‖)², covers both. Beyond that every product, and every
    component of the query, may lose what is below the normal numbers. Twice all that is returned.
    """
    dimensions = len(query)
    gamma = (dimensions + 16) * SINGLE
    length = float(np.linalg.norm(query))
    if metric is Metric.COSINE:
        length = longest = 1.0
    size = (length + longest) ** 2 if metric is Metric.L2 else length * longest
    if max(size, length, longest) > LARGEST:
        return float("inf")
    return 2 * (gamma * size + 4 * dimensions * SMALLEST * (1 + length + longest))
