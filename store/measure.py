"""Build an index for a store, and measure what an approximate one loses and gains against an exact search."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec import access
from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store import index as indexes
from kotovec.store.database import Store
from kotovec.store.factories import FLAT
from kotovec.store.finder import Finder
from kotovec.store.index_record import IndexRecord
from kotovec.store.layout import Layout
from kotovec.store.library import choose_device
from kotovec.store.lock import locked
from kotovec.store.metric import Metric
from kotovec.store.nearest import Neighbourhood, Rows
from kotovec.store.prototypes import check_single
from kotovec.store.searched import open_finder
from kotovec.text import parts

QUERIES = 1000  # sampled tokens, and sums of tokens
TERMS = 3  # of a sum
NEIGHBOURS = 10
SEED = 0


@dataclass(frozen=True)
class Measured:
    """An index compared with an exact search, by what `Store.search` answers with it.

    Attributes:
        recall_at_10: the share of the `nearest` true nearest tokens of a token, itself left out, that are found; the
            mean over the queries. A token that is as near as the last of them counts as one of them.
        recall_at_10_of_sums: the same for sums of tokens, a − b + c, whose own tokens are left out.
        nearest, nearest_of_sums: how many true nearest tokens these are: 10, unless the store has fewer others.
        filled: the number of all these queries for which the index found too few, so that all rows were searched.
        queries_per_second, flat_queries_per_second: the rates with the index and without it, in one batch each.
        queries: how many tokens, and how many sums, were used as queries.
    """

    recall_at_10: float
    recall_at_10_of_sums: float
    nearest: int
    nearest_of_sums: int
    filled: int
    queries_per_second: float
    flat_queries_per_second: float
    queries: int


def build_index(
    store: Store,
    space: Space | str | None = None,
    metric: str = "l2",
    *,
    factory: str = FLAT,
    parameters: str = "",
    device: str = "auto",
) -> tuple[IndexRecord, Measured | None]:
    """Build an index, in place of the last one of its space and metric.

    Args:
        store: an open store.
        space: the space to index; None for `static` or, without it, the first one.
        metric: `l2`, `cosine` or `ip`.
        factory: faiss' description of the index.
        parameters: faiss' parameters of a search in it.
        device: `cpu`, `cuda`, or `auto`.

    Returns:
        The record of the index and, for anything but Flat, how it compares with an exact search.

    Raises:
        NotStoredError: no such space.
        InputError: no such metric or device, faiss cannot build it, or the space has several vectors per token.
        StoreBusyError: another process is building this store, or an index of it.
        StoreError: the store was replaced since it was opened.
    """
    parameters = ",".join(parts(parameters))
    measure, space, chosen = Metric.parse(metric), store.space(space), choose_device(device, many=True)
    check_single(space, "an index")
    if measure is Metric.CSLS:
        raise InputError("no index searches by CSLS", hint="choose `l2`, `cosine` or `ip`")
    folder = Layout(store.path).indexes
    with locked(Layout(store.path)):  # two at once would write the same temporary file
        store.check_current()
        access.check_writable(folder)
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
    folder = Layout(store.path).indexes
    finder, truth = (open_finder(store.vectors, folder, space, metric, "cpu", exact=flag) for flag in (False, True))
    present = store.vectors.present(space)
    answers = np.arange(len(finder.matrix.vectors)) if present is None else np.flatnonzero(present)
    total = len(answers)
    if finder.approximate is None or total <= TERMS:
        return None
    rows = answers[_rows(total)]
    vectors = finder.vectors_of(rows.reshape(-1)).reshape(*rows.shape, -1)
    asked = ((vectors[:, 0], rows[:, :1]), (vectors[:, 0] - vectors[:, 1] + vectors[:, 2], rows))
    recalls, counts, filled = [], [], 0
    for sums, terms in asked:
        some = np.linalg.norm(sums, axis=1) > 0  # everything is equally near to zero, and no sum may be zero
        queries, own = sums[some], terms[some]
        count = min(NEIGHBOURS, total - own.shape[1])
        found = finder.answer(queries, count, own)
        true = truth.nearest(queries, count, own)
        filled += sum(note != finder.note for _, note in found)
        counts.append(count)
        recalls.append(_recall([near for near, _ in found], true, metric))
    speed, flat_speed = (_speed(each, vectors[:, 0], rows[:, :1]) for each in (finder, truth))
    return Measured(recalls[0], recalls[1], counts[0], counts[1], filled, speed, flat_speed, len(rows))


def _rows(total: int) -> Rows:
    """Return random rows, (n, 3), those of each query different from each other."""
    random = np.random.default_rng(SEED)
    first = random.choice(total, size=min(QUERIES, total), replace=False)
    steps = np.stack([random.choice(total - 1, size=TERMS - 1, replace=False) for _ in first])
    return np.column_stack([first, (first[:, np.newaxis] + steps + 1) % total])


def _recall(found: list[Neighbourhood], true: list[Neighbourhood], metric: Metric) -> float:
    """Return the mean share of found rows that are as near as the last of the true ones; 1 without any queries."""
    shares = [
        np.mean(metric.sign * near.scores <= metric.sign * best.scores[-1])
        for near, best in zip(found, true, strict=True)
    ]
    return float(np.mean(shares)) if shares else 1.0


def _speed(finder: Finder, queries: npt.NDArray[np.float64], own: Rows) -> float:
    count = min(NEIGHBOURS, len(finder.matrix.vectors) - 1)
    finder.nearest(queries[:1], count, own[:1])  # maps the file and wakes the threads
    begin = time.perf_counter()
    finder.nearest(queries, count, own)
    return len(queries) / (time.perf_counter() - begin)
