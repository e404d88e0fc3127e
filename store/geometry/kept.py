"""The nearest rows of every row of a space, computed once and kept in the store's `measures/`."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec import access
from kotovec.errors import DamagedError, DiskFullError, InputError, StoreError, first_line
from kotovec.space import Space
from kotovec.store import checksum, hdf5, lock
from kotovec.store.database import Store
from kotovec.store.files import delete_parts, sinking, written
from kotovec.store.finite import check_space
from kotovec.store.layout import HDF5, MEASURES, Layout
from kotovec.store.metric import Metric
from kotovec.store.neighbours import Neighbours, neighbours
from kotovec.store.opened import File

KIND = "kotovec-neighbours"  # encoding-type of the files
ARRAYS = ("rows", "scores")
CURE = "make it again with kotovec neighbours"


def find_or_make(
    store: Store,
    space: Space | str,
    k: int,
    *,
    metric: str = "cosine",
    report: Callable[[int, int], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> Neighbours:
    """Return the k nearest rows of every row, those that the store keeps or else new ones, which it keeps then.

    Args:
        store: an open store; where nothing can be written in it, the result is not kept, which is noted.
        space: the space.
        k: how many, less than V.
        metric: `l2`, `cosine` or `ip`.
        report: called with how many of how many rows are done.
        note: called with a note.

    Raises:
        NotStoredError, InputError: as `neighbours`.
        DamagedError: a vector is not finite.
    """
    space, measure, others = store.space(space), Metric.parse(metric), len(store) - 1
    if not 1 <= k <= others:
        problem = f"k is {k}, and a token has {others:,} others"
        raise InputError(problem, hint=f"choose a number from 1 to {others}" if others else "choose another store")
    check_space(store.vectors, space)
    folder, dataset = Layout(store.path).measures, store.vectors.checksum(space)
    if (kept := read_kept(folder, space, measure, dataset, k, len(store))) is not None:
        return kept
    path = path_of(folder, space, measure)
    found = neighbours(store, space, k, metric=metric, report=report)
    try:
        access.check_writable(folder)
        with lock.locked(Layout(store.path)):
            store.check_current()
            _write(path, found, {"space": str(space), "metric": str(measure), "k": k, "dataset": dataset}, store)
    except (StoreError, DiskFullError) as error:
        note(f"the neighbours are not kept: {error}")
    return found


def read_kept(folder: Path, space: Space, metric: Metric, dataset: str, k: int, total: int) -> Neighbours | None:
    """Return the k nearest rows of every row as a store keeps them; None where it does not, or they are damaged.

    Args:
        folder: the folder of the store's measures.
        space: the space.
        metric: the metric.
        dataset: SHA-256 of the space's vectors.
        k: how many.
        total: V.
    """
    with contextlib.suppress(DamagedError, FileNotFoundError):
        kept, attributes = _read(path_of(folder, space, metric))
        if attributes["dataset"] == dataset and attributes["k"] >= k and len(kept.rows) == total:
            return Neighbours(kept.rows[:, :k], kept.scores[:, :k])
    return None


def path_of(folder: Path, space: Space, metric: Metric) -> Path:
    """Return the file of a space's neighbours in the folder of a store's measures."""
    return folder / f"{space.stem}.{metric}{HDF5}"


def describe(folder: Path, matches: Callable[[Space, str], bool]) -> list[dict[str, Any]]:
    """Return what is kept, as JSON-ready data; unreadable files are skipped.

    Args:
        folder: the folder of the measures.
        matches: returns whether a space's vectors may have a checksum.
    """
    described = []
    for path in sorted(folder.glob(f"*{HDF5}")):
        with contextlib.suppress(DamagedError, FileNotFoundError):
            attributes = _read(path)[1]
            usable = matches(Space.parse(attributes["space"]), attributes["dataset"])
            about = {name: attributes[name] for name in ("space", "metric", "k")}
            described.append({"name": path.name.removesuffix(HDF5), **about, "usable": usable, **written(path)})
    return described


def verify(folder: Path, matches: Callable[[Space, str], bool]) -> list[str]:
    """Return the names of files that do not match their checksums or the vectors; arguments as for `describe`."""
    damaged = []
    for path in sorted(folder.glob(f"*{HDF5}")):
        try:
            attributes = _read(path)[1]
        except DamagedError:
            damaged.append(f"{MEASURES}/{path.name} ({CURE})")
            continue
        if not matches(Space.parse(attributes["space"]), attributes["dataset"]):
            damaged.append(f"{MEASURES}/{path.name} (of other vectors; {CURE})")
    return damaged


def _write(path: Path, found: Neighbours, attributes: dict[str, Any], store: Store) -> None:
    path.parent.mkdir(exist_ok=True)
    delete_parts(path.parent)
    with sinking(path, before=store.check_current) as sink, hdf5.create(sink) as file:
        hdf5.write_attributes(file, {"encoding-type": KIND, "encoding-version": "1", **attributes})
        for name, array in (("rows", found.rows.astype(np.int32)), ("scores", found.scores)):
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})


def _read(path: Path) -> tuple[Neighbours, dict[str, Any]]:
    """Return the neighbours in a file, and its attributes.

    Raises:
        DamagedError: it cannot be read, is of another kind, or does not match its checksums.
        FileNotFoundError: there is none.
    """
    try:
        with contextlib.closing(File(path)) as file:
            attributes, found = file.read(KIND, ARRAYS)
        rows, scores = (found[name].array for name in ARRAYS)
        _check(attributes, rows, scores)
    except FileNotFoundError:
        raise
    except (*hdf5.UNREADABLE, RecursionError, InputError) as error:
        reason = first_line(error.__cause__ or error)  # without the cure of a store
        raise DamagedError(f"{path} cannot be read ({reason})", hint=CURE) from error
    for name, part in found.items():
        if not part.is_whole():
            raise DamagedError(f"{path}: {name} does not match its checksum", hint=CURE)
    return Neighbours(rows.astype(np.int64), np.array(scores)), attributes


def _check(attributes: dict[str, Any], rows: npt.NDArray[Any], scores: npt.NDArray[Any]) -> None:
    """Raise an error where a file of this kind is not as `_write` makes it: it may be anyone's."""
    Space.parse(attributes["space"])
    kinds = {"space": str, "metric": str, "k": int, "dataset": str}
    if not all(isinstance(attributes[name], kind) for name, kind in kinds.items()):
        raise TypeError("an attribute is of another type")
    found = (rows.dtype, scores.dtype, rows.ndim, scores.shape)
    if found != (np.dtype(np.int32), np.dtype(np.float64), 2, rows.shape):
        raise ValueError("rows or scores of another type or shape")
    if rows.size and not -1 <= rows.min() <= rows.max() < len(rows):
        raise ValueError("a row that is none")
