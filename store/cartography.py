"""Make a map of a store's tokens: project them, measure what the map preserves, and write it into the store."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kotovec.errors import DamagedError, InputError, choices, quoted
from kotovec.space import Space
from kotovec.store import fidelity, lock, maps, projection
from kotovec.store.database import Store
from kotovec.store.layout import HDF5, Layout
from kotovec.store.maps import Map, MapRecord
from kotovec.store.nearest import Matrix, Rows
from kotovec.store.projection import Projected, Vectors
from kotovec.store.prototypes import check_single

PACKAGES = {"umap": ("umap-learn", "numba", "numpy"), "tsne": ("scikit-learn", "numpy"), "pca": ("numpy",)}


@dataclass(frozen=True)
class MapRequest:
    """The map that is requested; every field has the name of its option.

    Attributes:
        space: the space to map, such as `static` or `isolated@6`; None for `static` or, without it, the first one.
        method: `umap`, `tsne` or `pca`.
        sample: how many tokens to map, chosen by the random seed; None for all.
        seed: the random seed.
        neighbors: how many tokens around each token UMAP tries to keep together.
        perplexity: about how many tokens around each token t-SNE tries to keep together.
    """

    space: Space | str | None = None
    method: str = "umap"
    sample: int | None = None
    seed: int = 0
    neighbors: int = 15
    perplexity: float = 30.0

    def is_sample(self, tokens: int) -> bool:
        """Return whether the map leaves out some of this number of tokens."""
        return self.sample is not None and self.sample < tokens

    def check(self, tokens: int) -> None:
        """Check that the map can be made of this number of tokens.

        Raises:
            InputError: a value is unknown or out of range.
        """
        if self.method not in maps.METHODS:
            raise InputError(f"unknown method {quoted(self.method)}", hint=f"choose {choices(maps.METHODS)}")
        if self.sample is not None and not self.sample >= projection.FEWEST:
            raise InputError(f"--sample is {self.sample}", hint=f"use {projection.FEWEST} tokens or more")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed is {self.seed}", hint="use 0 or more, and less than 2^32")
        self.check_rows(min(tokens, self.sample or tokens))

    def check_rows(self, count: int) -> None:
        """Check that the map can be made of this number of tokens, sampled already.

        Raises:
            InputError: there are too few.
        """
        if count < projection.FEWEST:
            raise InputError(
                f"a map needs {projection.FEWEST} tokens or more, not {count}",
                hint="build a store of more words, and map that",
            )
        option, wanted = ("--perplexity", self.perplexity) if self.method == "tsne" else ("--neighbors", self.neighbors)
        if self.method != "pca" and not 1 < wanted < count:
            raise InputError(
                f"{option} is {wanted:g}, of {count:,} tokens", hint=f"use more than 1, and less than {count}"
            )


def find_map(store: Store, request: MapRequest) -> Map | None:
    """Return the store's map if it is undamaged, of these vectors and as requested; otherwise None.

    Raises:
        InputError: a value is unknown or out of range.
        NotStoredError: no such space.
    """
    map_ = _kept(store, request)
    return map_ if map_ is not None and _is_as(map_, request, store) else None


def find_replaced(store: Store, request: MapRequest) -> MapRecord | None:
    """Return how the map was made that `make_map` would replace by another one, as of another seed; None without any.

    Raises:
        InputError: a value is unknown or out of range.
        NotStoredError: no such space.
    """
    map_ = _kept(store, request)
    return None if map_ is None or _is_as(map_, request, store) else map_.record


def path_of_kept(store: Store, record: MapRecord) -> Path | None:
    """Return the file in which a store keeps this map, or None: a file of its name may hold another one."""
    folder = Layout(store.path).maps
    with contextlib.suppress(DamagedError):
        map_ = maps.read_map(folder, record.name, record.dataset)
        return folder / f"{record.name}{HDF5}" if map_ is not None and map_.record == record else None
    return None


def _kept(store: Store, request: MapRequest) -> Map | None:
    """Return the undamaged map of these vectors in the file that a request is written to; None without any."""
    total = len(store.tokens)
    request.check(total)
    space = store.space(request.space)
    name = maps.map_name(space, request.method, sampled=request.is_sample(total))
    with contextlib.suppress(DamagedError):  # a damaged map is made again
        map_ = maps.read_map(Layout(store.path).maps, name, store.vectors.checksum(space))
        return map_ if map_ is not None and _is_of(map_.rows, total) else None
    return None


def _is_as(map_: Map, request: MapRequest, store: Store) -> bool:
    """Return whether a map has the seed, the tokens and the parameters that are requested, and was measured soundly."""
    if map_.record.nearest != fidelity.measured_on(len(map_.rows)):  # a small one, of an earlier kotovec
        return False
    if map_.record.seed != request.seed or not np.array_equal(map_.rows, mapped_rows(store, request)):
        return False
    wanted = {"umap": ("n_neighbors", request.neighbors), "tsne": ("perplexity", request.perplexity)}.get(
        request.method
    )
    return wanted is None or map_.record.parameters.get(wanted[0]) == wanted[1]


def check_writable(store: Store) -> None:
    """Check that a map could be written into a store, which may be read-only, before it is computed for minutes.

    Raises:
        StoreBusyError: another process is changing this store.
        StoreError: nothing can be written there.
    """
    lock.check_writable(Layout(store.path), Layout(store.path).maps)


def make_map(
    store: Store, request: MapRequest, report: Callable[[str], None] = lambda _: None, *, keep: bool = True
) -> Map:
    """Make a map and write it into the store, where it replaces the last one of its space and method.

    The map of all tokens and that of a sample are kept apart, as the former may take minutes.

    Args:
        store: an open store.
        request: the map to make.
        report: called with the name of each phase.
        keep: whether to write it into the store.

    Raises:
        InputError: a value is unknown or out of range, all vectors are equal, or a token has several.
        NotStoredError: no such space.
        MissingDependencyError: a library of the extra `map` is not installed.
        StoreBusyError: another process is changing this store.
        StoreError: nothing can be written into the store, or it was replaced since it was opened.
        DiskFullError: no space is left.
    """
    total = len(store.tokens)
    request.check(total)
    space = store.space(request.space)
    if keep:
        check_writable(store)
    matrix = Matrix(store.array(space), store.norms(space))
    rows = mapped_rows(store, request)
    request.check_rows(len(rows))
    vectors = projection.unit(matrix, rows)
    projection.check_spread(vectors, space.title)
    report("neighbours")
    near = fidelity.measured_on(len(rows))
    known = projection.known_neighbours(vectors, max(near, request.neighbors if request.method == "umap" else 0) + 1)
    report(request.method)
    projected = _project(vectors, known, request)
    report("quality")
    coordinates = np.ascontiguousarray(projected.coordinates, dtype=np.float32)
    drawn = fidelity.nearest_on_map(coordinates, near)
    trusted, sampled = fidelity.trustworthiness(vectors, drawn, request.seed)
    record = MapRecord(
        space=str(space),
        method=request.method,
        parameters=projected.parameters | ({maps.SAMPLE: len(rows)} if request.is_sample(total) else {}),
        seed=request.seed,
        dataset=store.vectors.checksum(space),
        versions=projection.versions(*PACKAGES[request.method]),
        trustworthiness=trusted,
        recall=fidelity.recall(known.rows[:, 1 : near + 1], drawn),
        sampled=sampled,
        nearest=near,
    )
    map_ = Map(record, rows, coordinates)
    if not keep:
        return map_
    with lock.locked(Layout(store.path)):
        store.check_current()
        maps.write_map(Layout(store.path).maps, map_, store.check_current)
    return map_


def _is_of(rows: Rows, total: int) -> bool:
    """Return whether rows ascend, and are those of a table of some tokens: a map may be anyone's."""
    return len(rows) > 0 and rows[0] >= 0 and rows[-1] < total and bool((np.diff(rows) > 0).all())


def mapped_rows(store: Store, request: MapRequest) -> Rows:
    """Return the rows of the token table that a map shows, ascending, (n,) int64.

    Those that the space has no vector of are left out; the others are those of any other space's map.

    Args:
        store: an open store.
        request: the map.

    Raises:
        InputError: the space has several vectors per token.
        NotStoredError: no such space.
    """
    space = store.space(request.space)
    check_single(space, "a map")
    total, present = len(store.tokens), store.vectors.present(space)
    rows = np.arange(total)
    if request.is_sample(total):
        rows = np.sort(np.random.default_rng(request.seed).choice(total, request.sample, replace=False))
    return rows if present is None else rows[present[rows]]


def _project(vectors: Vectors, known: "projection.Known", request: MapRequest) -> Projected:
    if request.method == "umap":
        return projection.by_umap(vectors, known, request.seed, request.neighbors)
    if request.method == "tsne":
        return projection.by_tsne(vectors, request.seed, request.perplexity)
    return projection.by_pca(vectors)
