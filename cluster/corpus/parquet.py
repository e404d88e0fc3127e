"""A column of texts in Parquet, read by row groups."""

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from kotovec.cluster.corpus.corpus import CorpusFile, Piece
from kotovec.cluster.corpus.opened import open_file, unreadable
from kotovec.errors import CorpusError, InputError, choices, first_line, quoted

ROWS = 256  # at a time: articles of 5 KB make batches of a megabyte
_NAMED = 8  # columns that an error names


def row_groups(file: CorpusFile, column: str | None) -> list[int]:
    """Return the compressed bytes of each row group of a file.

    Raises:
        CorpusError: the file is damaged, or has changed.
        InputError: it has no such column, or its server sends no ranges of bytes.
    """
    if file.whole:
        raise InputError(
            f"{file.path} is on a server that sends no ranges of bytes", hint="download it, and name the file"
        )
    with open_file(file) as opened, _naming_errors(file):
        parquet = _reader(opened)
        names = parquet.schema_arrow.names
        if column is not None and column not in names:
            raise InputError(
                f"{file.path} has no column {quoted(column)}",
                hint=f"choose {choices(names[:_NAMED])} with --corpus-field",
            )
        groups = (parquet.metadata.row_group(number) for number in range(parquet.num_row_groups))
        return [sum(group.column(each).total_compressed_size for each in range(group.num_columns)) for group in groups]


def read_rows(piece: Piece, column: str) -> Iterator[list[Any]]:
    """Yield values of a column in the row groups of a piece: texts, or what else it holds; None without the column.

    Raises:
        CorpusError: the file is damaged, or has changed.
    """
    with open_file(piece.file) as opened, _naming_errors(piece.file):
        for batch in _batches(_reader(opened), piece, column):
            yield values_of(batch)


def pack_rows(piece: Piece, column: str) -> bytes:
    """Return the column of a piece as Arrow's stream, for a worker that cannot see the file; see `unpack_rows`."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with open_file(piece.file) as opened, _naming_errors(piece.file):
        parquet = _reader(opened)
        fields = [field for field in parquet.schema_arrow if field.name == column]
        with pa.ipc.new_stream(sink, pa.schema(fields or [pa.field("", pa.null())])) as stream:
            for batch in _batches(parquet, piece, column):
                stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def unpack_rows(data: bytes) -> Iterator[list[Any]]:
    """Yield what `read_rows` would, from the result of `pack_rows`."""
    import pyarrow as pa

    with pa.ipc.open_stream(data) as stream:
        for batch in stream:
            yield values_of(batch)


def values_of(batch: Any) -> list[Any]:
    """Return the only column of a batch as Python values: bytes, too, are texts, unless they are not UTF-8."""
    import pyarrow as pa

    column = batch.column(0)
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pa.large_binary()).to_pylist()
    return [_text_of(value) if isinstance(value, bytes) else value for value in values]


def _text_of(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _reader(opened: BinaryIO) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(opened, pre_buffer=False)


def _batches(parquet: Any, piece: Piece, column: str) -> Iterator[Any]:
    import pyarrow as pa

    groups = list(range(piece.start, piece.stop))
    if column in parquet.schema_arrow.names:
        yield from parquet.iter_batches(ROWS, row_groups=groups, columns=[column], use_threads=False)
        return
    rows = sum(parquet.metadata.row_group(number).num_rows for number in groups)
    for start in range(0, rows, ROWS):
        yield pa.record_batch([pa.nulls(min(ROWS, rows - start))], names=[""])


@contextlib.contextmanager
def _naming_errors(file: CorpusFile) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:  # also what refines OSError and ValueError
        raise CorpusError(
            f"{file.path} is not Parquet, or damaged ({first_line(error)})", hint="download it again, or leave it out"
        ) from error
    except OSError as error:
        if isinstance(error, CorpusError):
            raise
        raise unreadable(file.path, error) from error
