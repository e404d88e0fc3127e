"""The rows of a table: read from the checkpoint, copied into a store by the driver, compared with those it holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.plan import Plan
from kotovec.cluster.results import check_finite
from kotovec.cluster.tables import tensor_of
from kotovec.errors import DamagedError, ModelError, NonFiniteError, SettingsDifferError
from kotovec.space import OUTPUT, STATIC, Space
from kotovec.store import hdf5, writer
from kotovec.store.layout import SPACE, Layout, part_name
from kotovec.store.opened import File
from kotovec.store.writer import Parts, Rows
from kotovec.workers import ranges
from kotovec.workers import table as tables
from kotovec.workers.json_files import DOWNLOAD
from kotovec.workers.matrices import Matrices, identify, tensors_of
from kotovec.workers.model import Model

_Read = Callable[[npt.NDArray[np.int64]], Iterator[Rows]]


@dataclass(frozen=True)
class _Matrix:
    """A matrix of a checkpoint, of which any rows can be read.

    Attributes:
        name: what errors call it: the name of its tensor, where it has one.
        rows, size: its shape.
        read: yields rows by their numbers, in blocks of (n, D) float32, each in place of the last.
        ascending: whether these numbers must ascend.
    """

    name: str
    rows: int
    size: int
    read: _Read
    ascending: bool

    def pick(self, numbers: npt.NDArray[np.int64], folder: Path) -> Iterator[Rows]:
        """Yield rows in any order of their numbers, which may repeat; a file in the folder holds each once."""
        if not self.ascending:
            yield from self.read(numbers)
            return
        distinct, index = np.unique(numbers, return_inverse=True)
        step = max(1, ranges.BLOCK_BYTES // (4 * max(1, self.size)))
        path = folder / part_name()
        with path.open("x+b") as file:
            path.unlink()
            for block in self.read(distinct):
                file.write(np.ascontiguousarray(block).view(np.uint8).data)
            file.flush()
            held = np.memmap(file, mode="r", dtype=np.float32, shape=(len(distinct), self.size))
            for start in range(0, len(index), step):
                yield held[index[start : start + step]]


def copy_table(plan: Plan, space: Space, layout: Layout, identity: str, made: dict[str, Any]) -> None:
    """Copy the tokens' rows of a matrix from the checkpoint, completely or not at all.

    The vector of a word is what is pooled of the rows of its pieces. Rows without a token are kept beside those of the
    tokens. Of a tied output, nothing is written but that it is tied.

    Args:
        plan: the plan of the build.
        space: `static` or `output`.
        layout: the layout of the store.
        identity: the identity of the store's tokens.
        made: how the vectors were made.

    Raises:
        ModelError: the model's files are no longer those that were planned with, or do not load; the matrix has no row
            for a token of the store.
        NonFiniteError: a row contains NaN or Inf.
        DiskFullError: no space is left.
    """
    if not _is_unchanged(plan):
        raise ModelError(
            f"{plan.model.name} has changed since this build was planned", hint="run the same command again"
        )
    parts = _norm(plan.matrices) if space == OUTPUT and plan.matrices is not None else {}
    if space == OUTPUT and plan.matrices is not None and plan.matrices.tied and layout.space(STATIC).is_file():
        writer.write_tied(layout, space, STATIC, identity, made, parts)
        return
    matrix = _matrix(plan, space)
    _check_reach(plan, matrix)
    parts |= _unnamed(plan, matrix)
    with writer.writing_space(layout, space, (len(plan.tokens), matrix.size), "float32", identity, made) as writes:
        for block in _blocks(plan, matrix, layout.folder):
            check_finite(plan, writes.rows + np.flatnonzero(~np.isfinite(block).all(axis=1)))
            writes.add(block)
        writes.parts = parts


def check_rows(plan: Plan, space: Space, layout: Layout) -> None:
    """Check that the rows of a table in a store are bit for bit those of the checkpoint that another is added from.

    The identity of weights that were read in part does not tell them from those of a model that was trained further.

    Raises:
        SettingsDifferError: they are not.
        DamagedError: they cannot be read.
    """
    matrix, row = _matrix(plan, space), 0
    file = File(layout.space(space))
    try:
        attributes, found = file.read(SPACE, ())
        if "tied" in attributes:
            return
        _, found = file.read(SPACE, ("vectors",))
        vectors: Rows = found["vectors"].array
        same = vectors.shape == (len(plan.tokens), matrix.size)
        for block in _blocks(plan, matrix, layout.folder) if same else ():
            same = bool(np.array_equal(block, vectors[row : row + len(block)]))
            row += len(block)
            if not same:
                break
    except hdf5.UNREADABLE as error:
        raise DamagedError(f"{layout.space(space)} is damaged ({error})", hint="build with --overwrite") from error
    finally:
        file.close()
    if not same:
        raise SettingsDifferError(
            f"{layout.folder} was built from other weights: the rows of its {space} differ",
            hint="use --overwrite to build again, or --store to name another path",
        )


def _matrix(plan: Plan, space: Space) -> _Matrix:
    """Return the matrix of a table; where `static` is the only one, it may be one that transformers alone loads."""
    table, model = plan.table, plan.model
    if plan.matrices is None:
        read: _Read = partial(tables.read, model, table)
        return _Matrix(table.tensor or "the input embedding matrix", table.rows, table.size, read, ascending=False)
    tensor = tensor_of(plan.matrices, space)
    rows, size = tensor.shape
    return _Matrix(tensor.name, rows, size, partial(ranges.rows_of, model.source, tensor), ascending=True)


def _blocks(plan: Plan, matrix: _Matrix, folder: Path) -> Iterator[Rows]:
    """Yield the rows of the tokens, or what is pooled of those of the words' pieces, in blocks."""
    if plan.words is None:
        return matrix.read(plan.tokens.ids)
    return plan.words.pooled(lambda numbers: matrix.pick(numbers, folder))


def _check_reach(plan: Plan, matrix: _Matrix) -> None:
    """Check that a matrix has a row for all tokens of a store, which may have been built from a longer one.

    Raises:
        ModelError: it has not.
    """
    last = int((plan.tokens.ids if plan.words is None else plan.words.pieces.ids).max(initial=-1))
    if last >= matrix.rows:
        raise ModelError(
            f"{matrix.name} of {plan.model.name} has {matrix.rows:,} rows, and the store has the token {last}",
            hint="build tables into a store of their own: --spaces static,output --store NAME",
        )


def _unnamed(plan: Plan, matrix: _Matrix) -> Parts:
    """Return the rows without a token, as they are stored beside those of the tokens.

    Raises:
        NonFiniteError: one contains NaN or Inf.
    """
    numbers = plan.unnamed[plan.unnamed < matrix.rows]
    if not len(numbers):
        return {}
    rows = np.concatenate([block.copy() for block in matrix.read(numbers)])
    if len(bad := numbers[~np.isfinite(rows).all(axis=1)]):
        raise NonFiniteError(f"{matrix.name} of {plan.model.name} holds NaN or Inf in the row #{bad[0]}", hint=DOWNLOAD)
    return {"unnamed_id": numbers, "unnamed": rows}


def _norm(matrices: Matrices) -> Parts:
    """Return the parameters of the norm before the output, as they are stored beside it."""
    norm, source = matrices.norm, matrices.model.source
    if norm is None:
        return {}
    weight = ranges.vector_of(source, norm.weight) + np.float32(norm.offset)
    return {"norm": weight} | ({} if norm.bias is None else {"norm_bias": ranges.vector_of(source, norm.bias)})


def _is_unchanged(plan: Plan) -> bool:
    """Return whether the model's files are those that were planned with; of tables alone, as far as headers say."""
    if not plan.in_part or plan.matrices is None:
        return plan.checkpoint.is_unchanged()
    if plan.model.source.remote:  # at one commit
        return True
    here = Model.read(plan.model.source)
    return here.config_hash == plan.settings["config"] and identify(tensors_of(here.source)) == plan.matrices.identity
