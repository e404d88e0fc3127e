"""Vectors in Parquet: a column of lists of float32, all equally long, beside the columns of the tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, choices, first_line
from kotovec.store.columns import import_parquet
from kotovec.store.exchange.arrays import finite
from kotovec.store.exchange.streams import Writable
from kotovec.store.exchange.text import Block
from kotovec.store.tokens import KINDS, Tokens
from kotovec.store.vectors import MOST_DIMENSIONS
from kotovec.text import counted

VECTOR, TEXT = "vector", "text"
_VECTORS = (VECTOR, "embedding", "embeddings", "vectors")  # what other tools call the columns
_TEXTS = (TEXT, "word", "token")
BATCH = 4096  # rows


class ParquetSource:
    """A Parquet file to import.

    Attributes:
        dimensions: D.
    """

    def __init__(self, path: Path) -> None:
        pyarrow, parquet = import_parquet()
        self._path, self._pyarrow = path, pyarrow
        with self._naming_damage():
            self._file = parquet.ParquetFile(path)
            self._text, self._vector = self._column(_TEXTS), self._column(_VECTORS)
            first = next(self._file.iter_batches(1, columns=[self._vector]), None)
            value = None if first is None else first.column(0)[0].as_py()
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
            for batch in self._file.iter_batches(BATCH, columns=[self._text]):
                for word in batch.column(0).cast(self._pyarrow.large_binary()).to_pylist():
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
            for batch in self._file.iter_batches(BATCH, columns=[self._vector]):
                column = batch.column(0)
                lengths = self._pyarrow.compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
                if (lengths != self.dimensions).any():
                    wrong = int(np.argmax(lengths != self.dimensions))
                    problem = f"{counted(int(lengths[wrong]), 'number')}, and the first row has {self.dimensions:,}"
                    raise InputError(f"{self.where(row + wrong)}: {problem}", hint="leave out such rows")
                numbers = column.flatten().to_numpy(zero_copy_only=False)  # a null is NaN
                yield finite(numbers.reshape(-1, self.dimensions), self._path, row)
                row += len(batch)

    def _column(self, names: tuple[str, ...]) -> str:
        found = next((name for name in names if name in self._file.schema_arrow.names), None)
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
            problem = f"{self._path} is no Parquet file of vectors ({first_line(error)})"
            raise InputError(problem, hint="download it again, or check the format with --format") from error


def write_parquet(file: Writable, tokens: Tokens, blocks: Iterator[Block], dimensions: int) -> None:
    """Write tokens and their vectors to Parquet, a group of rows for each block.

    Args:
        file: what to write to.
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
    with parquet.ParquetWriter(file, schema) as writer:
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
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            row = part.stop
