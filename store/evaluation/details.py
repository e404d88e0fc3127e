"""Files with every pair or question of an evaluation: JSON lines, or Parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kotovec.store.columns import import_parquet
from kotovec.store.outputs import write_output
from kotovec.text import json_line

ENDINGS = (".jsonl", ".parquet")
# Columns of Parquet that are no text; `cosines` has a column for each space.
_NUMBERS = {"score": "double", "without_inputs": "int64", "among_all": "int64"}


def check_details(path: Path) -> None:
    """Check that a file of this name can be written by what is installed.

    Raises:
        MissingDependencyError: it is Parquet, and pyarrow is not installed.
    """
    if path.suffix.lower() == ENDINGS[1]:
        import_parquet()


def write_details(path: Path, items: Sequence[dict[str, Any]]) -> None:
    """Write items, each with the same names, into Parquet where the path ends in .parquet, and otherwise as JSON lines.

    Raises:
        InputError, DiskFullError: as `write_output`.
        MissingDependencyError: it is Parquet, and pyarrow is not installed.
    """
    if path.suffix.lower() == ENDINGS[1]:
        write_output(path, _parquet(items))
    else:
        write_output(path, "".join(f"{json_line(item)}\n" for item in items).encode())


def _parquet(items: Sequence[dict[str, Any]]) -> memoryview:
    """Return items as a file of Parquet; a cosine of a pair that was not asked is null."""
    pyarrow, parquet = import_parquet()
    text = pyarrow.string()
    fields = {name: pyarrow.type_for_alias(_NUMBERS[name]) if name in _NUMBERS else text for name in items[0]}
    if "answers" in fields:
        fields["answers"] = pyarrow.list_(text)
    if "cosines" in fields:
        fields["cosines"] = pyarrow.struct([(space, pyarrow.float64()) for space in items[0]["cosines"]])
    columns = [
        pyarrow.array([item[name] for item in items], type=kind, from_pandas=True) for name, kind in fields.items()
    ]
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_arrays(columns, schema=pyarrow.schema(list(fields.items()))), sink)
    return memoryview(sink.getvalue())
