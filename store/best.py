"""The nearest items of several vectors each: an item is as near as the nearest of its centres."""

import numpy as np
import numpy.typing as npt

from kotovec.space import Space
from kotovec.store import index as indexes
from kotovec.store.finder import Finder
from kotovec.store.gaps import Gaps
from kotovec.store.library import on_gpus
from kotovec.store.metric import Metric
from kotovec.store.nearest import Candidates, Choice, Matrix, Neighbourhood, Rows, nearest
from kotovec.store.prototypes import Prototypes, of_parts
from kotovec.store.search import search_gpu, search_vectors
from kotovec.store.vectors import Vectors


class BestFinder(Finder):
    """Finds the rows whose nearest centres are nearest; the vector of a row as a query is the mean of its contexts.

    The best `most` times k centres, where no row has more than `most`, are of k rows or more: the first k of these are
    the answer.
    """

    def __init__(
        self, metric: Metric, means: Matrix, centres: Matrix, prototypes: Prototypes, candidates: Candidates, gaps: Gaps
    ) -> None:
        super().__init__(metric, means, candidates, None, gaps)
        self._centres, self._owners, self._offsets = centres, prototypes.owners, prototypes.offsets
        self._most = int(np.diff(prototypes.offsets).max(initial=1))

    def _find(self, queries: npt.NDArray[np.float64], k: int, chosen: Choice, *, exact: bool) -> list[Neighbourhood]:
        keep = None if chosen.keep is None else chosen.keep[self._owners]
        of_centres = Choice([self._centres_of(rows) for rows in chosen.skip], keep)
        count = min(k * self._most, len(self._owners))
        found = nearest(self._centres, queries, count, self.metric, of_centres, self.candidates, exact=exact)
        return [self._of_rows(near, k) for near in found]

    def _centres_of(self, rows: Rows) -> Rows:
        """Return the centres of some rows, of which some may not exist."""
        inside = [row for row in np.asarray(rows, dtype=np.int64).tolist() if 0 <= row < len(self._offsets) - 1]
        parts = [np.arange(self._offsets[row], self._offsets[row + 1]) for row in inside]
        return np.concatenate([np.empty(0, dtype=np.int64), *parts])

    def _of_rows(self, near: Neighbourhood, k: int) -> Neighbourhood:
        """Return the first k rows of some centres, each where its best centre is: equal scores stay in row order."""
        rows, first = np.unique(self._owners[near.rows], return_index=True)
        order = np.argsort(first)[:k]
        return Neighbourhood(rows[order], near.scores[first[order]])


def open_best(vectors: Vectors, space: Space, metric: Metric, device: str) -> BestFinder:
    """Return the finder for a space of prototypes, all centres of which are searched: it has no index.

    Args:
        vectors: the vectors of the store.
        space: the space.
        metric: how nearness is measured.
        device: `cpu` or `cuda`.

    Raises:
        InputError: the device is `cuda`, but faiss sees no GPU.
        DamagedError: the file of the space is damaged.
    """
    means = Matrix(np.asarray(vectors.array(space)), np.asarray(vectors.norms(space)))
    prototypes = of_parts(vectors.parts(space))
    centres = Matrix(np.asarray(prototypes.centres), np.asarray(prototypes.norms))
    candidates = search_vectors(centres, metric)
    if device == "cuda":
        candidates = search_gpu(on_gpus(indexes.flat(centres, metric)), candidates, len(centres.vectors))
    return BestFinder(metric, means, centres, prototypes, candidates, Gaps(vectors, space))
