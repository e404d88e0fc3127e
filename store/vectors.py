"""The files of an open store: the table of its tokens, read at once, and its spaces, mapped when they are asked for."""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, KotovecError, StoreError, StoreNotFoundError, first_line
from kotovec.space import Space
from kotovec.store import checksum, hdf5, writer
from kotovec.store.files import open_descriptor
from kotovec.store.layout import Layout
from kotovec.store.tokens import Kind, Marking, Strings, Tokens

CURE = "build it again with --overwrite"
TABLES = ("id", "text", "surface", "kind")
Block = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Dataset:
    """A dataset of a file, or a part of one.

    Attributes:
        array: a read-only memory map.
        sha256: that the dataset was written with.
        whole: the dataset, where `array` is a part of it.
    """

    array: npt.NDArray[Any]
    sha256: str
    whole: npt.NDArray[Any] | None = None

    def is_whole(self) -> bool:
        """Tell whether it is what was written."""
        return checksum.of_array(self.array if self.whole is None else self.whole) == self.sha256


@dataclass(frozen=True)
class SpaceFile:
    """The vectors of a space.

    Attributes:
        vectors, norms: (V, D) float32 or float16, and (V,) float64.
        made: how they were made.
    """

    vectors: Dataset
    norms: Dataset
    made: Mapping[str, Any]


class File:
    """An open HDF5 file of a store: later changes of its path do not touch what is open.

    HDF5 is given the open descriptor, so that headers and memory maps are of one file even if a build swaps the store
    in between; its own file locking is then out of the way, too.

    Raises (when opening):
        FileNotFoundError: there is none.
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._raw: BinaryIO = open_descriptor(path)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}") from error

    def read(self, kind: str, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Dataset]]:
        """Return the file's attributes and some datasets.

        Args:
            kind: its encoding-type.
            names: of the datasets.

        Raises:
            StoreError: the file is none of kotovec's, or of a newer format.
            DamagedError: it cannot be read.
        """
        try:
            with h5py.File(self._raw, "r") as file:
                attributes = check_attributes(file, self.path, kind)
                return attributes, {name: self._dataset(file[name]) for name in names}
        except hdf5.UNREADABLE as error:
            # Not by a name of its own: in a frame of its own traceback it would keep h5py's objects until Python's
            # end, when HDF5 is gone.
            raise self.unreadable(error) from error

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a group or dataset."""
        with h5py.File(self._raw, "r") as file:
            return hdf5.read_attributes(file[name])

    def unreadable(self, error: BaseException) -> KotovecError:
        """Return the error that says what an error of h5py's, or of ours, means for the file."""
        if isinstance(error, KotovecError):
            return error
        size = self._raw.seek(0, os.SEEK_END)
        self._raw.seek(0)
        if size == 0 or "truncated file" in str(error):
            return DamagedError(f"{self.path} is {'cut short' if size else 'empty'}: {CURE}")
        if self._raw.read(len(hdf5.SIGNATURE)) != hdf5.SIGNATURE:
            return StoreError(f"{self.path} is not a kotovec store, or is damaged (it is not HDF5): {CURE}")
        return DamagedError(f"{self.path} is damaged ({first_line(error)}): {CURE}")

    def _dataset(self, dataset: h5py.Dataset) -> Dataset:
        offset = dataset.id.get_offset()
        size = self._raw.seek(0, os.SEEK_END)
        if offset is None or offset + dataset.nbytes > size:
            raise DamagedError(f"{self.path} is cut short: {dataset.name} reaches past its end; {CURE}")
        array: npt.NDArray[Any] = np.empty(dataset.shape, dtype=dataset.dtype)
        if dataset.nbytes:
            array = np.memmap(self._raw, mode="r", dtype=dataset.dtype, shape=dataset.shape, offset=offset)
        return Dataset(array, str(hdf5.read_attributes(dataset)["sha256"]))

    @property
    def replaced(self) -> bool:
        """Another file, or none, lies at the path since this one was opened."""
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._raw.fileno()))
        except OSError:
            return True

    def close(self) -> None:
        """Close the file; what is mapped stays."""
        self._raw.close()


class Vectors:
    """An open store's tokens and vectors.

    Attributes:
        path: of the folder.
        attributes: where tokens and model came from, as written by the build.
        tokens: the V tokens.
        is_former: it is of format 1, in one file.

    Raises:
        StoreNotFoundError: there is no store, or none that has a space yet.
        StoreError: a file is none of kotovec's, or of a newer format.
        DamagedError: headers or the token table do not match their checksums, or a file is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path, layout = path, Layout(path)
        self._spaces: dict[Space, File | SpaceFile] = {}
        self._lock = Lock()
        self.is_former = False
        try:
            self._file = File(layout.tokens)
        except (FileNotFoundError, NotADirectoryError) as error:
            if layout.former.is_file():
                from kotovec.store import former

                self._file, self.attributes, self._tables, self._spaces = former.open_store(layout.former)
                self.is_former = True
                self.tokens = self._read_tokens()
                return
            raise _not_found(layout) from error
        try:
            self.attributes, self._tables = self._file.read(writer.TABLE, TABLES)
            self.tokens = self._read_tokens()
            for file in sorted(layout.spaces.glob("*.h5")) if layout.spaces.is_dir() else ():
                self._spaces[_space_of(file)] = File(file)
        except BaseException:
            self.close()
            raise
        if not self._spaces:
            self.close()
            raise _not_found(layout)

    @cached_property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces that are stored, in order."""
        return tuple(sorted(self._spaces))

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of `isolated`, ascending."""
        plain = (space for space in self.spaces if space.name == "isolated" and not space.steps)
        return tuple(space.layer for space in plain if space.layer is not None and space.first is None)

    def _read_tokens(self) -> Tokens:
        for name, table in self._tables.items():
            if not table.is_whole():
                raise DamagedError(f"{self._file.path}: {name} does not match its checksum; {CURE}")
        try:
            ids, texts, surfaces, kinds = (np.array(self._tables[name].array) for name in TABLES)
            tokens = Tokens(
                ids=ids,
                texts=Strings(texts),
                surfaces=Strings(surfaces),
                kinds=kinds,
                marking=Marking(self.attributes["marking"]),
                unk_id=int(self.attributes["unk_id"]),
            )
            if not len(ids) == len(tokens.texts) == len(tokens.surfaces) == len(kinds):
                raise ValueError("tables of different lengths")
            if kinds.size and kinds.max() >= len(Kind):
                raise StoreError(f"{self.path} knows other kinds of tokens than this kotovec: pip install -U kotovec")
        except hdf5.UNREADABLE as error:
            raise self._file.unreadable(error) from error
        return tokens

    def array(self, space: Space) -> Block:
        """Return the vectors of a space, (V, D) as stored: a read-only memmap, in row order.

        Raises:
            NotStoredError: the store does not hold it.
            DamagedError: its file is damaged, or of other tokens.
        """
        return self._open(space).vectors.array

    def norms(self, space: Space) -> npt.NDArray[np.float64]:
        """Return the L2 norms of a space's vectors, (V,) float64."""
        return self._open(space).norms.array

    def made(self, space: Space) -> Mapping[str, Any]:
        """Return how the vectors of a space were made."""
        return self._open(space).made

    def checksum(self, space: Space) -> str:
        """Return the SHA-256 of a space's vectors."""
        return self._open(space).vectors.sha256

    def dataset(self, space: Space) -> str | None:
        """Return the checksum of a space's vectors, or None where they are not stored, or cannot be used."""
        with contextlib.suppress(DamagedError, StoreError):
            return self.checksum(space) if space in self.spaces else None
        return None

    def may_be(self, space: Space, sha256: str) -> bool:
        """Tell whether a space's vectors have a checksum, or may have: their file is damaged, which `verify` names."""
        try:
            return self.dataset(space) == sha256
        except (DamagedError, StoreError):
            return True

    def _open(self, space: Space) -> SpaceFile:
        space = space.among(self.spaces)
        with self._lock:  # two threads would read headers from one descriptor
            file = self._spaces[space]
            if isinstance(file, File):
                self._spaces[space] = file = self._read_space(file, space)
            return file

    def _read_space(self, file: File, space: Space) -> SpaceFile:
        attributes, found = file.read(writer.SPACE, ("vectors", "norms"))
        vectors, norms, rows = found["vectors"], found["norms"], len(self.tokens)
        try:
            if attributes["identity"] != self.attributes["identity"] or attributes["space"] != str(space):
                raise DamagedError(f"{file.path} is of other tokens or of another space: {CURE}")
            shapes = (vectors.array.dtype.kind, vectors.array.ndim, len(vectors.array), norms.array.shape)
            if shapes != ("f", 2, rows, (rows,)):
                raise ValueError("another type or shape than the tokens have")
            return SpaceFile(vectors, norms, json.loads(attributes["made"]))
        except hdf5.UNREADABLE as error:
            raise file.unreadable(error) from error

    @property
    def replaced(self) -> bool:
        """Another store, or none, lies at the path since this one was opened."""
        return self._file.replaced

    def verify(self) -> list[str]:
        """Recompute every checksum; return the files and datasets that do not match."""
        damaged = [f"{self._file.path.name}: {name}" for name, table in self._tables.items() if not table.is_whole()]
        for space in self.spaces:
            path = f"spaces/{space.stem}.h5"
            try:
                file = self._open(space)
            except (DamagedError, StoreError):
                damaged.append(path)
                continue
            parts = {"vectors": file.vectors, "norms": file.norms}
            damaged += [f"{path}: {name}" for name, part in parts.items() if not part.is_whole()]
        return damaged

    def tokenizer_files(self) -> dict[str, str]:
        """Return the SHA-256 of each file of the store's tokenizer, by its path; empty where none is recorded."""
        files: dict[str, str] = json.loads(self.attributes.get("tokenizer_files", "{}"))
        return files

    def settings(self, space: Space | None = None) -> dict[str, Any]:
        """Return the settings that the build of the tokens, or of a space, was planned with."""
        if space is not None:
            return dict(self.made(space).get("settings", {}))
        settings: dict[str, Any] = json.loads(self.attributes["settings"])
        return settings

    def close(self) -> None:
        """Close all files; what is mapped stays."""
        for file in (self._file, *self._spaces.values()):
            if isinstance(file, File):
                file.close()


def check_attributes(file: h5py.File, path: Path, kind: str) -> dict[str, Any]:
    """Return the attributes of a file of a format that this kotovec reads.

    Raises:
        StoreError: it is of another kind, or of a newer format.
    """
    attributes = hdf5.read_attributes(file)
    if attributes.get("encoding-type") != kind:
        raise StoreError(f"{path} is an HDF5 file, but not a kotovec store (or an early one: build it again)")
    version = int(attributes["encoding-version"])
    if version > hdf5.FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {version}, this kotovec reads up to {hdf5.FORMAT_VERSION}: pip install -U kotovec"
        )
    return attributes


def _space_of(path: Path) -> Space:
    try:
        return Space.of_stem(path.stem)
    except InputError as error:
        raise StoreError(f"{path} is no space of a kotovec store: move it elsewhere") from error


def _not_found(layout: Layout) -> StoreNotFoundError:
    if layout.plan.is_file() or layout.tokens.is_file():
        return StoreNotFoundError(f"{layout.folder} is not finished: the same kotovec build that began it goes on")
    return StoreNotFoundError(f"{layout.folder} holds no {layout.tokens.name}: not a store, or not built yet")
