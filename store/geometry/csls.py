"""CSLS: cosines less how crowded both sides are, so that hubs are no longer among the nearest of everything.

The score of a row x for a query q is 2·cos(q, x) − r(q) − r(x), where r is the mean cosine with the ten nearest rows
(Conneau et al. 2018, "Word Translation Without Parallel Data"). Of rows, r comes from the neighbours that the store
keeps. Of a query, it leaves out rows of the query's own direction, such as a token's own row.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotovec.errors import NotStoredError
from kotovec.space import Space
from kotovec.store.finder import Finder
from kotovec.store.gaps import Gaps
from kotovec.store.geometry.kept import read_kept
from kotovec.store.metric import Metric
from kotovec.store.nearest import Choice, Matrix, Neighbourhood, Scores, within
from kotovec.store.prototypes import check_single
from kotovec.store.search import search_vectors
from kotovec.store.vectors import Vectors
from kotovec.text import argument

AROUND = 10  # nearest rows whose mean cosine is r, as by Conneau et al.
TOGETHER = 32  # queries whose cosines with all rows are in memory: 64 MB of 250,000 rows
BLOCK = 4096  # rows in a product: 25 MB in float64 at 768 dimensions
SAME = 1e-9  # 1 − cosine below which a row has the query's own direction
MARGIN = 1e-11  # cosines of a product in float64 err by less, up to 10,000 dimensions


class CslsFinder(Finder):
    """Finds the best rows by CSLS: by products in float64, decided by sums along each row.

    Attributes:
        crowding: (V,) r of each row.
    """

    def __init__(self, matrix: Matrix, crowding: Scores, gaps: Gaps) -> None:
        super().__init__(Metric.CSLS, matrix, search_vectors(matrix, Metric.COSINE), None, gaps)
        self.crowding = crowding

    def _find(self, queries: npt.NDArray[np.float64], k: int, chosen: Choice, *, exact: bool) -> list[Neighbourhood]:  # noqa: ARG002 — always
        found = []
        for start in range(0, len(queries), TOGETHER):
            part = queries[start : start + TOGETHER]
            for index, cosines in enumerate(self._cosines(part)):
                found.append(self._best(part[index], cosines, k, chosen, start + index))
        return found

    def score(self, query: npt.NDArray[np.float64]) -> Scores:
        """Return the scores of all rows for a query (D,), (V,)."""
        (cosines,) = self._cosines(query[np.newaxis])
        return self._scores(query, cosines, np.arange(len(cosines)))

    def _cosines(self, queries: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the cosines of queries (n, D) with all rows, (n, V), 0 with zeros, by products."""
        units = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        found = np.empty((len(queries), len(self.matrix.vectors)))
        step = within(BLOCK, self.matrix)
        for start in range(0, found.shape[1], step):
            part = slice(start, start + step)
            products = units @ self.matrix.vectors[part].astype(np.float64).T
            norms = self.matrix.norms[part]
            found[:, part] = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
        return found

    def _best(
        self, query: npt.NDArray[np.float64], cosines: Scores, k: int, chosen: Choice, number: int
    ) -> Neighbourhood:
        allowed = np.ones(len(cosines), dtype=np.bool_) if chosen.keep is None else chosen.keep.copy()
        skipped = np.asarray(chosen.skip[number], dtype=np.int64)
        allowed[skipped[(skipped >= 0) & (skipped < len(allowed))]] = False
        rows = np.flatnonzero(allowed)
        scores = 2 * cosines[rows] - self.crowding[rows]
        if 0 < k < len(rows):
            rows = rows[scores >= np.partition(scores, -k)[-k] - MARGIN]
        scores = self._scores(query, cosines, rows)
        order = np.lexsort((rows, -scores))[:k]
        return Neighbourhood(rows[order], scores[order])

    def _scores(self, query: npt.NDArray[np.float64], cosines: Scores, rows: npt.NDArray[np.int64]) -> Scores:
        """Return the scores of some rows, each summed along its row."""
        others = cosines[(1 - cosines > SAME) & (self.matrix.norms > 0)]
        count = min(AROUND, len(others))
        around = float(np.partition(others, -count)[-count:].mean()) if count else 0.0
        found, step = np.empty(len(rows)), within(BLOCK, self.matrix)
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            vectors, norms = self.matrix.vectors[some].astype(np.float64), self.matrix.norms[some]
            found[start : start + step] = Metric.COSINE.exact(vectors, norms, query)
        return 2 * found - around - self.crowding[rows]


def open_csls(vectors: Vectors, measures: Path, space: Space) -> CslsFinder:
    """Return the finder of a space by CSLS.

    Args:
        vectors: the vectors of the store.
        measures: the folder of what the store keeps of its neighbours.
        space: the space.

    Raises:
        NotStoredError: the store does not keep the neighbours of the space; the hint names the command that finds them.
        InputError: the space has several vectors per token.
    """
    space = space.among(vectors.spaces)
    check_single(space, "CSLS")
    matrix = Matrix(np.asarray(vectors.array(space)), np.asarray(vectors.norms(space)))
    count = max(1, min(AROUND, len(matrix.vectors) - 1))
    kept = read_kept(measures, space, Metric.COSINE, vectors.checksum(space), count, len(matrix.vectors))
    if kept is None:
        command = f"kotovec neighbours --space {space} --store {argument(str(vectors.path))}"
        problem = f"CSLS needs the nearest tokens of every token of {space}"
        raise NotStoredError(problem, hint=f"run `{command}`")
    return CslsFinder(matrix, crowding(kept.rows, kept.scores), Gaps(vectors, space))


def crowding(rows: npt.NDArray[np.int64], scores: Scores) -> Scores:
    """Return the mean score of each row's neighbours (V, k), (V,); 0 where it has none."""
    counts = (rows >= 0).sum(axis=1)
    return np.asarray(np.where(rows >= 0, scores, 0.0).sum(axis=1) / np.maximum(1, counts))
