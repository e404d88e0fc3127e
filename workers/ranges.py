"""Tensors by the ranges of their bytes: in a file of safetensors on this machine or on the Hub, or in a pickled file.

The rows of one tensor are read in blocks and become float32, exactly; no other byte of the weights is touched. A file
of safetensors is read, not mapped: what is mapped counts as memory of the process, up to the whole matrix.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kotovec.errors import KotovecError, ModelError
from kotovec.workers.foreign_code import naming_errors
from kotovec.workers.json_files import DOWNLOAD
from kotovec.workers.source import Source
from kotovec.workers.tensors import read_headers, read_tensor

BLOCK_BYTES = 8 << 20  # of float32 rows at a time: 2,048 rows of 1,024 dimensions
MOST_HEADER = 100 << 20  # bytes, as in safetensors itself
_LENGTH = 8  # bytes of the header's own length
_PICKLED = ("float32", "float16", "bfloat16", "float64")
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
_PLAIN = "choose the checkpoint that was quantised, in float32, float16 or bfloat16"


class Ranges(Protocol):
    """A file of which any range of bytes can be read."""

    @property
    def name(self) -> str:
        """Name of the file."""

    @property
    def size(self) -> int:
        """Size in bytes."""

    def read(self, begin: int, count: int) -> bytes:
        """Return so many bytes from an offset; fewer at the end of the file.

        Raises:
            OSError: the file cannot be read.
        """


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the file, without its folder."""
        return self.path.name

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.path.stat().st_size

    def read(self, begin: int, count: int) -> bytes:
        """Return so many bytes from an offset; fewer at the end of the file."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(begin)
            return file.read(count)


@dataclass(frozen=True)
class Stored:
    """A tensor where it is stored.

    Attributes:
        name: name of the tensor.
        dtype: dtype as safetensors names it, such as `BF16`, or as torch does, in a pickled file.
        shape: its shape.
        file: the file of safetensors that holds it; None for a pickled one.
        begin: offset of its first byte in the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Ranges | None = None
    begin: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether its numbers are the model's as they stand: of 16 bits or more, and not of integers."""
        return self.dtype in (_PICKLED if self.file is None else _DTYPES)


def read_header(file: Ranges, model: str) -> dict[str, Stored]:
    """Return the tensors of a file of safetensors by their names, from its header alone.

    Args:
        file: the file.
        model: name of the model, for errors.

    Raises:
        ModelError: the header is damaged, or its tensors reach past the end of the file.
    """
    try:
        length = int.from_bytes(file.read(0, _LENGTH), "little")
        if not 0 < length <= min(MOST_HEADER, file.size - _LENGTH):
            raise ValueError("another length than the file has room for")  # noqa: TRY301 — one message for all
        written = json.loads(file.read(_LENGTH, length))
        begin = _LENGTH + length
        found = {name: _stored(name, each, file, begin) for name, each in written.items() if name != "__metadata__"}
    except KotovecError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ModelError(
            f"the weights of {model} do not load: {file.name} is damaged ({error})", hint=DOWNLOAD
        ) from error
    return found


def _stored(name: str, written: Any, file: Ranges, begin: int) -> Stored:
    shape = tuple(map(int, written["shape"]))
    start, stop = map(int, written["data_offsets"])
    dtype = str(written["dtype"])
    if min((start, stop - start, *shape)) < 0 or begin + stop > file.size:
        raise ValueError(f"{name} reaches past its end")
    if dtype in _DTYPES and stop - start != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
        raise ValueError(f"{name} has another size than its shape says")
    return Stored(name, dtype, shape, file, begin + start)


def check_plain(model: str, tensor: Stored) -> None:
    """Check that a tensor's numbers are the model's as they stand.

    Raises:
        ModelError: they are of 8 bits or fewer, or integers: without their scale, they are not the model's weights.
    """
    if not tensor.is_plain:
        raise ModelError(
            f"{tensor.name} of {model} is quantised ({tensor.dtype}), which kotovec does not read", hint=_PLAIN
        )


def rows_of(source: Source, tensor: Stored, ids: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
    """Yield rows of a matrix in blocks, (n, D) float32, each in place of the last; 16 bits become 32 exactly.

    Args:
        source: the model.
        tensor: the matrix, (R, D).
        ids: (V,) numbers of the rows, ascending; they are the order of the blocks.

    Raises:
        ModelError: the file does not hold the tensor any more, or it is quantised.
    """
    check_plain(source.name, tensor)
    step = max(1, BLOCK_BYTES // (4 * max(1, tensor.shape[1])))
    if tensor.file is None:
        with naming_errors(source):
            matrix = read_tensor(source.weights(), tensor.name)
            for start in range(0, len(ids), step):
                yield matrix[ids[start : start + step]].float().numpy()
        return
    # Neighbours in the file, so that a block is one read; those between them that no id names are dropped.
    cut, room = 0, np.empty((step, tensor.shape[1]), dtype=np.uint32)
    while cut < len(ids):
        first = int(ids[cut])
        stop = int(np.searchsorted(ids, first + step))
        block = _read(source, tensor, first, int(ids[stop - 1]) + 1, room)
        wanted = ids[cut:stop] - first
        yield block if len(wanted) == len(block) else block[wanted]
        cut = stop


def vector_of(source: Source, tensor: Stored) -> npt.NDArray[np.float32]:
    """Return a tensor of one axis, (D,) float32.

    Raises:
        ModelError: as `rows_of`.
    """
    check_plain(source.name, tensor)
    if tensor.file is None:
        with naming_errors(source):
            found: npt.NDArray[np.float32] = read_tensor(source.weights(), tensor.name).float().numpy()
            return found
    whole = Stored(tensor.name, tensor.dtype, (1, tensor.shape[0]), tensor.file, tensor.begin)
    return _read(source, whole, 0, 1, np.empty(whole.shape, dtype=np.uint32)).reshape(-1)


def _read(
    source: Source, tensor: Stored, first: int, stop: int, room: npt.NDArray[np.uint32]
) -> npt.NDArray[np.float32]:
    """Return rows `first` to `stop` of a tensor in a file of safetensors, (n, D) float32, in `room` if need be."""
    assert tensor.file is not None  # noqa: S101 — for the type checker
    dtype, size = np.dtype(_DTYPES[tensor.dtype]), tensor.shape[1]
    count = (stop - first) * size
    raw = tensor.file.read(tensor.begin + first * size * dtype.itemsize, count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise ModelError(
            f"{tensor.file.name} of {source.name} was cut short meanwhile", hint="run the same command again"
        )
    numbers: npt.NDArray[Any] = np.frombuffer(raw, dtype=dtype)
    if tensor.dtype == "BF16":  # the upper half of a float32
        out = room[: stop - first]
        numbers = np.left_shift(numbers.reshape(out.shape), 16, dtype=np.uint32, out=out).view(np.float32)
    return np.asarray(numbers, dtype=np.float32).reshape(-1, size)


def equal(source: Source, first: Stored, second: Stored) -> bool:
    """Return whether two tensors are bit for bit the same matrix, whatever files they are in; read in blocks.

    Raises:
        ModelError: as `rows_of`.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    every = np.arange(first.shape[0])
    pairs = zip(rows_of(source, first, every), rows_of(source, second, every), strict=True)
    return all(np.array_equal(left.view(np.int32), right.view(np.int32)) for left, right in pairs)


def local_tensors(source: Source, paths: Sequence[Path]) -> dict[str, Stored]:
    """Return all tensors of weight files on this machine by their names; no weights are read.

    Raises:
        ModelError: a file is damaged.
    """
    found: dict[str, Stored] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            found |= read_header(LocalFile(path), source.name)
        else:
            with naming_errors(source):
                pickled = read_headers([path])
            found |= {name: Stored(name, each.dtype, each.shape) for name, each in pickled.items()}
    return found
