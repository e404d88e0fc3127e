"""The exact nearest rows: candidates by faiss in float32, decided in float64, with a proof that none is missing.

A bound on the float32 error proves that no row outside the candidates belongs to the answer; where it cannot, more
candidates are fetched. Scores: `l2` is the squared distance, as faiss reports it, smaller is nearer; for `cosine` and
`ip` (inner product) larger is nearer. A zero row has cosine 0. Equal scores are ordered by token id.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

SLACK = 16  # candidates beyond k: with 8, one in ten queries had to ask again; with 16, one in fifty
GROWTH = 4  # how many times more candidates the next round asks for
SCAN_BLOCK = 4096  # rows that a full float64 scan converts at a time: 25 MB at 768 dimensions
UNIT_ROUNDOFF = 2.0**-24  # of float32
SMALLEST = 2.0**-126  # of the normal float32: what is below may count as zero
LARGEST = 2.0**127  # half of what float32 can hold

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
    """What is searched: vectors (V, D) as stored, and their norms (V,) float64."""

    vectors: npt.NDArray[np.floating[Any]]
    norms: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """Which rows may be answers: not those of `skip` (per query), and only those of `keep` (V,) bool, if given."""

    skip: Sequence[Rows]
    keep: npt.NDArray[np.bool_] | None = None

    def allowed(self, query: int, rows: Rows) -> Rows:
        """Return those of the rows that may answer a query."""
        rows = rows[(rows >= 0) & ~np.isin(rows, self.skip[query])]
        return rows if self.keep is None else rows[self.keep[rows]]


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
    longest_row = float(matrix.norms.max())
    longest = max((len(rows) for rows in choice.skip), default=0)
    share = 1.0 if choice.keep is None else max(1, int(choice.keep.sum())) / total
    count = min(total, int((k + longest + SLACK) / share) + 1)
    answers: dict[int, tuple[Rows, Scores]] = {}
    waiting = list(range(len(queries)))
    while waiting and (count <= total // GROWTH or not exact):
        block = queries[waiting]
        if metric is Metric.COSINE:
            block = block / np.linalg.norm(block, axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # such a query proves nothing, and is answered in float64
            scores, rows = candidates(block.astype(np.float32), count)
        unsure = []
        for place, query in enumerate(waiting):
            answer = _rescored(matrix, queries[query], k, metric, choice.allowed(query, rows[place]))
            error = _float32_error(metric, queries[query], longest_row)
            if not exact or _is_proven(metric, k, answer[1], float(scores[place, -1]), error):
                answers[query] = answer
            else:
                unsure.append(query)
        waiting, count = unsure, count * GROWTH
    for query in waiting:
        answers[query] = _rescored(
            matrix, queries[query], k, metric, choice.allowed(query, np.arange(total, dtype=np.int64))
        )
    return [answers[query] for query in range(len(queries))]


def score(matrix: Matrix, query: npt.NDArray[np.float64], metric: Metric, rows: Rows) -> npt.NDArray[np.float64]:
    """Return the float64 scores of some rows, (len(rows),).

    Sums run along each row, so that equal rows get equal scores to the last bit (a matrix product's kernels
    do not promise that).
    """
    return np.concatenate([np.empty(0), *_block_scores(matrix, query, metric, rows)])


def _block_scores(
    matrix: Matrix, query: npt.NDArray[np.float64], metric: Metric, rows: Rows
) -> Iterator[npt.NDArray[np.float64]]:
    length = float(np.linalg.norm(query))
    for start in range(0, len(rows), SCAN_BLOCK):
        chosen = rows[start : start + SCAN_BLOCK]
        vectors = matrix.vectors[chosen].astype(np.float64)
        if metric is Metric.L2:
            yield ((vectors - query) ** 2).sum(axis=1)
            continue
        products = (vectors * query).sum(axis=1)
        if metric is Metric.COSINE:
            lengths = matrix.norms[chosen] * length
            products = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        yield products


def _rescored(
    matrix: Matrix, query: npt.NDArray[np.float64], k: int, metric: Metric, rows: Rows
) -> tuple[Rows, Scores]:
    scores = score(matrix, query, metric, rows)
    order = np.lexsort((rows, scores if metric is Metric.L2 else -scores))[:k]
    return rows[order], scores[order]


def _is_proven(metric: Metric, k: int, scores: Scores, last: float, error: float) -> bool:
    """Tell whether every row outside the candidates is worse than the k-th answer.

    `last` is the worst float32 score among the candidates: no row outside has a better one, nor a true score
    that is better by more than `error`.
    """
    if len(scores) < k:
        return False
    return float(scores[-1]) < last - error if metric is Metric.L2 else float(scores[-1]) > last + error


def _float32_error(metric: Metric, query: npt.NDArray[np.float64], longest: float) -> float:
    """Return the most that a score in float32 can be wrong by; infinite where it may overflow.

    A float32 inner product of D terms errs by at most γ‖x‖‖y‖, γ = D·u/(1 − D·u), in whatever order it is summed
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); a few more units cover the rounding of
    the query (and of rows scaled to length 1) and the final sums. For few queries faiss sums (x − y)², for many
    ‖x‖² + ‖y‖² − 2xy: the bound of the latter, γ(‖x‖ + ‖y‖)², covers both. Beyond that every product, and every
    component of the query, may lose what is below the normal numbers. Twice all that is returned.
    """
    dimensions = len(query)
    gamma = (dimensions + 16) * UNIT_ROUNDOFF
    length = float(np.linalg.norm(query))
    if metric is Metric.COSINE:
        length = longest = 1.0
    size = (length + longest) ** 2 if metric is Metric.L2 else length * longest
    if max(size, length, longest) > LARGEST:
        return float("inf")
    return 2 * (gamma * size + 4 * dimensions * SMALLEST * (1 + length + longest))
