"""Open `vectors.h5` for reading: headers and tokens at once, vectors through read-only memmaps."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError, NotStoredError, StoreError, StoreNotFoundError
from kotovec.store import checksum
from kotovec.store.merge import FORMAT_VERSION
from kotovec.store.tokens import Kind, Marking, Strings, Tokens

FILE = "vectors.h5"
SPACES = ("static", "isolated")
UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError)  # as h5py finds damaged headers
Block = npt.NDArray[np.floating[Any]]


class Vectors:
    """The one file that matters, opened once: later changes of the path do not touch what is open.

    Attributes:
        path: of the file.
        attributes: provenance, as written by the build.
        tokens: the V tokens.
        layers: the layers that `isolated` holds, ascending.

    Raises:
        StoreNotFoundError: no such file.
        StoreError: the file is not a kotovec store, or of a newer format.
        DamagedError: the token table does not match its checksum, or the file is shorter than its headers say.
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
                _check_format(file, path)
                self._read(file)
        except UNREADABLE as error:
            self._raw.close()
            if isinstance(error, StoreError | DamagedError):
                raise
            if "truncated file" in str(error):
                raise DamagedError(f"{path} is cut short: build it again") from error
            raise StoreError(f"{path} is not a kotovec store, or is damaged: {error}") from error

    def _read(self, file: h5py.File) -> None:
        self.attributes: dict[str, Any] = {name: _plain(value) for name, value in file.attrs.items()}
        group = file["tokens"]
        columns = {name: group[name][()] for name in ("id", "text", "surface", "kind")}
        for name, column in columns.items():
            if checksum.of_array(column) != group[name].attrs["sha256"]:
                raise DamagedError(f"{self.path}: tokens/{name} does not match its checksum; build it again")
        self.tokens = Tokens(
            ids=columns["id"],
            texts=Strings(columns["text"]),
            surfaces=Strings(columns["surface"]),
            kinds=columns["kind"],
            marking=Marking(group.attrs["marking"]),
            unk_id=int(group.attrs["unk_id"]),
        )
        self.layers = tuple(int(layer) for layer in file["vectors/isolated"].attrs["layers"])
        self.checksums = {name: str(file["vectors"][name].attrs["sha256"]) for name in SPACES}
        self._arrays = {
            name: self._map(file["vectors"][name]) for name in (*SPACES, *(f"{space}_norms" for space in SPACES))
        }

    def _map(self, dataset: h5py.Dataset) -> npt.NDArray[Any]:
        offset = dataset.id.get_offset()
        size = self._raw.seek(0, 2)
        if offset is None or offset + dataset.nbytes > size:
            raise DamagedError(f"{self.path} is cut short: {dataset.name} reaches past its end; build it again")
        return np.memmap(self._raw, mode="r", dtype=dataset.dtype, shape=dataset.shape, offset=offset)

    def layer_number(self, layer: int) -> int:
        """Return the number of a stored layer; negative ones count from the last stored.

        Raises:
            NotStoredError: the store does not hold that layer.
        """
        if -len(self.layers) <= layer < 0:
            return self.layers[layer]
        if layer not in self.layers:
            stored = ", ".join(map(str, self.layers))
            raise NotStoredError(f"layer {layer} is not in this store: it holds {stored}; build with --layers")
        return layer

    def array(self, space: str, layer: int = -1) -> Block:
        """Return the vectors of a space, (V, D) as stored: a read-only memmap, in row order."""
        return self._pick(space, "", layer)

    def norms(self, space: str, layer: int = -1) -> npt.NDArray[np.float64]:
        """Return the L2 norms of a space's vectors, (V,) float64."""
        return self._pick(space, "_norms", layer)

    def _pick(self, space: str, suffix: str, layer: int) -> npt.NDArray[Any]:
        if space not in SPACES:
            raise NotStoredError(f"there is no space {space!r}: take one of {', '.join(SPACES)}")
        array = self._arrays[f"{space}{suffix}"]
        if space == "static":
            if layer != -1:
                raise NotStoredError(f"static has no layer {layer}: layers go with the space isolated")
            return array
        return array[self.layers.index(self.layer_number(layer))]  # type: ignore[no-any-return]

    def verify(self) -> list[str]:
        """Recompute the checksum of every dataset; return the names of those that do not match."""
        tables = ("tokens/id", "tokens/text", "tokens/surface", "tokens/kind")
        try:
            with h5py.File(self._raw, "r") as file:
                names = (*tables, *(f"vectors/{name}" for name in self._arrays))
                return [f"{FILE}: {name}" for name in names if not self._is_whole(file, name)]
        except UNREADABLE:
            return [f"{FILE}: its headers"]

    def _is_whole(self, file: h5py.File, name: str) -> bool:
        try:
            array = self._arrays.get(name.removeprefix("vectors/"))
            return bool(checksum.of_array(file[name][()] if array is None else array) == file[name].attrs["sha256"])
        except UNREADABLE:
            return False

    def tokenizer_files(self) -> dict[str, str]:
        """Return the SHA-256 of each file of the store's tokenizer, by its path; empty where none is recorded."""
        files: dict[str, str] = json.loads(self.attributes.get("tokenizer_files", "{}"))
        return files

    def settings(self) -> dict[str, Any]:
        """Return the settings of the build, as its plan wrote them."""
        settings: dict[str, Any] = json.loads(self.attributes["settings"])
        return settings


def _check_format(file: h5py.File, path: Path) -> None:
    if file.attrs.get("encoding-type") != "kotovec-store":
        raise StoreError(f"{path} is an HDF5 file, but not a kotovec store")
    version = int(file.attrs["encoding-version"])
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {version}, this kotovec reads up to {FORMAT_VERSION}: pip install -U kotovec"
        )
    if len(Kind) != len(h5py.check_enum_dtype(file["tokens/kind"].dtype)):
        raise StoreError(f"{path} knows other kinds of tokens than this kotovec: pip install -U kotovec")


def _plain(value: Any) -> Any:
    """Return an attribute as a plain Python value."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
