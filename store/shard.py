"""A shard file: the vectors of a run of tokens, written by the driver while a build is unfinished."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError
from kotovec.store import checksum, hdf5
from kotovec.store.files import sinking


@dataclass(frozen=True)
class Shard:
    """The vectors of n tokens.

    Attributes:
        number: place of the shard in the plan, from 0.
        ids: (n,) int64 token ids.
        static: (n, D) float32 rows of the input embedding matrix.
        isolated: (L, n, D) float32 or float16 hidden states, a layer each.
        host: where it was computed, for provenance.
        cpu: instruction set that computed it (or the GPU's name), for provenance.
    """

    number: int
    ids: npt.NDArray[np.int64]
    static: npt.NDArray[np.float32]
    isolated: npt.NDArray[np.floating[Any]]
    host: str
    cpu: str


def path_of(folder: Path, number: int) -> Path:
    """Return the path of a shard's file."""
    return folder / f"{number:06d}.h5"


def write_shard(folder: Path, shard: Shard, fingerprint: str) -> None:
    """Write a shard under its final name, whole or not at all.

    Raises:
        DiskFullError: no space is left.
    """
    with sinking(path_of(folder, shard.number)) as sink, hdf5.create(sink) as file:
        hdf5.write_attributes(
            file,
            {
                "encoding-type": "kotovec-shard",
                "encoding-version": "1",
                "fingerprint": fingerprint,
                "number": shard.number,
                "host": shard.host,
                "cpu": shard.cpu,
            },
        )
        for name in ("ids", "static", "isolated"):
            array = getattr(shard, name)
            dataset = file.create_dataset(name, data=array)
            layers = array if name == "isolated" else array[np.newaxis]
            hdf5.write_attributes(dataset, {"sha256": [checksum.of_array(layer) for layer in layers]})


class ShardReader:
    """An open shard file whose blocks are checked against their checksums as they are read.

    Raises (from every method, and when opening):
        DamagedError: the file cannot be read, belongs to another plan, or a block does not match.
    """

    def __init__(self, path: Path, fingerprint: str, number: int) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except hdf5.UNREADABLE as error:
            raise DamagedError(f"{path} cannot be read: {error}") from error
        try:
            attributes = hdf5.read_attributes(self._file)
            stored = (attributes["fingerprint"], attributes["number"])
            self.host, self.cpu = str(attributes["host"]), str(attributes["cpu"])
        except hdf5.UNREADABLE as error:
            self.close()
            raise DamagedError(f"{path} cannot be read: {error}") from error
        if stored != (fingerprint, number):
            self.close()
            raise DamagedError(f"{path} belongs to another build")

    def read(self, name: str, layer: int | None = None) -> npt.NDArray[Any]:
        """Return `ids` (n,), `static` (n, D), or one layer of `isolated` (n, D), by its place in the file."""
        try:
            dataset = self._file[name]
            array: npt.NDArray[Any] = dataset[()] if layer is None else dataset[layer]
            expected = hdf5.read_attributes(dataset)["sha256"][layer or 0]
        except hdf5.UNREADABLE as error:
            raise DamagedError(f"{self.path} cannot be read: {error}") from error
        if checksum.of_array(array) != expected:
            raise DamagedError(f"{self.path}: {name} does not match its checksum")
        return array

    def check(self, ids: Sequence[int] | npt.NDArray[np.int64], layers: int) -> None:
        """Read everything once, and compare the ids with those the plan wants."""
        if not np.array_equal(self.read("ids"), ids):
            raise DamagedError(f"{self.path} holds other tokens than planned")
        self.read("static")
        for layer in range(layers):
            self.read("isolated", layer)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextlib.contextmanager
def open_shard(folder: Path, number: int, fingerprint: str) -> Iterator[ShardReader]:
    """Open a shard of a plan; see `ShardReader` for what is raised."""
    reader = ShardReader(path_of(folder, number), fingerprint, number)
    try:
        yield reader
    finally:
        reader.close()
