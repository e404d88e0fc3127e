"""Candidates for many queries at once: products of float32 matrices by numpy, and the best of them block by block.

The faiss wheels ship an OpenBLAS of 2021: 1,000 queries of 32,000 x 768 take faiss 1.6 s on one thread, and this module
0.5 s. For few queries faiss, which then needs no product, is faster.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kotovec.store.metric import Metric
from kotovec.store.nearest import Candidates, Matrix, Rows

BLOCK = 65536  # rows that faiss searches or adds at a time: 200 MB at 768 dimensions
LARGEST = 1 << 28  # bytes of a block: a sparse file may claim rows of 131,072 dimensions, of which 65,536 take 34 GB
FEWEST = 8  # fewest queries for which this pays: 44 ms against faiss' 77 ms; for four it is 44 ms against 38 ms
ROWS = 2048  # rows in a product: with 1,024 queries 8 MB, which stay in the cache while the best are searched for
FIRST = 512  # rows in the first product, all of which are sorted; of the next ones only those that beat the best
QUERIES = 1024  # queries in a product


def blocks(matrix: Matrix, metric: Metric, most: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield the number of its first row and each float32 block; for cosine, at length 1 (zero rows stay zero).

    A block has `most` rows, or as many as make 256 MB.
    """
    most = _within(most, matrix)
    yield from _pieces(matrix, metric, ((start, start + most) for start in range(0, len(matrix.vectors), most)))


def _within(count: int, matrix: Matrix) -> int:
    dimensions: int = matrix.vectors.shape[1]
    return min(count, max(1, LARGEST // max(1, 4 * dimensions)))


def _pieces(
    matrix: Matrix, metric: Metric, bounds: Iterator[tuple[int, int]]
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    for start, stop in bounds:
        yield start, metric.scaled(np.asarray(matrix.vectors[start:stop]), matrix.norms[start:stop])


def search_products(matrix: Matrix, metric: Metric) -> Candidates:
    """Return the candidates that matrix products find: for l2 by ‖x‖² + ‖y‖² − 2xy."""

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        together = _within(QUERIES, matrix)
        parts = [
            _search(matrix, metric, queries[start : start + together], count)
            for start in range(0, len(queries), together)
        ]
        return np.concatenate([scores for scores, _ in parts]), np.concatenate([rows for _, rows in parts])

    return candidates


def _search(
    matrix: Matrix, metric: Metric, queries: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.float32], Rows]:
    """Return the best of all rows for each query; smaller is better until the end."""
    best = np.full((len(queries), count), np.inf, dtype=np.float32)
    rows = np.full(best.shape, -1, dtype=np.int64)
    factors = queries * np.float32(-2 if metric.is_distance else -1)
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is never a candidate, nor proven
        for start, block in _pieces(matrix, metric, _growing(matrix, count)):
            scores: npt.NDArray[np.float32] = np.matmul(factors, block.T)
            if metric.is_distance:
                scores += np.einsum("ij,ij->i", block, block)
            _take(best, rows, scores, start)
        order = np.argsort(best, axis=1)
        best, rows = np.take_along_axis(best, order, axis=1), np.take_along_axis(rows, order, axis=1)
        if metric.is_distance:
            return best + np.einsum("ij,ij->i", queries, queries)[:, np.newaxis], rows
        return -best, rows


def _growing(matrix: Matrix, count: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of blocks, each twice as large as the last up to `ROWS`; at least `count` if bytes allow."""
    start, size = 0, max(FIRST, count)
    while start < len(matrix.vectors):
        size = _within(size, matrix)
        yield start, start + size
        start, size = start + size, max(count, min(2 * size, ROWS))


def _take(best: npt.NDArray[np.float32], rows: Rows, scores: npt.NDArray[np.float32], start: int) -> None:
    """Merge the scores that beat the worst of the best so far, their last column, into the best.

    Finding them takes a tenth of the time of sorting; among 32,000 rows in no order they are about a hundred per query.
    """
    owners, offsets = np.nonzero(scores < best[:, -1:])
    if len(owners) == 0:
        return
    each = np.bincount(owners, minlength=len(best))
    columns = np.arange(len(owners)) - np.repeat(np.cumsum(each) - each, each)
    wide = best.shape[1] + int(each.max())
    all_scores = np.full((len(best), wide), np.inf, dtype=np.float32)
    all_rows = np.full(all_scores.shape, -1, dtype=np.int64)
    all_scores[:, : best.shape[1]], all_rows[:, : best.shape[1]] = best, rows
    all_scores[owners, best.shape[1] + columns] = scores[owners, offsets]
    all_rows[owners, best.shape[1] + columns] = start + offsets
    # After the partition, the worst of the best is last.
    order = np.argpartition(all_scores, best.shape[1] - 1, axis=1)[:, : best.shape[1]]
    best[:] = np.take_along_axis(all_scores, order, axis=1)
    rows[:] = np.take_along_axis(all_rows, order, axis=1)
