"""Check what workers and checkpoints give before it is written: never another shard's, another code's, or NaN."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.plan import Plan
from kotovec.cluster.shards import ShardPlan
from kotovec.errors import NonFiniteError, WorkerError
from kotovec.workers.encoder import Encoded
from kotovec.workers.json_files import DOWNLOAD

NAMED = 5  # number of tokens that an error about NaN names


def check_placed(plan: Plan, shard: ShardPlan, encoded: Encoded, widths: Mapping[str, int]) -> dict[str, int]:
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
    widths = dict(widths) or {name: array.shape[-1] for name, array in encoded.arrays.items()}
    wanted = {name: ((rows, widths.get(name)), spec.store_dtype) for name in spec.spaces}
    _check_origin(plan, shard, encoded, wanted)
    finite = np.logical_and.reduce([np.isfinite(array).all(axis=1) for array in encoded.arrays.values()])
    narrow = "float16" in (spec.dtype, spec.store_dtype)
    check_finite(plan, shard.start + np.flatnonzero(~finite), narrow=narrow)
    return widths


def check_summed(plan: Plan, shard: ShardPlan, encoded: Encoded, width: int) -> int:
    """Check the sums that a worker returned for a shard; return their width.

    Args:
        plan: the plan of the build.
        shard: the shard that was wanted.
        encoded: what the worker returned.
        width: width of the sums in the shards before; 0 for the first one.

    Raises:
        WorkerError: the worker returned another shard, or computed it with another forward pass.
        NonFiniteError: a vector was NaN or Inf.
    """
    tally, names = encoded.tally, plan.spec.spaces
    if tally is None:
        raise WorkerError(
            f"a worker on {encoded.host} gave no sums for shard {shard.number}",
            hint="install the same version of kotovec there",
        )
    width = width or next((array.shape[-1] for array in encoded.arrays.values()), 0)
    _check_origin(plan, shard, encoded, {name: ((len(tally.rows), width), "int64") for name in names})
    narrow = "float16" in (plan.spec.dtype, plan.spec.store_dtype)
    check_finite(plan, tally.rows[~tally.finite], narrow=narrow)
    _check_points(plan, shard, encoded, width)
    return width


def _check_points(plan: Plan, shard: ShardPlan, encoded: Encoded, width: int) -> None:
    """Check the shapes of the vectors of a shard's contexts, where they are wanted."""
    points = {} if encoded.tally is None else encoded.tally.points
    given = {name: (array.shape, str(array.dtype)) for name, array in points.items()}
    shape = 0 if plan.sentences is None else plan.sentences.contexts(shard), width
    wanted = dict.fromkeys(plan.spec.spaces, (shape, "float32")) if plan.prototypes else {}
    if given != wanted:
        raise WorkerError(
            f"a worker on {encoded.host} gave contexts of shard {_said(shard.number, given)} for "
            f"{_said(shard.number, wanted)}",
            hint="install the same version of kotovec there",
        )


def _check_origin(plan: Plan, shard: ShardPlan, encoded: Encoded, arrays: Mapping[str, tuple[Any, str]]) -> None:
    """Check that a worker returned the wanted shard, arrays of these shapes and dtypes, by the planned forward pass."""
    if encoded.forward != plan.settings["forward"]:
        raise WorkerError(
            f"a worker on {encoded.host} computed shard {shard.number} by {encoded.forward!r}, the plan is by "
            f"{plan.settings['forward']!r}",
            hint="install the same versions of kotovec and transformers there",
        )
    given = (encoded.number, {name: (array.shape, str(array.dtype)) for name, array in encoded.arrays.items()})
    wanted = (shard.number, arrays)
    if given != wanted:
        raise WorkerError(
            f"a worker on {encoded.host} gave shard {_said(*given)} for shard {_said(*wanted)}",
            hint="install the same version of kotovec there",
        )


def check_finite(plan: Plan, rows: npt.NDArray[np.int64], *, narrow: bool = False) -> None:
    """Check that vectors are finite.

    Args:
        plan: the plan of the build.
        rows: (n,) rows of those that are not, in the table of tokens.
        narrow: whether they were computed or are stored as float16.

    Raises:
        NonFiniteError: some are not; the message names their tokens.
    """
    if len(rows) == 0:
        return
    tokens = plan.tokens
    names = ", ".join(f"{tokens.surfaces[row]!r} (id {tokens.ids[row]})" for row in rows[:NAMED].tolist())
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    why = "float16 ends at 65,504" if narrow else "its weights are damaged or do not fit its config"
    hint = "use float32 for --dtype and --store-dtype" if narrow else DOWNLOAD
    raise NonFiniteError(f"{plan.model.name} gave NaN or Inf for {names}{more}: {why}", hint=hint)


def _said(number: int, arrays: Mapping[str, tuple[Any, str]]) -> str:
    """Describe the contents of a shard, as in `2 (isolated@0 (64, 32) float32, isolated@6 (64, 32) float32)`."""
    parts = [f"{name} {shape} {dtype}" for name, (shape, dtype) in arrays.items()]
    return f"{number} ({', '.join(parts)})"
