"""Vectors as arrays: NumPy's `.npy` with a file of words beside it, and safetensors, which hold both."""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, MissingDependencyError, choices
from kotovec.store.exchange.formats import FORMATS, Format
from kotovec.store.exchange.lines import WordLines
from kotovec.store.exchange.streams import Writable
from kotovec.store.exchange.text import NUMBERS, Block
from kotovec.store.tokens import Strings
from kotovec.store.vectors import MOST_DIMENSIONS

WORDS = FORMATS[Format.NPY].words
VECTORS, TEXTS, OFFSETS = "vectors", "words", "offsets"  # the tensors of a safetensors file
_OTHERS = (VECTORS, "embeddings", "embedding.weight")  # what other tools call them
_DOWNLOAD = "download it again, or check the format with --format"


class Rows(Protocol):
    """V vectors that are read by slices."""

    def __getitem__(self, part: slice) -> Any:
        """Return some of them."""


class ArraySource:
    """V vectors of D dimensions in an array, and their words.

    Attributes:
        dimensions: D.
    """

    def __init__(self, path: Path, rows: Rows, shape: tuple[int, ...], words: Iterable[bytes] | None = None) -> None:
        if len(shape) != 2 or not shape[0] or not 0 < shape[1] <= MOST_DIMENSIONS:  # noqa: PLR2004 — rows and columns
            raise InputError(f"{path}: an array of {'×'.join(map(str, shape)) or 'one number'}", hint=_DOWNLOAD)
        self._path, self._rows, self._words = path, rows, words
        self._count, self.dimensions = shape
        self._lines = WordLines(path.with_name(path.stem + WORDS), path, lambda: self._count)

    def where(self, row: int) -> str:
        """Return the file and the line of a word."""
        return self._lines.where(row) if self._words is None else f"{self._path}: row {row + 1:,}"

    def words(self) -> Iterator[bytes]:
        """Yield the words; see `WordLines.words`."""
        return self._lines.words() if self._words is None else iter(self._words)

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32.

        Raises:
            InputError: a number is not finite; the message names its row.
        """
        most = max(1, NUMBERS // self.dimensions)
        for start in range(0, self._count, most):
            yield finite(np.asarray(self._rows[start : min(start + most, self._count)]), self._path, start)


def finite(block: npt.NDArray[Any], path: Path, start: int) -> Block:
    """Return numbers as float32.

    Args:
        block: (n, D) numbers.
        path: the file that an error names.
        start: the row of the first of them.

    Raises:
        InputError: one is not finite, or not in float32.
    """
    if block.dtype.kind not in "fiu":
        raise InputError(f"{path}: numbers of the type {block.dtype}", hint="save them as float32")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(block, dtype=np.float32)
    good = np.isfinite(found).all(axis=1)
    if not good.all():
        row = start + int(np.argmin(good)) + 1
        raise InputError(f"{path}: row {row:,}: its vector is not finite in float32", hint=_DOWNLOAD)
    return found


class _Mapped:
    """A `.npy` file that is mapped for each slice: all that was read of one map would stay in memory with it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        return np.array(np.load(self._path, mmap_mode="r", allow_pickle=False)[part])


class _Sliced:
    """A tensor of a safetensors file that is opened for each slice, for the same reason."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        from safetensors import safe_open

        file: Any = safe_open(self._path, framework="np")
        return np.array(file.get_slice(self._name)[part])


class _Words:
    """V words in one block, made one by one: a list of two million would take 100 MB."""

    def __init__(self, block: bytes, offsets: npt.NDArray[np.int64]) -> None:
        self._block, self._offsets = block, offsets

    def __iter__(self) -> Iterator[bytes]:
        return (self._block[start:stop] for start, stop in pairwise(map(int, self._offsets)))


def open_npy(path: Path) -> ArraySource:
    """Open a `.npy` file to import; its words lie in `NAME.words.txt`.

    Raises:
        InputError: it is no array of numbers; what would have to be unpickled is none.
    """
    return ArraySource(path, *map_npy(path))


def map_npy(path: Path) -> tuple[Rows, tuple[int, ...]]:
    """Return the array of a `.npy` file, whose slices are read when they are asked for, and its shape.

    Raises:
        InputError: as `open_npy`.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is no array of numbers ({error})", hint=_DOWNLOAD) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} is several arrays", hint="save one as .npy")
    return _Mapped(path), array.shape


def write_npy(file: Writable, blocks: Iterable[Block], shape: tuple[int, int]) -> None:
    """Write vectors as a `.npy` file of (V, D) float32."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks:
        file.write(block.astype("<f4").tobytes())


def open_safetensors(path: Path) -> ArraySource:
    """Open a safetensors file to import: the tensor `vectors`, and `words` with their `offsets` or a file beside it.

    Raises:
        InputError: it is damaged, or holds no such tensor.
        MissingDependencyError: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        hint = "install it: pip install safetensors"
        raise MissingDependencyError("a safetensors file needs safetensors", hint=hint) from error
    try:
        file: Any = safe_open(path, framework="np")
        names = set(file.keys())
        name = next((each for each in _OTHERS if each in names), None)
        if name is None:
            raise InputError(f"{path} holds no tensor `{VECTORS}`", hint=f"name one {choices(_OTHERS)}")
        rows = file.get_slice(name)
        words = None
        if {TEXTS, OFFSETS} <= names:
            words = _words(path, file.get_tensor(TEXTS), file.get_tensor(OFFSETS), rows.get_shape()[0])
    except (SafetensorError, OSError, TypeError, IndexError) as error:
        raise InputError(f"{path} is no safetensors file of numbers ({error})", hint=_DOWNLOAD) from error
    return ArraySource(path, _Sliced(path, name), tuple(rows.get_shape()), words)


def _words(path: Path, texts: npt.NDArray[Any], offsets: npt.NDArray[Any], rows: int) -> Iterable[bytes]:
    block = texts.tobytes()
    fit = texts.dtype == np.uint8 and offsets.dtype == np.int64 and offsets.shape == (rows + 1,)
    if not fit or offsets[0] != 0 or offsets[-1] != len(block) or np.diff(offsets).min(initial=0) < 0:
        raise InputError(f"{path}: `{OFFSETS}` are not those of its words", hint=_DOWNLOAD)
    return _Words(block, offsets)


def write_safetensors(file: Writable, texts: Strings, blocks: Iterable[Block], shape: tuple[int, int]) -> None:
    """Write words and vectors as a safetensors file, block by block: the package itself takes whole arrays.

    Args:
        file: what to write to.
        texts: V words.
        blocks: their vectors, in blocks of (n, D) float32.
        shape: (V, D).
    """
    words = texts.encoded()
    offsets = np.concatenate(([0], np.cumsum([len(word) for word in words]))).astype("<i8")
    sizes = {OFFSETS: offsets.nbytes, VECTORS: 4 * shape[0] * shape[1], TEXTS: int(offsets[-1])}
    kinds = {OFFSETS: ("I64", [len(offsets)]), VECTORS: ("F32", list(shape)), TEXTS: ("U8", [sizes[TEXTS]])}
    header: dict[str, Any] = {"__metadata__": {"format": "np"}}
    start = 0
    for name, size in sizes.items():
        header[name] = {"dtype": kinds[name][0], "shape": kinds[name][1], "data_offsets": [start, start + size]}
        start += size
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    file.write(len(encoded).to_bytes(8, "little") + encoded + offsets.tobytes())
    for block in blocks:
        file.write(block.astype("<f4").tobytes())
    file.write(b"".join(words))
