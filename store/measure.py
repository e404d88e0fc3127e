"""Build an index for a store, and measure what an approximate one loses and gains against Flat."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.space import Space
from kotovec.store import index as indexes
from kotovec.store.database import Store
from kotovec.store.index import FLAT, IndexRecord
from kotovec.store.layout import Layout
from kotovec.store.library import choose_device
from kotovec.store.lock import locked
from kotovec.store.metric import Metric
from kotovec.store.nearest import Candidates, Matrix
from kotovec.store.search import search_flat, search_index

QUERIES = 1000  # sampled tokens
NEIGHBOURS = 10
SEED = 0


@dataclass(frozen=True)
class Measured:
    """An index compared with Flat.

    Attributes:
        recall_at_10: the share of the ten true nearest tokens that the index finds, the mean over the queries.
        queries_per_second, flat_queries_per_second: the rates of the index and of Flat, in one batch each.
        queries: how many tokens were used as queries.
    """

    recall_at_10: float
    queries_per_second: float
    flat_queries_per_second: float
    queries: int


def build_index(
    store: Store,
    space: Space | str = "static",
    metric: str = "l2",
    *,
    factory: str = FLAT,
    parameters: str = "",
    device: str = "auto",
) -> tuple[IndexRecord, Measured | None]:
    """Build an index, in place of the last one of its space and metric.

    Returns:
        The record of the index and, for anything but Flat, how it compares with Flat.

    Raises:
        NotStoredError: no such space.
        InputError: no such metric or device, or faiss cannot build it.
        StoreBusyError: another process is building this store, or an index of it.
        StoreError: the store was replaced since it was opened.
    """
    measure, space, chosen = Metric.parse(metric), store.space(space), choose_device(device, many=True)
    folder = Layout(store.path).indexes
    with locked(Layout(store.path)):  # two at once would write the same temporary file
        store.check_current()
        record = indexes.build(
            store.vectors,
            folder,
            space,
            measure,
            factory=factory,
            parameters=parameters,
            check=store.check_current,
            device=chosen,
        )
    if factory == FLAT:
        return record, None
    return record, _measure(store, space, measure)


def _measure(store: Store, space: Space, metric: Metric) -> Measured | None:
    matrix = Matrix(store.array(space), store.norms(space))
    loaded = indexes.load(store.vectors, Layout(store.path).indexes, space, metric)
    if loaded is None:
        return None
    total = len(matrix.vectors)
    rows = np.random.default_rng(SEED).choice(total, size=min(QUERIES, total), replace=False)
    queries = metric.scaled(matrix.vectors[rows], matrix.norms[rows])
    count = min(NEIGHBOURS, total)
    found, speed = _timed(search_index(loaded[0]), queries, count)
    true, flat_speed = _timed(search_flat(indexes.flat(matrix, metric), matrix, metric), queries, count)
    hits = sum(np.isin(mine, theirs).sum() for mine, theirs in zip(found, true, strict=True))
    return Measured(float(hits) / true.size, speed, flat_speed, len(rows))


def _timed(search: Candidates, queries: npt.NDArray[np.float32], count: int) -> tuple[npt.NDArray[np.int64], float]:
    search(queries[:1], count)  # maps the file and wakes the threads
    begin = time.perf_counter()
    _, rows = search(queries, count)
    return rows, len(queries) / (time.perf_counter() - begin)
