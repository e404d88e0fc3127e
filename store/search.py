"""Search with faiss: in an index, on GPUs, or in the vectors themselves, without an index."""

import contextlib
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, StoreError
from kotovec.store.library import import_faiss, kind, reason, single_thread
from kotovec.store.metric import Metric
from kotovec.store.nearest import Candidates, Matrix, Rows
from kotovec.store.products import BLOCK, FEWEST, blocks, search_products

GPU_MOST = 2048  # most candidates that faiss finds on a GPU


def search_index(index: Any, name: str = "", rows: int | None = None) -> Candidates:
    """Return the candidates that an index finds.

    Args:
        index: an index of faiss.
        name: its name, for errors about it.
        rows: number of rows of the space, where the index may lack some; None for those of the index.
    """
    total = index.ntotal if rows is None else rows

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        try:
            with _threads_for(queries):
                scores, rows = index.search(queries, count)
        except (RuntimeError, MemoryError) as error:  # such as parameters of an index that kotovec 0.1.0 accepted
            hint = "search every vector with --exact, or build the index again with `kotovec index`"
            raise StoreError(f"a search in the index {name} fails ({reason(error)})", hint=hint) from error
        # An index may be anyone's; -1 stands for a row that was not found.
        if rows.size and (rows.min() < -1 or rows.max() >= total):
            raise DamagedError(
                "an index of the store is damaged: it finds rows that do not exist",
                hint="build it again with `kotovec index`",
            )
        return scores, rows

    return candidates


def search_flat(index: Any, matrix: Matrix, metric: Metric) -> Candidates:
    """Return the candidates that a Flat index of the vectors finds for few queries, and matrix products for many."""
    for_few, for_many = search_index(index), search_products(matrix, metric)
    return lambda queries, count: (for_few if len(queries) < FEWEST else for_many)(queries, count)


def _threads_for(queries: npt.NDArray[np.float32]) -> contextlib.AbstractContextManager[None]:
    """Search a single query on one thread.

    faiss gives each thread whole queries, so more threads only wake up and wait: 8 ms then become up to 40 ms.
    """
    return single_thread() if len(queries) == 1 else contextlib.nullcontext()


def search_gpu(index: Any, on_cpu: Candidates, rows: int) -> Candidates:
    """Return the candidates of an index on GPUs; those of `on_cpu` if faiss' GPU code cannot find enough."""
    on_gpu = search_index(index, rows=rows)
    lock = Lock()  # the scratch memory of faiss' GPU resources is for one thread at a time

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        if count > GPU_MOST:
            return on_cpu(queries, count)
        with lock:
            return on_gpu(queries, count)

    return candidates


def search_vectors(matrix: Matrix, metric: Metric) -> Candidates:
    """Return the candidates that are found in the vectors themselves, with no index, block by block."""
    faiss = import_faiss()
    for_many = search_products(matrix, metric)

    def candidates(queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.float32], Rows]:
        if len(queries) >= FEWEST:
            return for_many(queries, count)
        scores = np.empty((len(queries), 0), dtype=np.float32)
        rows = np.empty((len(queries), 0), dtype=np.int64)
        for start, block in blocks(matrix, metric, BLOCK):
            with _threads_for(queries):
                block_scores, block_rows = faiss.knn(queries, block, min(count, len(block)), metric=kind(faiss, metric))
            if start == 0:
                scores, rows = block_scores, block_rows
                continue
            # Merged block by block: keeping the candidates of all blocks would multiply the memory by their number.
            scores, rows = np.hstack([scores, block_scores]), np.hstack([rows, block_rows + start])
            order = np.argsort(metric.sign * scores, axis=1, kind="stable")[:, :count]
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        return scores, rows

    return candidates
