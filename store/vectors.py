"""The files of an open store: the table of its tokens, read on opening, and its spaces, mapped on first use."""

import contextlib
import json
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, InputError, KotovecError, StoreError
from kotovec.locks import ForkLock
from kotovec.space import OUTPUT, PROTOTYPES, Origin, Space, Stored
from kotovec.store import hdf5
from kotovec.store.layout import HDF5, IMPORTED, PIECES, SPACE, SPACES, TABLE, Layout
from kotovec.store.opened import CURE, MOST_TEXT, MOST_TOKENS, UPGRADE, Dataset, File, SpaceFile
from kotovec.store.tokens import Kind, Marking, Pieces, Strings, Tokens

MOST_SWAPS = 100  # most swaps in a row while a store is opened
TABLES = ("id", "text", "surface", "kind")
# Beside the vectors of a table: rows without a token with their numbers, and the norm before an output matrix. Beside
# means (V,): how many contexts and vectors each is of, and the mean squared norm of these. Each with its dtype and its
# number of axes.
PARTS = {"unnamed": ("<f4", 2), "unnamed_id": ("<i8", 1), "norm": ("<f4", 1), "norm_bias": ("<f4", 1)}
OF_MEANS = {"n": ("<i8", 1), "uses": ("<i8", 1), "energy": ("<f8", 1)}
PARTS |= OF_MEANS
# Beside derived vectors: what their step learnt.
PARTS |= {"mean": ("<f8", 1), "axes": ("<f8", 2), "scale": ("<f8", 1)}
MOST_DIMENSIONS = 1 << 17  # far more than any model has
Block = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Tied:
    """A space that is another one.

    Attributes:
        of: the other one.
        made: how that was found.
        parts: small arrays of its own, by name.
    """

    of: Space
    made: Mapping[str, Any]
    parts: Mapping[str, Dataset]


class Vectors:
    """An open store's tokens and vectors.

    Attributes:
        path: the folder of the store.
        attributes: where tokens and model came from, as written by the build.
        tokens: the V tokens.
        is_former: whether the store is of format 1, in one file.

    Raises:
        StoreNotFoundError: there is no store, or none that has a space yet.
        StoreError: a file is not kotovec's, or has a newer format.
        DamagedError: headers or the token table do not match their checksums, or a file is cut short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = ForkLock()
        for _ in range(MOST_SWAPS):
            with _holding(path) as is_there:
                try:
                    self._open_all(Layout(path))
                except (KotovecError, FileNotFoundError):
                    if is_there():
                        raise
                else:
                    if is_there():
                        return
                    self.close()
        raise StoreError(f"{path} is swapped all the time", hint="run the same command again")

    def _open_all(self, layout: Layout) -> None:
        self._spaces: dict[Space, File | SpaceFile] = {}
        self._tied: dict[Space, Tied] = {}
        self._present: dict[Space, npt.NDArray[np.bool_] | None] = {}
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
            raise _absent(layout) from error
        try:
            self.attributes, self._tables = self._file.read(TABLE, TABLES, PIECES)
            self.tokens = self._read_tokens()
            for path in sorted(layout.spaces.glob(f"*{HDF5}")) if layout.spaces.is_dir() else ():
                self._add(_space_of(path), _open_space(path))
            self._tied = {space: tied for space, tied in self._tied.items() if tied.of in self._spaces}
        except BaseException:
            self.close()
            raise
        if not self._spaces:
            self.close()
            raise _absent(layout)

    def _add(self, space: Space, file: File) -> None:
        """Add an open file of a space, which may say that it is another one."""
        if space == OUTPUT:
            with contextlib.suppress(*hdf5.UNREADABLE, KotovecError):  # reported when it is read
                attributes, parts = file.read(SPACE, (), tuple(PARTS))
                if "tied" in attributes and attributes["identity"] == self.attributes["identity"]:
                    made = dict(json.loads(attributes["made"]))
                    self._tied[space] = Tied(Space.parse(attributes["tied"]), made, parts)
                    file.close()
                    return
        self._spaces[space] = file

    @cached_property
    def spaces(self) -> Stored:
        """The spaces that are stored, in order, and those that are another one."""
        tied = {space: tied.of for space, tied in self._tied.items()}
        return Stored.of(self._spaces, tied, partial(_origin_of, weakref.ref(self)))  # no cycle: files close at once

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of `isolated`, ascending."""
        plain = (space for space in self.spaces if space.name == "isolated" and not space.steps)
        return tuple(space.layer for space in plain if space.layer is not None and space.first is None)

    def _read_tokens(self) -> Tokens:
        tables = {name: self._tables[name].array for name in TABLES}
        longest = max(table.array.nbytes for name, table in self._tables.items() if name not in ("id", "kind"))
        if tables["id"].size > MOST_TOKENS or tables["kind"].size > MOST_TOKENS or longest > MOST_TEXT:
            raise DamagedError(f"{self._file.path} claims more tokens than any model has", hint=CURE)
        for name, table in self._tables.items():
            if not table.is_whole():
                raise DamagedError(f"{self._file.path}: {name} does not match its checksum", hint=CURE)
        try:
            ids, texts, surfaces, kinds = (np.array(self._tables[name].array) for name in TABLES)
            tokens = Tokens(
                ids=ids,
                texts=Strings(texts),
                surfaces=Strings(surfaces),
                kinds=kinds,
                marking=Marking(self.attributes["marking"]),
                unk_id=int(self.attributes["unk_id"]),
                pieces=self._read_pieces(len(ids)),
                imported=IMPORTED in self.attributes,
            )
            if not len(ids) == len(tokens.texts) == len(tokens.surfaces) == len(kinds):
                raise ValueError("tables of different lengths")
            if kinds.size and kinds.max() >= len(Kind):
                raise StoreError(f"{self.path} knows other kinds of tokens than this kotovec", hint=UPGRADE)
        except hdf5.UNREADABLE as error:
            raise self._file.unreadable(error) from error
        return tokens

    def _read_pieces(self, rows: int) -> Pieces | None:
        if not self._tables.keys() >= set(PIECES):
            return None
        offsets, ids = (self._tables[name].array for name in PIECES)
        fit = offsets.shape == (rows + 1,) and offsets.dtype == np.int64 and ids.dtype == np.int32 and ids.ndim == 1
        if not fit or offsets[0] != 0 or offsets[-1] != len(ids) or (rows and np.diff(offsets).min() < 1):
            raise ValueError("pieces that are not those of the words")
        return Pieces(offsets, ids)

    def array(self, space: Space) -> Block:
        """Return the vectors of a space, (V, D) as stored: a read-only memmap, in row order.

        Raises:
            NotStoredError: the store does not hold the space.
            DamagedError: the file of the space is damaged, or of other tokens.
        """
        return self._open(space).vectors.array

    def norms(self, space: Space) -> npt.NDArray[np.float64]:
        """Return the L2 norms of a space's vectors, (V,) float64."""
        return self._open(space).norms.array

    def made(self, space: Space) -> Mapping[str, Any]:
        """Return how the vectors of a space were made."""
        return self._tied[space].made if space in self._tied else self._open(space).made

    def part(self, space: Space, name: str) -> npt.NDArray[Any] | None:
        """Return a small array beside the vectors of a space, one of `PARTS`; None where it has none.

        Raises:
            DamagedError: it does not match its checksum.
        """
        parts = self._tied[space].parts if space in self._tied else self._open(space).parts
        found = parts.get(name)
        if found is None:
            return None
        width = self.array(space).shape[1]
        dtype, axes = PARTS[name]
        fits = (found.array.dtype, found.array.ndim) == (np.dtype(dtype), axes)
        if name in OF_MEANS:
            fits &= len(found.array) == len(self.tokens)
        if not fits or (axes == 2 and found.array.shape[1] != width) or not found.is_whole():  # noqa: PLR2004 — axes
            raise DamagedError(f"{self.path}: {name} of {space} does not match its checksum", hint=CURE)
        return found.array

    def present(self, space: Space) -> npt.NDArray[np.bool_] | None:
        """Return which rows have a vector in a space, (V,) bool; None where all have.

        A token that no sentence of the corpus has is a row of zeros in `context`, and no answer.

        Raises:
            NotStoredError, DamagedError: as `array`.
        """
        space = space.among(self.spaces)
        if space not in self._present:
            counts = self.part(space, "n")
            found = None if counts is None or counts.all() else counts > 0
            self._present[space] = found
        return self._present[space]

    def parts(self, space: Space) -> Mapping[str, Dataset]:
        """Return everything beside the vectors of a space, by name; of prototypes, see `prototypes.of_parts`."""
        return self._open(space).parts

    def checksum(self, space: Space) -> str:
        """Return the SHA-256 of a space's vectors."""
        return self._open(space).vectors.sha256

    def matches(self, space: Space, sha256: str) -> bool:
        """Return whether a space's vectors have this checksum; not if they are not stored, or their file is damaged."""
        with contextlib.suppress(DamagedError, StoreError):
            return space in self.spaces and self.checksum(space) == sha256
        return False

    def _open(self, space: Space) -> SpaceFile:
        space = space.among(self.spaces)
        base = self._open_means(space) if space.name == PROTOTYPES else None
        with self._lock:  # two threads would read headers from one descriptor
            file = self._spaces[space]
            if isinstance(file, File):
                if file.closed:
                    raise StoreError(f"{self.path} was closed", hint="open it again")
                self._spaces[space] = read = self._read_derived(file, space, base)
                file.close()  # what is mapped stays
                return read
            return file

    def _read_derived(self, file: File, space: Space, base: SpaceFile | None) -> SpaceFile:
        """Read a space; where it is derived from another one, damage is mended as that was."""
        try:
            return self._read_space(file, space, base)
        except DamagedError as error:
            if not space.steps:
                raise
            from kotovec.store.geometry.steps import mending

            raise DamagedError(str(error), hint=mending(space)) from error

    def _open_means(self, space: Space) -> SpaceFile:
        if space.averaged not in self._spaces:
            raise DamagedError(f"{self.path} has {space} without {space.averaged}, its means", hint=CURE)
        return self._open(space.averaged)

    def _read_space(self, file: File, space: Space, base: SpaceFile | None) -> SpaceFile:
        if base is not None:
            from kotovec.store import prototypes

            return prototypes.read_space(file, space, self.attributes["identity"], base)
        attributes, found = file.read(SPACE, ("vectors", "norms"), tuple(PARTS))
        vectors, norms, rows = found["vectors"], found["norms"], len(self.tokens)
        try:
            if attributes["identity"] != self.attributes["identity"] or attributes["space"] != str(space):
                raise DamagedError(f"{file.path} is of other tokens or of another space", hint=CURE)
            shapes = (vectors.array.dtype.kind, vectors.array.ndim, len(vectors.array), norms.array.shape)
            if shapes != ("f", 2, rows, (rows,)) or vectors.array.shape[1] > MOST_DIMENSIONS:
                raise ValueError("another type or shape than the tokens have")
            parts = {name: part for name, part in found.items() if name in PARTS}
            return SpaceFile(vectors, norms, json.loads(attributes["made"]), parts)
        except hdf5.UNREADABLE as error:
            raise file.unreadable(error) from error

    @property
    def replaced(self) -> bool:
        """Whether the store at the path was replaced or deleted since this one was opened."""
        return self._file.replaced

    def verify(self) -> list[str]:
        """Recompute every checksum; return the files and datasets that do not match."""
        damaged = [f"{self._file.path.name}: {name}" for name, table in self._tables.items() if not table.is_whole()]
        for space in self.spaces:
            path = f"{SPACES}/{space.stem}{HDF5}"
            try:
                file = self._open(space)
            except (DamagedError, StoreError):
                damaged.append(path)
                continue
            parts = {"vectors": file.vectors, "norms": file.norms, **file.parts}
            if space.name == PROTOTYPES:  # the others are those of another file
                parts = {name: part for name, part in parts.items() if name.startswith("centre")}
            damaged += [f"{path}: {name}" for name, part in parts.items() if not part.is_whole()]
        for space, tied in self._tied.items():
            path = f"{SPACES}/{space.stem}{HDF5}"
            damaged += [f"{path}: {name}" for name, part in tied.parts.items() if not part.is_whole()]
        return damaged

    def tokenizer_files(self) -> dict[str, str]:
        """Return the SHA-256 of each file of the store's tokenizer, by its path; empty where none is recorded."""
        return self.table("tokenizer_files")

    def settings(self, space: Space | None = None) -> dict[str, Any]:
        """Return the settings that the build of the tokens, or of a space, was planned with."""
        if space is not None:
            return dict(self.made(space).get("settings", {}))
        return self.table("settings")

    def table(self, name: str) -> dict[str, Any]:
        """Return an attribute that is written as a JSON object; an empty one if the store has none.

        Raises:
            DamagedError: it is no such object.
        """
        try:
            found = json.loads(self.attributes.get(name, "{}"))
        except (ValueError, TypeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise DamagedError(f"{self._file.path} is damaged ({name} is no table)", hint=CURE)
        return found

    def close(self) -> None:
        """Close all files; their memory maps stay valid."""
        for file in (self._file, *self._spaces.values()):
            if isinstance(file, File):
                file.close()


def _absent(layout: Layout) -> KotovecError:
    from kotovec.store.absence import explain

    return explain(layout)


def _open_space(path: Path) -> File:
    try:
        return File(path)
    except FileNotFoundError as error:
        if path.is_symlink():  # else a build has just swapped the store
            raise DamagedError(f"{path} is a link to nothing", hint=CURE) from error
        raise


def _space_of(path: Path) -> Space:
    try:
        return Space.of_stem(path.stem)
    except InputError as error:
        raise StoreError(f"{path} is not a space of a kotovec store", hint="move it elsewhere") from error


@contextlib.contextmanager
def _holding(folder: Path) -> Iterator[Callable[[], bool]]:
    """Hold a folder open, and yield a check of whether its path still leads to it: a build may swap the store.

    The folder is held so that no other one gets its inode number.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield lambda: True
        return
    try:
        yield lambda: _leads_to(folder, descriptor)
    finally:
        os.close(descriptor)


def _leads_to(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _origin_of(reference: "weakref.ref[Vectors]") -> Origin | None:
    """Return what a store was built from, as its files say it; None once they are closed."""
    from kotovec.store.origin import origin_of  # 2 ms of a query, which a hint alone needs

    vectors = reference()
    return None if vectors is None else origin_of(vectors)
