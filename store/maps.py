"""Maps: 2-D coordinates of a store's tokens, one file per map, with how it was made and how far it can be trusted."""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, first_line
from kotovec.space import Space
from kotovec.store import checksum, hdf5
from kotovec.store.files import delete_parts, sinking, written
from kotovec.store.layout import HDF5, MAPS
from kotovec.store.nearest import Rows
from kotovec.store.opened import File
from kotovec.store.tokens import Tokens

KIND = "kotovec-map"  # encoding-type of the files
ARRAYS = ("rows", "coordinates")
SAMPLE = "sample"  # in the name of a map of a sample, and its size among the parameters
CURE = "make it again with kotovec map"
METHODS = ("umap", "tsne", "pca")
Named = Mapping[int, str] | Sequence[str]
Coordinates = npt.NDArray[np.float32]


@dataclass(frozen=True)
class MapRecord:
    """How a map was made, and how good it is.

    Attributes:
        space: the space of the vectors.
        method: `umap`, `tsne` or `pca`.
        parameters: the parameters of the method, such as `n_neighbors`, and `sample`, the number of tokens of a sample.
        seed: the random seed.
        dataset: SHA-256 of the vectors' dataset.
        versions: the versions of the libraries that made the map.
        trustworthiness: 1 if all that is near on the map is near in the space, 0.5 by chance; of `sampled` tokens.
        recall: share of the `nearest` tokens of the space that are among the `nearest` on the map, of all tokens.
        sampled: the number of tokens that trustworthiness was measured on.
        nearest: how many nearest tokens of each both numbers are about: 10, or fewer of less than 21 tokens.
    """

    space: str
    method: str
    parameters: dict[str, Any]
    seed: int
    dataset: str
    versions: dict[str, str]
    trustworthiness: float
    recall: float
    sampled: int
    nearest: int

    @property
    def name(self) -> str:
        """The file name without its suffix."""
        return map_name(Space.parse(self.space), self.method, sampled=SAMPLE in self.parameters)


@dataclass(frozen=True)
class Map:
    """A map.

    Attributes:
        record: how it was made.
        rows: (n,) int64 rows of the token table, ascending: all, or a sample.
        coordinates: (n, 2) float32; only distances mean something, and large ones little.
    """

    record: MapRecord
    rows: Rows
    coordinates: Coordinates

    def of(self, rows: Rows) -> "Map":
        """Return the map of some of its rows, ascending."""
        if len(rows) == len(self.rows):
            return self
        return Map(self.record, rows, self.coordinates[np.isin(self.rows, rows)])

    def positions(self, rows: Sequence[int], tokens: Tokens) -> npt.NDArray[np.intp]:
        """Return the positions of rows of the token table among the rows of the map.

        Raises:
            InputError: a row is not on the map.
        """
        return positions(self.rows, rows, tokens.surfaces)


def positions(mapped: Rows, rows: Sequence[int], names: Named) -> npt.NDArray[np.intp]:
    """Return the positions of rows among those of a map, which ascend.

    Args:
        mapped: the rows of the map.
        rows: the rows to find.
        names: what an error calls each row, once: the token, or what was typed for it.

    Raises:
        InputError: a row is not on the map.
    """
    found = np.searchsorted(mapped, rows)
    present = mapped[np.minimum(found, len(mapped) - 1)] == rows
    if not present.all():
        pairs = zip(rows, present, strict=True)
        missing = ", ".join(dict.fromkeys(names[row] for row, is_present in pairs if not is_present))
        raise InputError(
            f"not on this map, which is of a sample: {missing}", hint="use a larger --sample, or another --seed"
        )
    return found


def map_name(space: Space, method: str, *, sampled: bool) -> str:
    """Return a map's file name, without its suffix: that of a sample does not replace the map of all tokens."""
    return f"{space.stem}.{method}{f'.{SAMPLE}' if sampled else ''}"


def write_map(folder: Path, map_: Map, check: Callable[[], None] = lambda: None) -> Path:
    """Write a map, completely or not at all, in place of the last one of its name; return its path.

    Args:
        folder: the folder of the store's maps.
        map_: the map.
        check: called when the file is complete, just before it replaces the last one; may raise.

    Raises:
        DiskFullError: no space is left.
    """
    folder.mkdir(exist_ok=True)
    delete_parts(folder)
    target = folder / f"{map_.record.name}{HDF5}"
    with sinking(target, before=check) as sink, hdf5.create(sink) as file:
        values = asdict(map_.record)
        texts = {name: json.dumps(value, sort_keys=True) for name, value in values.items() if isinstance(value, dict)}
        hdf5.write_attributes(file, {"encoding-type": KIND, "encoding-version": "1", **values, **texts})
        for name in ARRAYS:
            array = getattr(map_, name)
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
    return target


def read_map(folder: Path, name: str, dataset: str) -> Map | None:
    """Return a map of the vectors with this checksum, or None if there is none.

    Raises:
        DamagedError: the file cannot be read, is no map, or does not match its checksums.
    """
    try:
        map_ = _read(folder / f"{name}{HDF5}")
    except FileNotFoundError:
        return None
    return map_ if map_.record.dataset == dataset else None


def describe(folder: Path, matches: Callable[[Space, str], bool]) -> list[dict[str, Any]]:
    """Return what a store's maps show and how they were made, as JSON-ready data; unreadable files are skipped.

    Args:
        folder: the folder of the maps.
        matches: returns whether a space's vectors may have a checksum.
    """
    described = []
    for path in sorted(folder.glob(f"*{HDF5}")):
        with contextlib.suppress(DamagedError, FileNotFoundError):
            map_ = _read(path)
            record = map_.record
            described.append(
                {
                    "name": path.name.removesuffix(HDF5),
                    "space": record.space,
                    "method": record.method,
                    "parameters": record.parameters,
                    "seed": record.seed,
                    "tokens": len(map_.rows),
                    "usable": matches(Space.parse(record.space), record.dataset),
                    **written(path),
                }
            )
    return described


def verify(folder: Path, matches: Callable[[Space, str], bool]) -> list[str]:
    """Return the names of map files that do not match their checksums or the vectors.

    Args:
        folder: the folder of the maps.
        matches: returns whether a space's vectors may have a checksum.
    """
    damaged = []
    for path in sorted(folder.glob(f"*{HDF5}")):
        try:
            record = _read(path).record
        except DamagedError:
            damaged.append(f"{MAPS}/{path.name} ({CURE})")
            continue
        if not matches(Space.parse(record.space), record.dataset):
            damaged.append(f"{MAPS}/{path.name} (of other vectors; {CURE})")
    return damaged


def _read(path: Path) -> Map:
    try:
        with contextlib.closing(File(path)) as file:
            attributes, found = file.read(KIND, ARRAYS)
        record = _record(attributes)
        _check(found["rows"].array, found["coordinates"].array)
    except FileNotFoundError:
        raise
    except (*hdf5.UNREADABLE, RecursionError) as error:
        reason = first_line(error.__cause__ or error)  # without the cure of a store
        raise DamagedError(f"{path} cannot be read ({reason})", hint=CURE) from error
    for name, part in found.items():
        if not part.is_whole():
            raise DamagedError(f"{path}: {name} does not match its checksum", hint=CURE)
    return Map(record, *(np.array(found[name].array) for name in ARRAYS))


def _record(attributes: dict[str, Any]) -> MapRecord:
    layer = attributes.get("layer", -1)  # of kotovec 0.1.0, which recorded a space in two parts
    attributes["space"] = str(Space.parse(attributes["space"]).at(layer if layer >= 0 else None))
    attributes.setdefault("nearest", 10)  # as all maps were measured before this was recorded
    values = {field.name: attributes[field.name] for field in fields(MapRecord)}
    record = MapRecord(**values | {name: json.loads(values[name]) for name in ("parameters", "versions")})
    kinds = {"method": str, "parameters": dict, "seed": int, "dataset": str, "versions": dict, "sampled": int}
    kinds |= {"nearest": int, "trustworthiness": float, "recall": float}
    for name, kind in kinds.items():
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"{name} is of another type")
    return record


def _check(rows: npt.NDArray[Any], coordinates: npt.NDArray[Any]) -> None:
    kinds = (rows.dtype, rows.ndim, coordinates.dtype, coordinates.shape)
    if kinds != (np.dtype(np.int64), 1, np.dtype(np.float32), (len(rows), 2)):
        raise ValueError("rows or coordinates of another type or shape")
