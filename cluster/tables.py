"""Tables of a checkpoint in a build: which spaces are asked for, and the rows of a matrix, copied into a store."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.words import Words
from kotovec.errors import DamagedError, InputError, ModelError, NonFiniteError, SettingsDifferError
from kotovec.space import OUTPUT, STATIC, Space, parse_spaces
from kotovec.store import hdf5, writer
from kotovec.store.layout import SPACE, Layout, part_name
from kotovec.store.opened import File
from kotovec.store.writer import Parts, Rows
from kotovec.workers import ranges
from kotovec.workers.matrices import Matrices
from kotovec.workers.ranges import Stored
from kotovec.workers.source import Source

TABLES = (STATIC, OUTPUT)
STATES = ("isolated", "template")  # hidden states, of which a build makes one kind
BUILT = (STATIC, *map(Space, STATES), OUTPUT)


@dataclass(frozen=True)
class Chosen:
    """The spaces that a build is asked for.

    Attributes:
        tables: those that are rows of a matrix.
        layers: the layers of the hidden states, as `--layers` writes them; None without any.
        states: the name of their space.
    """

    tables: tuple[Space, ...]
    layers: str | None
    states: str = STATES[0]


def choose(spaces: str, layers: str) -> Chosen:
    """Read the values of `--spaces` and `--layers`.

    Raises:
        InputError: a space is unknown or cannot be built, or layers are given in both.
    """
    wanted = parse_spaces(spaces, BUILT)
    tables = tuple(space for space in TABLES if space in wanted)
    others = [space for space in wanted if space not in tables]
    for space in others:
        if space.name not in STATES or space.first is not None or space.steps:
            raise InputError(
                f"`kotovec build` makes no {space}", hint="choose of `static`, `output`, `isolated` and `template`"
            )
    if len({space.name for space in others}) > 1:
        raise InputError("one build makes `isolated` or `template`", hint="run it once for each: a store holds both")
    numbers = [str(space.layer) for space in others]
    if not others:
        return Chosen(tables, None)
    if numbers == ["-1"]:
        return Chosen(tables, layers, others[0].name)
    if layers != "last":
        raise InputError("--spaces and --layers both name layers", hint="name them in one of the two")
    return Chosen(tables, ",".join(numbers), others[0].name)


def tensor_of(matrices: Matrices, space: Space) -> Stored:
    """Return the tensor whose rows a space holds.

    Raises:
        ModelError: the checkpoint has none.
    """
    return matrices.input if space == STATIC else matrices.head


def rows_of(matrices: Matrices, spaces: tuple[Space, ...]) -> int:
    """Return how many rows all of some tables have.

    Raises:
        ModelError: the checkpoint has no such table, or it is quantised.
    """
    tensors = [tensor_of(matrices, space) for space in spaces]
    for tensor in tensors:
        ranges.check_plain(matrices.model.name, tensor)
    return min(tensor.shape[0] for tensor in tensors)


def about(matrices: Matrices, space: Space) -> dict[str, Any]:
    """Return how the vectors of a table were made, as JSON-ready values for its file."""
    tensor = tensor_of(matrices, space)
    made: dict[str, Any] = {"tensor": tensor.name, "tensor_dtype": tensor.dtype}
    if space == OUTPUT:
        norm = matrices.norm
        made |= {"before": matrices.before, "bias": matrices.bias, "scale": matrices.scale}
        made["tied"] = matrices.tied
        if norm is not None:
            made["norm"] = {"kind": norm.kind, "epsilon": norm.epsilon, "tensor": norm.weight.name}
    return made


def describe(matrices: Matrices, spaces: tuple[Space, ...]) -> tuple[str, ...]:
    """Return what a person should know about the tables of a checkpoint."""
    notices = list(matrices.notices)
    if OUTPUT in spaces:
        if matrices.tied:
            notices.append(f"output is tied to static, and is not stored twice: {matrices.tied}")
        if matrices.before:
            notices.append(
                f"between the hidden states and output there is {matrices.before}: the rows of output are compared "
                "with its result, not with hidden states"
            )
        if matrices.scale:
            notices.append(f"the logits are hidden states times output, times {matrices.scale}")
        if matrices.bias:
            notices.append(f"the logits also have a bias ({matrices.bias}), which is no part of output")
    own, head = matrices.input, matrices.output
    if head is not None and {STATIC, OUTPUT} <= set(spaces) and head.shape[0] != own.shape[0]:
        notices.append(
            f"{head.name} has {head.shape[0]:,} rows and {own.name} {own.shape[0]:,}: both are cut to "
            f"{min(head.shape[0], own.shape[0]):,}"
        )
    return tuple(notices)


def copy(
    matrices: Matrices,
    space: Space,
    layout: Layout,
    identity: str,
    made: Mapping[str, Any],
    ids: npt.NDArray[np.int64],
    unnamed: npt.NDArray[np.int64],
    check: Any,
    words: Words | None = None,
) -> None:
    """Copy the rows of a table into a store, completely or not at all; of a tied output, only that it is tied.

    Args:
        matrices: the matrices of the checkpoint.
        space: `static` or `output`.
        layout: the layout of the store.
        identity: the identity of the store's tokens.
        made: how the vectors were made.
        ids: (V,) rows of the tokens, ascending.
        unnamed: rows without a token, which are kept beside those of the tokens.
        check: called with the first row of each block and its (n, D) vectors; raises what is wrong with them.
        words: the words whose rows are pooled of those of their pieces, in place of tokens, or None.

    Raises:
        ModelError: the matrix has no row for a token, or its file has changed.
        NonFiniteError: a row without a token holds NaN or Inf.
        DiskFullError: no space is left.
    """
    tensor, source = tensor_of(matrices, space), matrices.model.source
    parts = _norm(matrices) if space == OUTPUT else {}
    if space == OUTPUT and matrices.tied and layout.space(STATIC).is_file():
        writer.write_tied(layout, space, STATIC, identity, dict(made), parts)
        return
    last = int((ids if words is None else words.pieces.ids).max(initial=-1))
    if last >= tensor.shape[0]:
        raise ModelError(
            f"{tensor.name} of {source.name} has {tensor.shape[0]:,} rows, and the store has the token {last}",
            hint="build tables into a store of their own: --spaces static,output --store NAME",
        )
    spare = unnamed[unnamed < tensor.shape[0]]
    if len(spare):
        blocks = [block.copy() for block in ranges.rows_of(source, tensor, spare)]
        if len(bad := spare[~np.concatenate([np.isfinite(block).all(axis=1) for block in blocks])]):
            raise NonFiniteError(f"{tensor.name} of {source.name} holds NaN or Inf in the row #{bad[0]}")
        parts |= {"unnamed_id": spare, "unnamed": np.concatenate(blocks)}
    shape = len(ids), tensor.shape[1]
    with writer.writing_space(layout, space, shape, "float32", identity, dict(made)) as writes:
        for block in _blocks(source, tensor, ids, words, layout.folder):
            check(writes.rows, block)
            writes.add(block)
        writes.parts = parts


def _blocks(
    source: Source, tensor: Stored, ids: npt.NDArray[np.int64], words: Words | None, folder: Path
) -> Iterator[Rows]:
    """Yield the rows of the tokens, or what is pooled of those of the words' pieces, in blocks."""
    if words is None:
        return ranges.rows_of(source, tensor, ids)
    return words.pooled(lambda wanted: _in_any_order(source, tensor, wanted, folder))


def _in_any_order(
    source: Source, tensor: Stored, wanted: npt.NDArray[np.int64], folder: Path
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield rows in the order of their numbers, which may repeat; each is read once, into a file without a name."""
    rows, index = np.unique(wanted, return_inverse=True)
    step = max(1, ranges.BLOCK_BYTES // (4 * max(1, tensor.shape[1])))
    path = folder / part_name()
    with path.open("x+b") as file:
        path.unlink()
        for block in ranges.rows_of(source, tensor, rows):
            file.write(np.ascontiguousarray(block).view(np.uint8).data)
        file.flush()
        matrix = np.memmap(file, mode="r", dtype=np.float32, shape=(len(rows), tensor.shape[1]))
        for start in range(0, len(index), step):
            yield matrix[index[start : start + step]]


def _norm(matrices: Matrices) -> Parts:
    """Return the parameters of the norm before the output, as they are stored beside it."""
    norm, source = matrices.norm, matrices.model.source
    if norm is None:
        return {}
    weight = ranges.vector_of(source, norm.weight) + np.float32(norm.offset)
    return {"norm": weight} | ({} if norm.bias is None else {"norm_bias": ranges.vector_of(source, norm.bias)})


def check_rows(
    matrices: Matrices, space: Space, layout: Layout, ids: npt.NDArray[np.int64], words: Words | None = None
) -> None:
    """Check that the rows of a table in a store are bit for bit those of the checkpoint that another is added from.

    The identity of weights that were read in part does not tell them from those of a model that was trained further.

    Raises:
        SettingsDifferError: they are not.
    """
    tensor, row = tensor_of(matrices, space), 0
    file = File(layout.space(space))
    try:
        attributes, found = file.read(SPACE, ())
        if "tied" in attributes:
            return
        attributes, found = file.read(SPACE, ("vectors",))
        vectors: Rows = found["vectors"].array
        same = vectors.shape == (len(ids), tensor.shape[1])
        source = matrices.model.source
        for block in _blocks(source, tensor, ids, words, layout.folder) if same else ():
            same = same and bool(np.array_equal(block, vectors[row : row + len(block)]))
            row += len(block)
    except hdf5.UNREADABLE as error:
        raise DamagedError(f"{layout.space(space)} is damaged ({error})", hint="build with --overwrite") from error
    finally:
        file.close()
    if not same:
        raise SettingsDifferError(
            f"{layout.folder} was built from other weights: the rows of its {space} differ",
            hint="use --overwrite to build again, or --store to name another path",
        )
