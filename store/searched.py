"""Which finder searches a space: one of the store's index, of all vectors, or of the centres of prototypes."""

from pathlib import Path

import numpy as np

from kotovec.space import PROTOTYPES, Space
from kotovec.store import index as indexes
from kotovec.store.factories import FLAT
from kotovec.store.finder import Finder
from kotovec.store.gaps import Gaps
from kotovec.store.layout import MEASURES
from kotovec.store.library import on_gpus
from kotovec.store.metric import Metric
from kotovec.store.nearest import Matrix
from kotovec.store.search import search_flat, search_gpu, search_index, search_vectors
from kotovec.store.vectors import Vectors


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
        NotStoredError: as `open_csls`.
        InputError: the device is `cuda`, but faiss sees no GPU.
        MissingDependencyError: faiss is not installed.
    """
    if metric is Metric.CSLS:
        from kotovec.store.geometry.csls import open_csls

        return open_csls(vectors, folder.parent / MEASURES, space)
    if space.name == PROTOTYPES:
        from kotovec.store.best import open_best

        return open_best(vectors, space, metric, device)
    matrix, gaps = Matrix(np.asarray(vectors.array(space)), np.asarray(vectors.norms(space))), Gaps(vectors, space)
    loaded = indexes.load(vectors, folder, space, metric)
    if loaded is not None and exact and loaded[1].factory != FLAT:
        loaded = None
    approximate = None
    if loaded is None:
        on_cpu = search_vectors(matrix, metric)
    elif loaded[1].factory == FLAT:
        on_cpu = search_flat(loaded[0], matrix, metric)
    else:
        on_cpu = search_index(loaded[0], loaded[1].name, len(matrix.vectors))
        approximate = loaded[1].factory
    if device == "cuda":
        index = on_gpus(loaded[0] if loaded else indexes.flat(matrix, metric))
        return Finder(metric, matrix, search_gpu(index, on_cpu, len(matrix.vectors)), approximate, gaps)
    return Finder(metric, matrix, on_cpu, approximate, gaps)
