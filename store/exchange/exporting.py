"""Export: the vectors of a space become a file of another tool's, word by word in the order of the rows."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec import access
from kotovec.errors import InputError
from kotovec.space import PROTOTYPES, Space
from kotovec.store.database import Store
from kotovec.store.exchange.arrays import write_npy, write_safetensors
from kotovec.store.exchange.arrow import write_columns
from kotovec.store.exchange.binary import write_binary
from kotovec.store.exchange.escapes import ENDING, HEADER, Escapes, is_list
from kotovec.store.exchange.formats import FORMATS, Format, named, of_target
from kotovec.store.exchange.lines import write_lines
from kotovec.store.exchange.projector import write_numbers
from kotovec.store.exchange.streams import Writable, writing
from kotovec.store.exchange.text import NUMBERS, Block, write_text
from kotovec.store.finite import check_finite, source
from kotovec.store.tokens import Tokens
from kotovec.text import json_line

GROUP = 1 << 22  # numbers in a group of rows of Parquet and Arrow: 16 MB


@dataclass(frozen=True)
class Exported:
    """What was exported.

    Attributes:
        file: the file.
        format: its format.
        space: the space whose vectors it holds.
        words, dimensions: V and D.
        left_out: how many tokens have no vector in the space.
        escaped: how many texts the format could not hold as they are.
        listed: the list of these; None without any.
    """

    file: Path
    format: Format
    space: Space
    words: int
    dimensions: int
    left_out: int = 0
    escaped: int = 0
    listed: Path | None = None


def export_vectors(
    store: Store,
    space: Space,
    file: Path,
    *,
    format: str | None = None,  # noqa: A002 — the option's name
    overwrite: bool = False,
) -> Exported:
    """Write the vectors of a space into a file, completely or not at all.

    Args:
        store: the open store.
        space: a space that it holds.
        file: the file.
        format: name of the format; None for the one that the name says.
        overwrite: whether existing files are replaced; a list of escaped texts is deleted if this file has none.

    Raises:
        InputError: the name says no format, or the file exists.
        NotStoredError, DamagedError: as `Vectors.array`, or a vector is not finite.
        DiskFullError: no space is left.
    """
    found = of_target(file, None if format is None else named(format))
    if space.name == PROTOTYPES:
        problem = f"{space} has several vectors of a token, and a file of vectors one of a word"
        raise InputError(problem, hint=f"name `{space.averaged}`, their means")
    table = Table.of(store, space, FORMATS[found].unfit)
    changed = table.escapes.listed()
    listing = file.with_name(f"{file.name}{ENDING}")
    listed, stale = (listing, None) if changed else (None, listing if is_list(listing) else None)
    beside = file.with_name(file.stem + FORMATS[found].words) if FORMATS[found].words else None
    for each in (file, listed, stale, beside):
        if each is not None and not each.parent.is_dir():
            raise InputError(f"there is no folder {each.parent}", hint="make it, or name a file in another folder")
        access.check_writable(file.parent, hint="name a file in a folder that is yours")
        if each is not None and each.exists() and not overwrite:
            raise InputError(f"{each} exists", hint="add --overwrite to replace it, or name another file")
    with contextlib.ExitStack() as stack:
        if listed is not None:
            rows = "".join(f"{row}\t{written}\t{json_line(text)}\n" for row, written, text in changed)
            stack.enter_context(writing(listed)).write(f"{HEADER}{rows}".encode())
        if beside is not None:
            write_lines(stack.enter_context(writing(beside)), table.words())
        _write(stack.enter_context(writing(file)), found, table)
    if stale is not None:  # of the file that was here before: its words would be unescaped in this one
        stale.unlink()
    return Exported(file, found, space, *table.shape, len(store) - len(table.tokens), len(changed), listed)


@dataclass(frozen=True)
class Table:
    """The V tokens that have a vector in a space, and these vectors.

    Attributes:
        tokens: the V tokens.
        escapes: how a format writes them.
        vectors: of all tokens of the store.
        rows: which of them have one; None for all.
        name: what an error calls the space.
    """

    tokens: Tokens
    escapes: Escapes
    vectors: npt.NDArray[np.floating[Any]]
    rows: npt.NDArray[np.bool_] | None
    name: str

    @classmethod
    def of(cls, store: Store, space: Space, unfit: re.Pattern[bytes] | None) -> "Table":
        """Return the tokens and vectors of a space, for a format that cannot hold some texts."""
        vectors, rows = store.vectors.array(space), store.vectors.present(space)
        tokens = store.tokens if rows is None else store.tokens.take(np.flatnonzero(rows))
        return cls(tokens, Escapes(tokens.texts, unfit), vectors, rows, source(store.path, space))

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)."""
        return len(self.tokens), self.vectors.shape[1]

    def words(self) -> Iterator[str]:
        """Yield the V tokens as the format writes them."""
        return map(self.escapes.written, self.tokens.texts)

    def blocks(self, numbers: int = 0) -> Iterator[Block]:
        """Yield the V vectors in blocks of (n, D) float32, of as many numbers or some fewer."""
        most = max(1, (numbers or NUMBERS) // self.vectors.shape[1])
        for start in range(0, len(self.vectors), most):
            block = self.vectors[start : start + most]
            kept = block if self.rows is None else block[self.rows[start : start + most]]
            check_finite(kept, self.name)
            yield np.ascontiguousarray(kept, dtype=np.float32)


def _write(file: Writable, found: Format, table: Table) -> None:
    match found:
        case Format.WORD2VEC_BIN:
            write_binary(file, table.words(), table.blocks(), table.shape)
        case Format.NPY:
            write_npy(file, table.blocks(), table.shape)
        case Format.SAFETENSORS:
            write_safetensors(file, table.tokens.texts, table.blocks(), table.shape)
        case Format.PARQUET | Format.ARROW:
            write_columns(file, found, table.tokens, table.blocks(GROUP), table.shape[1])
        case Format.PROJECTOR:
            write_numbers(file, table.blocks())
        case _:
            write_text(file, table.words(), table.blocks(), None if found is Format.GLOVE else table.shape)
