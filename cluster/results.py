"""Check what workers and checkpoints give before it is written: never another shard's, another code's, or NaN."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.plan import Plan
from kotovec.cluster.shards import ShardPlan
from kotovec.cluster.tables import copy
from kotovec.errors import ModelError, NonFiniteError, WorkerError
from kotovec.space import Space
from kotovec.store.layout import Layout
from kotovec.store.writer import Rows, writing_space
from kotovec.workers import table as tables
from kotovec.workers.encoder import Encoded
from kotovec.workers.matrices import identify, tensors_of
from kotovec.workers.model import Model

NAMED = 5  # number of tokens that an error about NaN names


def check_encoded(plan: Plan, shard: ShardPlan, encoded: Encoded, widths: Mapping[str, int]) -> dict[str, int]:
    """Check the vectors that a worker returned for a shard; return the width of each space.

    Args:
        plan: the plan of the build.
        shard: the shard that was wanted.
        encoded: what the worker returned.
        widths: width of each space in the shards before; empty for the first one. The model decides the widths, as its
            config may name others.

    Raises:
        WorkerError: the worker returned another shard, or computed it with another forward pass.
        NonFiniteError: the shard contains NaN or Inf.
    """
    spec, rows = plan.spec, shard.stop - shard.start
    if encoded.forward != plan.settings["forward"]:
        raise WorkerError(
            f"a worker on {encoded.host} computed shard {shard.number} by {encoded.forward!r}, the plan is by "
            f"{plan.settings['forward']!r}",
            hint="install the same versions of kotovec and transformers there",
        )
    widths = dict(widths) or {name: array.shape[-1] for name, array in encoded.arrays.items()}
    given = (encoded.number, {name: (array.shape, str(array.dtype)) for name, array in encoded.arrays.items()})
    wanted = (shard.number, {name: ((rows, widths.get(name)), spec.store_dtype) for name in spec.spaces})
    if given != wanted:
        raise WorkerError(
            f"a worker on {encoded.host} gave shard {_said(*given)} for shard {_said(*wanted)}",
            hint="install the same version of kotovec there",
        )
    finite = np.logical_and.reduce([np.isfinite(array).all(axis=1) for array in encoded.arrays.values()])
    narrow = "float16" in (spec.dtype, spec.store_dtype)
    _check_finite(plan, shard.start, finite, narrow=narrow)
    return widths


def copy_table(plan: Plan, space: Space, layout: Layout, identity: str, made: dict[str, Any]) -> None:
    """Copy the tokens' rows of a matrix from the checkpoint, completely or not at all.

    The vector of a word is what is pooled of the rows of its pieces.

    Args:
        plan: the plan of the build.
        space: `static` or `output`.
        layout: the layout of the store.
        identity: the identity of the store's tokens.
        made: how the vectors were made.

    Raises:
        ModelError: the model's files are no longer those that were planned with, or do not load.
        NonFiniteError: a row contains NaN or Inf.
        DiskFullError: no space is left.
    """
    if not _is_unchanged(plan):
        raise ModelError(
            f"{plan.model.name} has changed since this build was planned", hint="run the same command again"
        )

    def check(row: int, block: Rows) -> None:
        _check_finite(plan, row, np.isfinite(block).all(axis=1))

    if plan.matrices is not None:
        copy(plan.matrices, space, layout, identity, made, plan.tokens.ids, plan.unnamed, check, plan.words)
        return
    shape = len(plan.tokens), plan.table.size
    with writing_space(layout, space, shape, "float32", identity, made) as writer:
        for block in _static_blocks(plan):
            check(writer.rows, block)
            writer.add(block)
        if len(plan.unnamed):
            rest = [block.copy() for block in tables.read(plan.model, plan.table, plan.unnamed)]
            writer.parts = {"unnamed_id": plan.unnamed, "unnamed": np.concatenate(rest)}


def _is_unchanged(plan: Plan) -> bool:
    """Return whether the model's files are those that were planned with; of tables alone, as far as headers say."""
    if not plan.in_part or plan.matrices is None:
        return plan.checkpoint.is_unchanged()
    if plan.model.source.remote:  # at one commit
        return True
    here = Model.read(plan.model.source)
    return here.config_hash == plan.settings["config"] and identify(tensors_of(here.source)) == plan.matrices.identity


def _static_blocks(plan: Plan) -> Iterator[Rows]:
    """Yield the rows of the tokens, or what is pooled of those of the words' pieces, in blocks."""

    def read(ids: npt.NDArray[np.int64]) -> Iterator[Rows]:
        return tables.read(plan.model, plan.table, ids)

    return read(plan.tokens.ids) if plan.words is None else plan.words.pooled(read)


def _check_finite(plan: Plan, start: int, finite: Any, *, narrow: bool = False) -> None:
    """Raise a NonFiniteError that names the tokens of vectors that are not finite: (n,) bool, from row `start` on."""
    rows = start + np.flatnonzero(~finite)
    if len(rows) == 0:
        return
    tokens = plan.tokens
    names = ", ".join(f"{tokens.surfaces[row]!r} (id {tokens.ids[row]})" for row in rows[:NAMED].tolist())
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    why = "float16 ends at 65,504" if narrow else "its weights are damaged or do not fit its config"
    hint = "use float32 for --dtype and --store-dtype" if narrow else None
    raise NonFiniteError(f"{plan.model.name} gave NaN or Inf for {names}{more}: {why}", hint=hint)


def _said(number: int, arrays: Mapping[str, tuple[Any, str]]) -> str:
    """Describe the contents of a shard, as in `2 (isolated@0 (64, 32) float32, isolated@6 (64, 32) float32)`."""
    parts = [f"{name} {shape} {dtype}" for name, (shape, dtype) in arrays.items()]
    return f"{number} ({', '.join(parts)})"
