"""A shard file: vectors of tokens, or sums of them, written by the driver while a build is unfinished."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store import checksum, hdf5
from kotovec.store.files import open_descriptor, sinking
from kotovec.store.layout import HDF5


@dataclass(frozen=True)
class Shard:
    """The vectors of n tokens, or sums of vectors of n rows.

    Attributes:
        number: the position of the shard in the plan, from 0.
        ids: (n,) int64 token ids; of sums, the numbers of the rows, ascending.
        arrays: (n, D) float32 or float16 vectors by space, or int64 sums.
        host: the host that computed the vectors, for provenance.
        cpu: the instruction set that computed them (or the GPU's name), for provenance.
        counts: (n,) numbers of vectors in the sums; None for vectors.
        products: hash of known vectors on that host, which are other ones where it computes other bits.
        energies: (n, 2) int64 sums of the squared norms of the vectors in the sums, by space; empty for vectors.
    """

    number: int
    ids: npt.NDArray[np.int64]
    arrays: Mapping[Space, npt.NDArray[np.floating[Any] | np.int64]]
    host: str
    cpu: str
    counts: npt.NDArray[np.int64] | None = None
    products: str = ""
    energies: Mapping[Space, npt.NDArray[np.int64]] = field(default_factory=dict)


def energy_name(space: Space) -> str:
    """Return the name of the dataset of a space's energies."""
    return f"{space.stem}.energy"


def path_of(folder: Path, number: int) -> Path:
    """Return the path of a shard's file."""
    return folder / f"{number:06d}{HDF5}"


def write_shard(folder: Path, shard: Shard, fingerprint: str) -> None:
    """Write a shard under its final name, completely or not at all.

    Raises:
        DiskFullError: no space is left.
    """
    counts = {} if shard.counts is None else {"counts": shard.counts}
    vectors = {space.stem: array for space, array in shard.arrays.items()}
    energies = {energy_name(space): array for space, array in shard.energies.items()}
    arrays = {"ids": shard.ids, **counts, **vectors, **energies}
    with writing_shard(path_of(folder, shard.number), shard, fingerprint) as write:
        for name, array in arrays.items():
            write(name, array)


@contextlib.contextmanager
def writing_shard(path: Path, shard: Shard, fingerprint: str) -> Iterator[Callable[[str, npt.NDArray[Any]], None]]:
    """Write the attributes of a shard, and yield a function that writes a dataset; the file appears if all is well.

    Raises:
        DiskFullError: no space is left.
    """
    with sinking(path) as sink, hdf5.create(sink) as file:
        hdf5.write_attributes(
            file,
            {
                "encoding-type": "kotovec-shard",
                "encoding-version": "2",
                "fingerprint": fingerprint,
                "number": shard.number,
                "host": shard.host,
                "cpu": shard.cpu,
                "products": shard.products,
            },
        )

        def write(name: str, array: npt.NDArray[Any]) -> None:
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
            sink.check()

        yield write


class ShardReader:
    """An open shard file whose blocks are checked against their checksums as they are read.

    Raises (from every method, and when opening):
        DamagedError: the file cannot be read, belongs to another plan, or a block does not match.
    """

    def __init__(self, path: Path, fingerprint: str, number: int) -> None:
        self.path, self._number = path, number
        try:
            self._raw = open_descriptor(path)
        except OSError as error:
            raise DamagedError(f"{path} cannot be read: {error}") from error
        try:
            self._file = h5py.File(self._raw, "r")
        except hdf5.UNREADABLE as error:
            self._raw.close()
            raise DamagedError(f"{path} cannot be read: {error}") from error
        try:
            attributes = hdf5.read_attributes(self._file)
            stored = (attributes["fingerprint"], attributes["number"])
            self.host, self.cpu = str(attributes["host"]), str(attributes["cpu"])
            self.products = str(attributes["products"])
        except hdf5.UNREADABLE as error:
            self.close()
            raise DamagedError(f"{path} cannot be read: {error}") from error
        if stored != (fingerprint, number):
            self.close()
            raise DamagedError(f"{path} belongs to another build")

    @property
    def is_fold(self) -> bool:
        """Whether the file holds the sums of several shards."""
        return self._number < 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the datasets."""
        try:
            return tuple(self._file)
        except hdf5.UNREADABLE as error:
            raise DamagedError(f"{self.path} cannot be read: {error}") from error

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return `ids` or `counts` (n,), the vectors or sums of a space (n, D) by its stem, or its energies (n, 2)."""
        try:
            dataset = hdf5.node(self._file, name)
            expected = hdf5.read_attributes(dataset)["sha256"]
            array = self._array(dataset)
        except hdf5.UNREADABLE as error:
            raise DamagedError(f"{self.path} cannot be read: {error}") from error
        if checksum.of_array(array) != expected:
            raise DamagedError(f"{self.path}: {name} does not match its checksum")
        return array

    def _array(self, dataset: h5py.Dataset) -> npt.NDArray[Any]:
        offset = hdf5.locate(dataset, self._raw)
        array: npt.NDArray[Any] = np.empty(dataset.shape, dtype=dataset.dtype)
        self._raw.seek(offset)
        if self._raw.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise ValueError("the file is cut short")
        return array

    def check(self, ids: Sequence[int] | npt.NDArray[np.int64], spaces: Iterable[Space]) -> None:
        """Read everything once, and compare the ids with those of the plan."""
        if not np.array_equal(self.read("ids"), ids):
            raise DamagedError(f"{self.path} holds other tokens than planned")
        for space in spaces:
            self.read(space.stem)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()


@contextlib.contextmanager
def open_shard(folder: Path, number: int, fingerprint: str) -> Iterator[ShardReader]:
    """Open a shard of a plan; see `ShardReader` for the errors."""
    reader = ShardReader(path_of(folder, number), fingerprint, number)
    try:
        yield reader
    finally:
        reader.close()
