"""A shard file: vectors of tokens, or sums of them, written by the driver while a build is unfinished."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        energies: (n,) int64 sums of squared norms by space, of sums.
    """

    number: int
    ids: npt.NDArray[np.int64]
    arrays: Mapping[Space, npt.NDArray[np.floating[Any] | np.int64]]
    host: str
    cpu: str
    counts: npt.NDArray[np.int64] | None = None
    products: str = ""
    energies: Mapping[Space, npt.NDArray[np.int64]] = field(default_factory=dict)


class Machines:
    """The machines that computed some shards.

    Attributes:
        hosts, cpus, products: their names, instruction sets, and `Shard.products`.
    """

    def __init__(self) -> None:
        self.hosts: set[str] = set()
        self.cpus: set[str] = set()
        self.products: set[str] = set()

    def add(self, shard: "ShardReader") -> None:
        """Add the machine of a shard."""
        self.hosts.add(shard.host)
        self.cpus.add(shard.cpu)
        self.products.add(shard.products)

    def as_dict(self) -> dict[str, Any]:
        """Return what is added to how the vectors were made."""
        products = ", ".join(sorted(self.products))
        return {"hosts": len(self.hosts), "cpus": sorted(self.cpus), "products": products}


def energy_of(space: Space) -> str:
    """Return the name of the dataset with the energies of a space."""
    return f"{space.stem}.energy"


def path_of(folder: Path, number: int) -> Path:
    """Return the path of a shard's file."""
    return folder / f"{number:06d}{HDF5}"


def write_shard(folder: Path, shard: Shard, fingerprint: str) -> None:
    """Write a shard under its final name, completely or not at all.

    Raises:
        DiskFullError: no space is left.
    """
    with sinking(path_of(folder, shard.number)) as sink, hdf5.create(sink) as file:
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
        counts = {} if shard.counts is None else {"counts": shard.counts}
        vectors = {space.stem: array for space, array in shard.arrays.items()}
        energies = {energy_of(space): array for space, array in shard.energies.items()}
        for name, array in {"ids": shard.ids, **counts, **vectors, **energies}.items():
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})


class ShardReader:
    """An open shard file whose blocks are checked against their checksums as they are read.

    Raises (from every method, and when opening):
        DamagedError: the file cannot be read, belongs to another plan, or a block does not match.
    """

    def __init__(self, path: Path, fingerprint: str, number: int) -> None:
        self.path = path
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

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return `ids` or `counts` (n,), or the vectors or sums of a space (n, D) by its stem."""
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

    def check(self, ids: Sequence[int] | npt.NDArray[np.int64] | None, spaces: Iterable[Space]) -> None:
        """Read everything once, and compare the ids with those of the plan; of sums, it knows no ids."""
        found = self.read("ids")
        if ids is not None and not np.array_equal(found, ids):
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
