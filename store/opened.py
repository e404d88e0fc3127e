"""An open HDF5 file of a store: its attributes, and its datasets as memory maps that are checked on request."""

import errno
import math
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import ACCESS, DamagedError, KotovecError, StoreError, first_line
from kotovec.store import checksum, hdf5
from kotovec.store.files import open_descriptor

CURE = "build it again with --overwrite"
# Far more than any model has. A sparse file that claims more takes no space on the disk, and all memory.
MOST_TOKENS, MOST_TEXT = 1 << 24, 1 << 30
UPGRADE = "upgrade kotovec: pip install -U kotovec"


@dataclass(frozen=True)
class Dataset:
    """A dataset of a file, or a part of one.

    Attributes:
        array: a read-only memory map, or a read-only array.
        sha256: the checksum that the dataset was written with.
        whole: the complete dataset if `array` is a part of it.
    """

    array: npt.NDArray[Any]
    sha256: str
    whole: npt.NDArray[Any] | None = None

    def is_whole(self) -> bool:
        """Return whether the dataset is what was written."""
        return checksum.of_array(self.array if self.whole is None else self.whole) == self.sha256


@dataclass(frozen=True)
class SpaceFile:
    """The vectors of a space.

    Attributes:
        vectors, norms: the vectors, (V, D) float32 or float16, and their L2 norms, (V,) float64.
        made: how the vectors were made.
        parts: small arrays beside the vectors, by name.
    """

    vectors: Dataset
    norms: Dataset
    made: Mapping[str, Any]
    parts: Mapping[str, Dataset] = field(default_factory=dict)


class File:
    """An open HDF5 file of a store: later changes at its path do not affect it.

    HDF5 is given the open descriptor, so that headers and memory maps are of one file even if a build swaps the store
    in between; this also avoids HDF5's own file locking.

    Raises (when opening):
        FileNotFoundError: there is no file.
        StoreError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._raw: BinaryIO = open_descriptor(path)
            weakref.finalize(self, self._raw.close)  # Python itself warns of a file that it closes
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            hint = ACCESS if error.errno == errno.EACCES else None
            raise StoreError(f"{path} cannot be opened: {error.strerror}", hint=hint) from error

    def read(
        self, kind: str, names: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> tuple[dict[str, Any], dict[str, Dataset]]:
        """Return the file's attributes and some datasets.

        Args:
            kind: the encoding-type of the file.
            names: the names of the datasets.
            optional: names of datasets that not every such file has.

        Raises:
            StoreError: the file is not kotovec's, or has a newer format.
            DamagedError: the file cannot be read.
        """
        try:
            with h5py.File(self._raw, "r") as file:
                attributes = check_attributes(file, self.path, kind)
                here = (*names, *(name for name in optional if name.encode() in file.id))
                return attributes, {name: self._dataset(hdf5.node(file, name)) for name in here}
        except hdf5.UNREADABLE as error:
            # Not bound to a name: in a frame of its own traceback, the error would keep h5py's objects alive until
            # Python exits, when HDF5 is gone.
            raise self.unreadable(error) from error

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a group or dataset."""
        with h5py.File(self._raw, "r") as file:
            return hdf5.read_attributes(hdf5.node(file, name))

    def unreadable(self, error: BaseException) -> KotovecError:
        """Return the error that says what an error of h5py, or of kotovec, means for the file."""
        if isinstance(error, KotovecError):
            return error
        size = self._raw.seek(0, os.SEEK_END)
        self._raw.seek(0)
        if size == 0 or "truncated file" in str(error) or "past the end" in str(error):
            return DamagedError(f"{self.path} is {'cut short' if size else 'empty'}", hint=CURE)
        if self._raw.read(len(hdf5.SIGNATURE)) != hdf5.SIGNATURE:
            return StoreError(f"{self.path} is not a kotovec store, or is damaged (it is not HDF5)", hint=CURE)
        return DamagedError(f"{self.path} is damaged ({first_line(error)})", hint=CURE)

    def _dataset(self, dataset: h5py.Dataset) -> Dataset:
        dtype, shape, sha256 = dataset.dtype, dataset.shape, str(hdf5.read_attributes(dataset)["sha256"])
        offset = hdf5.locate(dataset, self._raw)
        if not hdf5.nbytes(dataset):
            return Dataset(np.empty(shape, dtype=dtype), sha256)
        return Dataset(self._array(dtype, shape, offset), sha256)

    def _array(self, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> npt.NDArray[Any]:
        """Return a memory map, or a copy where the file system has none, as some FUSE and 9P mounts."""
        try:
            return np.memmap(self._raw, mode="r", dtype=dtype, shape=shape, offset=offset)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
        self._raw.seek(offset)
        copy = np.fromfile(self._raw, dtype=dtype, count=math.prod(shape)).reshape(shape)
        copy.flags.writeable = False
        return copy

    @property
    def replaced(self) -> bool:
        """Whether the file at the path was replaced or deleted since this one was opened."""
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._raw.fileno()))
        except OSError:
            return True

    @property
    def closed(self) -> bool:
        """Whether the file was closed."""
        return self._raw.closed

    def close(self) -> None:
        """Close the file; its memory maps stay valid."""
        self._raw.close()


def check_attributes(file: h5py.File, path: Path, kind: str) -> dict[str, Any]:
    """Return the attributes of a file, if this kotovec reads its format.

    Raises:
        StoreError: the file is of another kind, or has a newer format.
    """
    attributes = hdf5.read_attributes(file)
    if attributes.get("encoding-type") != kind:
        raise StoreError(
            f"{path} is an HDF5 file, but not a kotovec store", hint="build it again if an early kotovec built it"
        )
    version = int(attributes["encoding-version"])
    if version > hdf5.FORMAT_VERSION:
        raise StoreError(f"{path} has format {version}, this kotovec reads up to {hdf5.FORMAT_VERSION}", hint=UPGRADE)
    return attributes
