"""One space seen in another: hidden states and input embeddings among the rows of the output matrix.

Each layer of a decoder adds to what the layers before it gave, so that the states of all layers can be compared with
the output matrix; before that, the model normalizes them, once, after the last layer. What `isolated` holds of the last
layer is normalized already, what it holds of the others is not.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import InputError, NotStoredError
from kotovec.space import LAYERED, OUTPUT, STATIC, Space
from kotovec.store.vectors import Vectors

_TABLES = (STATIC, OUTPUT)


@dataclass(frozen=True)
class View:
    """How the vectors of one space are looked up in another.

    Attributes:
        within: the space that is searched.
        notes: what a person should know about it.
        norm: kind, epsilon, weight and bias of the norm that the vectors go through; None for no norm.
    """

    within: Space
    notes: tuple[str, ...] = ()
    norm: tuple[str, float, npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None

    def through(self, vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return vectors (n, D) as they are compared with the rows that are searched."""
        if self.norm is None:
            return vectors
        kind, epsilon, weight, bias = self.norm
        centred = vectors - vectors.mean(axis=1, keepdims=True) if kind == "layer" else vectors
        scale: npt.NDArray[np.float64] = np.sqrt((centred**2).mean(axis=1, keepdims=True) + epsilon)
        return np.asarray(centred / scale * weight + bias, dtype=np.float64)


def look(vectors: Vectors, space: Space, asked: Space | str, within: Space | str | None) -> View:
    """Return how vectors of a space are looked up.

    Args:
        vectors: the files of the store.
        space: the stored space of the vectors.
        asked: the space as it was asked for, which may be tied to the stored one.
        within: the space to search; None for that of the vectors.

    Raises:
        NotStoredError: the store does not hold it.
        InputError: the two have other numbers of dimensions.
    """
    notes = _tied(vectors, asked)
    if within is None:
        return View(space, notes)
    wanted = Space.parse(within, vectors.spaces) if isinstance(within, str) else within
    target = wanted.among(vectors.spaces)
    width, other = (vectors.array(each).shape[1] for each in (space, target))
    if width != other:
        raise InputError(f"{space} has {width} dimensions, {wanted} has {other}: nothing of one is near the other")
    notes = (*notes, *_tied(vectors, wanted))
    if target != space:
        notes = (*notes, f"vectors of {space}, looked up in {wanted if wanted.layer is None else target}")
    made = vectors.made(wanted) if wanted == OUTPUT else {}
    if space.name in LAYERED and wanted == OUTPUT:
        notes = (*notes, *_left_out(made))
        return View(target, notes) if made.get("before") else _normalized(vectors, space, target, notes, made)
    return View(target, notes)


def _left_out(made: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the model does between its last hidden states and its logits, and the lens does not."""
    if before := made.get("before"):
        yield f"the model applies {before} before its output, which is left out here"
    if scale := made.get("scale"):
        yield f"the model multiplies its logits by {scale}, which is left out here, and keeps their order"
    if bias := made.get("bias"):
        yield f"the model adds {bias} to its logits, which is left out here, and may change their order"


def _normalized(vectors: Vectors, space: Space, target: Space, notes: tuple[str, ...], made: Any) -> View:
    depth = vectors.made(space).get("depth")
    if space.layer == depth:
        return View(target, notes)
    if depth is None:  # of a store that says nothing of it
        return View(target, (*notes, "whether these states are normalized is not recorded: they are taken as they are"))
    weight, bias = (vectors.part(OUTPUT, name) for name in ("norm", "norm_bias"))
    kind, epsilon = _form(made.get("norm"))
    if weight is None or epsilon is None or len(weight) != vectors.array(target).shape[1]:
        return View(target, (*notes, "the model's last norm is not stored: these states are compared without it"))
    added = np.zeros(len(weight)) if bias is None else bias.astype(np.float64)
    norm = kind, epsilon, weight.astype(np.float64), added
    return View(target, (*notes, "after the model's last norm, which states of this layer lack"), norm)


def _form(written: Any) -> tuple[str, float | None]:
    """Return the kind and the epsilon of a norm as they are stored; no epsilon where they cannot be read."""
    try:
        return str(written["kind"]), float(written["epsilon"])
    except (LookupError, TypeError, ValueError):
        return "", None


def _tied(vectors: Vectors, asked: Space | str) -> tuple[str, ...]:
    """Return a note where a space that was asked for is another one."""
    wanted = Space.parse(asked) if isinstance(asked, str) else asked
    of = vectors.spaces.tied.get(wanted)
    return () if of is None else (f"{wanted} is tied to {of}: {vectors.made(wanted).get('tied')}",)


def unnamed_ids(vectors: Vectors) -> Container[int]:
    """Return the numbers of the rows without a token that the tables of a store hold."""
    here = [space for space in _TABLES if space in vectors.spaces]
    parts = (vectors.part(space, "unnamed_id") for space in here)
    return {number for part in parts if part is not None for number in part.tolist()}


def unnamed(vectors: Vectors, space: Space, number: int) -> npt.NDArray[np.float64]:
    """Return the vector of a row without a token, (D,).

    Raises:
        NotStoredError: the space has no such row.
    """
    numbers, rows = vectors.part(space, "unnamed_id"), vectors.part(space, "unnamed")
    if numbers is None or rows is None or not len(numbers) == len(rows) or number not in numbers:
        raise NotStoredError(
            f"{space} has no row #{number}", hint="choose `static`: rows without a token have no hidden states"
        )
    found: npt.NDArray[np.float64] = rows[int(np.flatnonzero(numbers == number)[0])].astype(np.float64)
    return found


def describe(vectors: Vectors) -> dict[str, dict[str, Any]]:
    """Return what the tables of a store are, by their names: the tensor, its dtype, and what is known of the output."""
    names = ("tensor", "tensor_dtype", "before", "bias", "scale", "tied", "norm")
    here = (space for space in _TABLES if space in vectors.spaces or space in vectors.spaces.tied)
    tables = {}
    for space in here:
        made, count = vectors.made(space), vectors.part(space, "unnamed_id")
        about = {name: made[name] for name in names if made.get(name)}
        tables[str(space)] = about | {"unnamed_rows": 0 if count is None else len(count)}
    return tables
