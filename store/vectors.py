"""Open `vectors.h5` for reading: headers and tokens at once, vectors through read-only memmaps."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, KotovecError, StoreError, StoreNotFoundError, first_line
from kotovec.space import Space
from kotovec.store import checksum, hdf5
from kotovec.store.tokens import Kind, Marking, Strings, Tokens

FILE = "vectors.h5"
CURE = "build it again with --overwrite"
STORED = ("static", "isolated")
TABLES = ("tokens/id", "tokens/text", "tokens/surface", "tokens/kind")
ARRAYS = tuple(f"vectors/{space}{suffix}" for space in STORED for suffix in ("", "_norms"))
Block = npt.NDArray[np.floating[Any]]


class Vectors:
    """The one file that matters, opened once: later changes of the path do not touch what is open.

    Attributes:
        path: of the file.
        attributes: provenance, as written by the build.
        tokens: the V tokens.
        layers: the layers that `isolated` holds, ascending.
        spaces: all that it holds, in order.

    Raises:
        StoreNotFoundError: no such file.
        StoreError: the file is none of kotovec's, or of a newer format.
        DamagedError: headers or the token table do not match their checksums, or the file is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._raw = path.open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            if (path.parent / "shards" / "plan.json").is_file():
                raise StoreNotFoundError(
                    f"{path.parent} is not finished: the same kotovec build that began it goes on"
                ) from error
            raise StoreNotFoundError(f"{path.parent} holds no {FILE}: not a store, or not built yet") from error
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            # Through the open descriptor, so that headers and memmaps are of one file even if a build swaps the
            # store in between; HDF5's own file locking is then out of the way, too.
            with h5py.File(self._raw, "r") as file:
                self.attributes: dict[str, Any] = _checked_attributes(file, path)
                self._read(file)
        except hdf5.UNREADABLE as error:
            try:
                # Not by a name of its own: in a frame of its own traceback it would keep h5py's objects until
                # Python's end, when HDF5 is gone.
                raise self._unreadable(error) from error
            finally:
                self._raw.close()
        except BaseException:
            self._raw.close()
            raise

    def _unreadable(self, error: BaseException) -> KotovecError:
        """Return the error that says what an error of h5py's, or of ours, means for the file."""
        if isinstance(error, StoreError | DamagedError):
            return error
        size = self._raw.seek(0, 2)
        self._raw.seek(0)
        if size == 0 or "truncated file" in str(error):
            return DamagedError(f"{self.path} is {'cut short' if size else 'empty'}: {CURE}")
        if self._raw.read(len(hdf5.SIGNATURE)) != hdf5.SIGNATURE:
            return StoreError(f"{self.path} is not a kotovec store, or is damaged (it is not HDF5): {CURE}")
        return DamagedError(f"{self.path} is damaged ({first_line(error)}): {CURE}")

    def _read(self, file: h5py.File) -> None:
        self._arrays = {name: self._map(file[name]) for name in (*TABLES, *ARRAYS)}
        marks = {name: hdf5.read_attributes(file[name]) for name in self._arrays}
        self._sha256 = {name: str(mark["sha256"]) for name, mark in marks.items()}
        self.layers: tuple[int, ...] = tuple(marks["vectors/isolated"]["layers"])
        self.spaces = (Space("static"), *(Space("isolated", layer) for layer in self.layers))
        self._check_shapes()
        for name in TABLES:
            if not self._is_whole(name):
                raise DamagedError(f"{self.path}: {name} does not match its checksum; {CURE}")
        ids, texts, surfaces, kinds = (np.array(self._arrays[name]) for name in TABLES)
        group = hdf5.read_attributes(file["tokens"])
        self.tokens = Tokens(
            ids=ids,
            texts=Strings(texts),
            surfaces=Strings(surfaces),
            kinds=kinds,
            marking=Marking(group["marking"]),
            unk_id=int(group["unk_id"]),
        )

    def _check_shapes(self) -> None:
        """Raise ValueError where the datasets do not fit together: a file that was mended by hand, or of two."""
        found = {name: (array.dtype.kind, *array.shape) for name, array in self._arrays.items()}
        rows = found["tokens/id"][-1]
        sizes = {space: found[f"vectors/{space}"][-1] for space in STORED}
        layers = len(self.layers)
        expected: dict[str, tuple[str | int, ...]] = {
            "tokens/id": ("i", rows),
            "tokens/text": ("S", rows),
            "tokens/surface": ("S", rows),
            "tokens/kind": ("u", rows),
            "vectors/static": ("f", rows, sizes["static"]),
            "vectors/static_norms": ("f", rows),
            "vectors/isolated": ("f", layers, rows, sizes["isolated"]),
            "vectors/isolated_norms": ("f", layers, rows),
        }
        for name, shape in expected.items():
            if found[name] != shape:
                raise ValueError(f"{name} has another type or shape than the rest")

    def _map(self, dataset: h5py.Dataset) -> npt.NDArray[Any]:
        offset = dataset.id.get_offset()
        size = self._raw.seek(0, 2)
        if offset is None or offset + dataset.nbytes > size:
            raise DamagedError(f"{self.path} is cut short: {dataset.name} reaches past its end; {CURE}")
        return np.memmap(self._raw, mode="r", dtype=dataset.dtype, shape=dataset.shape, offset=offset)

    @property
    def replaced(self) -> bool:
        """Another file, or none, lies at the path since this one was opened."""
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._raw.fileno()))
        except OSError:
            return True

    def array(self, space: Space) -> Block:
        """Return the vectors of a space, (V, D) as stored: a read-only memmap, in row order.

        Raises:
            NotStoredError: the store does not hold it.
        """
        return self._pick(space, "")

    def norms(self, space: Space) -> npt.NDArray[np.float64]:
        """Return the L2 norms of a space's vectors, (V,) float64."""
        return self._pick(space, "_norms")

    def checksum(self, space: Space) -> str:
        """Return the SHA-256 of the dataset that a space is in."""
        return self._sha256[f"vectors/{space.among(self.spaces).name}"]

    def dataset(self, space: Space) -> str | None:
        """Return the checksum of a space's vectors, or None where they are not stored."""
        return self.checksum(space) if space in self.spaces else None

    def _pick(self, space: Space, suffix: str) -> npt.NDArray[Any]:
        space = space.among(self.spaces)
        array = self._arrays[f"vectors/{space.name}{suffix}"]
        return array if space.layer is None else array[self.layers.index(space.layer)]

    def verify(self) -> list[str]:
        """Recompute the checksum of every dataset; return the names of those that do not match."""
        return [name for name in self._arrays if not self._is_whole(name)]

    def _is_whole(self, name: str) -> bool:
        return checksum.of_array(self._arrays[name]) == self._sha256[name]

    def tokenizer_files(self) -> dict[str, str]:
        """Return the SHA-256 of each file of the store's tokenizer, by its path; empty where none is recorded."""
        files: dict[str, str] = json.loads(self.attributes.get("tokenizer_files", "{}"))
        return files

    def settings(self) -> dict[str, Any]:
        """Return the settings of the build, as its plan wrote them."""
        settings: dict[str, Any] = json.loads(self.attributes["settings"])
        return settings


def _checked_attributes(file: h5py.File, path: Path) -> dict[str, Any]:
    """Return the attributes of a store of a format that this kotovec reads."""
    attributes = hdf5.read_attributes(file)
    if attributes.get("encoding-type") != "kotovec-store":
        raise StoreError(f"{path} is an HDF5 file, but not a kotovec store (or an early one: build it again)")
    version = int(attributes["encoding-version"])
    if version > hdf5.FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {version}, this kotovec reads up to {hdf5.FORMAT_VERSION}: pip install -U kotovec"
        )
    if len(Kind) != len(h5py.check_enum_dtype(file["tokens/kind"].dtype)):
        raise StoreError(f"{path} knows other kinds of tokens than this kotovec: pip install -U kotovec")
    return attributes
