"""Tables by column: what lists and reports of tokens return, ready for JSON, a notebook, pandas or Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kotovec.errors import InputError, MissingDependencyError, choices, quoted
from kotovec.store.outputs import write_output

GROUP = 1 << 16  # rows of a table that are written to Parquet at a time: some 10 MB of texts


class Lists(list[list[str]]):
    """A column of lists of texts: its values are lists also in a table without rows, and in Parquet."""


@dataclass(frozen=True)
class Columns:
    """A table of n rows.

    Attributes:
        values: the columns by their names, each (n,): an array, a list of texts, numbers and None, or `Lists`.
    """

    values: dict[str, Any]

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as dictionaries of Python's own types, ready for JSON."""
        plain = [column.tolist() if isinstance(column, np.ndarray) else column for column in self.values.values()]
        return (dict(zip(self.values, row, strict=True)) for row in zip(*plain, strict=True))

    def pick(self, names: Sequence[str]) -> "Columns":
        """Return some columns, in the order of their names.

        Raises:
            InputError: the table has no such column.
        """
        for name in names:
            if name not in self.values:
                raise InputError(f"unknown column {quoted(name)}", hint=f"choose {choices(self.values)}")
        return Columns({name: self.values[name] for name in names})

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError("to_pandas needs pandas", hint="install it: pip install pandas") from error
        return pd.DataFrame(self.values)

    def write_parquet(self, path: Path) -> None:
        """Write the table to a Parquet file, which replaces an existing one when it is complete.

        Raises:
            MissingDependencyError: pyarrow is not installed.
            OSError: the file cannot be written.
        """
        pyarrow, parquet = import_parquet()
        schema = pyarrow.schema([(name, _type(pyarrow, column)) for name, column in self.values.items()])
        sink = pyarrow.BufferOutputStream()
        with parquet.ParquetWriter(sink, schema) as writer:
            for start in range(0, max(1, len(self)), GROUP):
                part = [
                    pyarrow.array(column[start : start + GROUP], type=field.type)
                    for column, field in zip(self.values.values(), schema, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(part, schema=schema))
        write_output(path, memoryview(sink.getvalue()))


def import_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its module for Parquet.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError("Parquet needs pyarrow", hint="install it: pip install pyarrow") from error
    return pa, pq


def _type(pyarrow: Any, column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return pyarrow.from_numpy_dtype(column.dtype)
    return pyarrow.list_(pyarrow.string()) if isinstance(column, Lists) else pyarrow.string()
