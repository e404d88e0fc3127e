"""A finder of the nearest rows in one space by one metric: with the store's index for them, or without one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, NotStoredError
from kotovec.space import Space
from kotovec.store import index as indexes
from kotovec.store.library import on_gpus
from kotovec.store.metric import Metric
from kotovec.store.nearest import Candidates, Choice, Matrix, Neighbourhood, Rows, nearest
from kotovec.store.search import search_flat, search_gpu, search_index, search_vectors
from kotovec.store.vectors import Vectors

NO_ROWS: Rows = np.empty(0, dtype=np.int64)


class Finder:
    """Finds the nearest rows; several threads may use it at once.

    Attributes:
        metric: how nearness is measured.
        matrix: the rows that are searched.
        candidates: the function that finds candidates among the rows.
        warning: a warning for a person if the candidates are approximate; otherwise None.
    """

    # Not a dataclass: defining one takes 0.4 ms of a query's 250 ms.
    def __init__(self, metric: Metric, matrix: Matrix, candidates: Candidates, warning: str | None) -> None:
        self.metric, self.matrix, self.candidates, self.warning = metric, matrix, candidates, warning

    def nearest(
        self,
        queries: npt.NDArray[np.float64],
        k: int,
        skip: Sequence[Rows] | npt.NDArray[np.int64] | None = None,
        keep: npt.NDArray[np.bool_] | None = None,
    ) -> list[Neighbourhood]:
        """Return the k nearest rows of each of the (n, D) queries; fewer if `skip` and `keep` leave fewer.

        Raises:
            InputError: the shapes do not fit, or a query is not finite.
        """
        count, size = self.matrix.vectors.shape
        if queries.ndim != 2 or queries.shape[1] != size:  # noqa: PLR2004  # a matrix has two axes
            raise InputError(f"the queries are of shape {queries.shape}", hint=f"give one row per query, (n, {size})")
        with np.errstate(over="ignore"):
            lengths = np.linalg.norm(queries, axis=1)
        if not np.isfinite(lengths).all():
            raise InputError("a query is not finite, or too long to be squared in float64")
        if skip is not None and len(skip) != len(queries):
            raise InputError(
                f"skip has {len(skip)} entries for {len(queries)} queries", hint="give rows for each query"
            )
        if keep is not None and (keep.shape != (count,) or keep.dtype != np.bool_):
            raise InputError(f"keep is {keep.dtype} of shape {keep.shape}", hint=f"give bool of shape ({count},)")
        if len(queries) == 0:
            return []
        chosen = Choice([NO_ROWS] * len(queries) if skip is None else list(skip), keep)
        return nearest(self.matrix, queries, k, self.metric, chosen, self.candidates, exact=self.warning is None)

    def vectors_of(self, rows: Sequence[int] | Rows) -> npt.NDArray[np.float64]:
        """Return the vectors of some rows, (n, D) float64.

        Raises:
            NotStoredError: a row does not exist.
        """
        chosen, count = np.asarray(rows, dtype=np.int64).reshape(-1), len(self.matrix.vectors)
        if outside := chosen[(chosen < 0) | (chosen >= count)].tolist():
            raise NotStoredError(f"this store has no row {outside[0]}: its rows go from 0 to {count - 1}")
        return self.matrix.vectors[chosen].astype(np.float64)


def open_finder(vectors: Vectors, folder: Path, space: Space, metric: Metric, device: str, *, exact: bool) -> Finder:
    """Return the finder for a space and a metric.

    Args:
        vectors: the vectors of the store.
        folder: the folder of its indexes.
        space: a stored space.
        metric: how nearness is measured.
        device: `cpu` or `cuda`.
        exact: use no approximate index.

    Raises:
        DamagedError: the index is damaged.
        InputError: the device is `cuda`, but faiss sees no GPU.
        MissingDependencyError: faiss is not installed.
    """
    matrix = Matrix(np.asarray(vectors.array(space)), np.asarray(vectors.norms(space)))
    loaded = indexes.load(vectors, folder, space, metric)
    if loaded is not None and exact and loaded[1].factory != indexes.FLAT:
        loaded = None
    warning = None
    if loaded is None:
        on_cpu = search_vectors(matrix, metric)
    elif loaded[1].factory == indexes.FLAT:
        on_cpu = search_flat(loaded[0], matrix, metric)
    else:
        on_cpu = search_index(loaded[0])
        warning = f"found with the approximate index {loaded[1].factory}: --exact searches every vector"
    if device == "cuda":
        index = on_gpus(loaded[0] if loaded else indexes.flat(matrix, metric))
        return Finder(metric, matrix, search_gpu(index, on_cpu), warning)
    return Finder(metric, matrix, on_cpu, warning)
