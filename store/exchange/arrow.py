"""Vectors in Parquet and in Arrow's own files: a column of equally long lists of float32 beside those of the tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, first_line
from kotovec.store.columns import import_parquet
from kotovec.store.exchange.arrays import finite
from kotovec.store.exchange.formats import Format
from kotovec.store.exchange.streams import Writable
from kotovec.store.exchange.text import Block
from kotovec.store.tokens import KINDS, Tokens
from kotovec.store.vectors import MOST_DIMENSIONS
from kotovec.text import counted

VECTOR, TEXT = "vector", "text"
_VECTORS = (VECTOR, "embedding", "embeddings", "vectors")  # what other tools call the columns
_TEXTS = (TEXT, "word", "token")
BATCH = 4096  # rows
_TITLES = {Format.PARQUET: "Parquet", Format.ARROW: "Arrow"}


class ColumnSource:
    """A Parquet file, or a file of Arrow's (Feather V2 is one), to import.

    Attributes:
        dimensions: D.
    """

    def __init__(self, path: Path, kind: Format) -> None:
        self._pyarrow, self._parquet = import_parquet()
        self._path, self._kind = path, kind
        with self._naming_damage():
            names = self._names()
            self._text, self._vector = self._column(names, _TEXTS), self._column(names, _VECTORS)
            first = next((batch for batch in self._batches(self._vector) if len(batch)), None)
            value = None if first is None else first[0].as_py()
        self.dimensions = len(value) if isinstance(value, list) else 0
        if not 0 < self.dimensions <= MOST_DIMENSIONS:
            raise InputError(f"{path}: no vector in the first row of {self._vector}", hint="check the format")

    def where(self, row: int) -> str:
        """Return the file and the number of a row."""
        return f"{self._path}: row {row + 1:,}"

    def words(self) -> Iterator[bytes]:
        """Yield the words.

        Raises:
            InputError: one is missing, or is no text.
        """
        row = 0
        with self._naming_damage():
            for column in self._batches(self._text):
                for word in column.cast(self._pyarrow.large_binary()).to_pylist():
                    if word is None:
                        raise InputError(f"{self.where(row)}: no {self._text}", hint="leave out rows without one")
                    yield word
                    row += 1

    def blocks(self) -> Iterator[Block]:
        """Yield the vectors in blocks of (n, D) float32.

        Raises:
            InputError: a vector is missing, has another length than the first, or is not finite.
        """
        row = 0
        with self._naming_damage():
            for column in self._batches(self._vector):
                lengths = self._pyarrow.compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
                if (lengths != self.dimensions).any():
                    wrong = int(np.argmax(lengths != self.dimensions))
                    problem = f"{counted(int(lengths[wrong]), 'number')}, and the first row has {self.dimensions:,}"
                    raise InputError(f"{self.where(row + wrong)}: {problem}", hint="leave out such rows")
                numbers = column.flatten().to_numpy(zero_copy_only=False)  # a null is NaN
                yield finite(numbers.reshape(-1, self.dimensions), self._path, row)
                row += len(column)

    def _names(self) -> Sequence[str]:
        if self._kind is Format.PARQUET:
            return list(self._parquet.read_schema(self._path).names)
        with self._pyarrow.memory_map(str(self._path)) as file:
            return list(self._pyarrow.ipc.open_file(file).schema.names)

    def _batches(self, name: str) -> Iterator[Any]:
        """Yield a column in arrays of some rows each, group by group: all that is read of one opened file stays."""
        number, groups = 0, 1
        while number < groups:
            if self._kind is Format.PARQUET:
                with self._parquet.ParquetFile(self._path, pre_buffer=False) as opened:
                    groups = opened.num_row_groups
                    if number < groups:
                        batches = opened.iter_batches(BATCH, row_groups=[number], columns=[name])
                        yield from (batch.column(0) for batch in batches)
            else:
                with self._pyarrow.memory_map(str(self._path)) as file:
                    index = self._pyarrow.ipc.open_file(file).schema.get_field_index(name)
                    options = self._pyarrow.ipc.IpcReadOptions(included_fields=[index])
                    reader = self._pyarrow.ipc.open_file(file, options=options)
                    groups = reader.num_record_batches
                    if number < groups:
                        column = reader.get_batch(number).column(0)
                        yield from (column[start : start + BATCH] for start in range(0, len(column), BATCH))
            number += 1

    def _column(self, stored: Sequence[str], names: tuple[str, ...]) -> str:
        found = next((name for name in names if name in stored), None)
        if found is None:
            raise InputError(f"{self._path} has no column {choices(names)}", hint=f"name it {choices(names[:1])}")
        return found

    @contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except (self._pyarrow.ArrowException, OSError) as error:
            problem = f"{self._path} is no {_TITLES[self._kind]} file of vectors ({first_line(error)})"
            raise InputError(problem, hint="download it again, or check the format with --format") from error


def open_parquet(path: Path) -> ColumnSource:
    """Open a Parquet file to import."""
    return ColumnSource(path, Format.PARQUET)


def open_arrow(path: Path) -> ColumnSource:
    """Open a file of Arrow's to import."""
    return ColumnSource(path, Format.ARROW)


def write_columns(file: Writable, kind: Format, tokens: Tokens, blocks: Iterator[Block], dimensions: int) -> None:
    """Write tokens and their vectors to Parquet or to Arrow's own format, a group of rows for each block.

    Args:
        file: what to write to.
        kind: which of the two.
        tokens: V tokens: the columns `id`, `text`, `surface` and `kind`.
        blocks: their vectors, in blocks of (n, D) float32: the column `vector`.
        dimensions: D.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    pyarrow, parquet = import_parquet()
    kinds = np.array(KINDS, dtype=object)[tokens.kinds]
    vector = pyarrow.list_(pyarrow.float32(), dimensions)
    types = [pyarrow.int64(), pyarrow.string(), pyarrow.string(), pyarrow.string(), vector]
    schema = pyarrow.schema(list(zip(("id", TEXT, "surface", "kind", VECTOR), types, strict=True)))
    row = 0
    with parquet.ParquetWriter(file, schema) if kind is Format.PARQUET else pyarrow.ipc.new_file(file, schema) as made:
        for block in blocks:
            part: slice = slice(row, row + len(block))
            numbers: npt.NDArray[Any] = block.reshape(-1)
            columns = [
                pyarrow.array(tokens.ids[part]),
                pyarrow.array(list(tokens.texts[part])),
                pyarrow.array(list(tokens.surfaces[part])),
                pyarrow.array(kinds[part].tolist(), type=pyarrow.string()),
                pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(numbers), dimensions),
            ]
            made.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=schema))
            row = part.stop
