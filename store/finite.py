"""Vectors that are not finite: neither a build nor an import writes such, so that the file of a space is damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store.vectors import Vectors


def source(path: Path, space: Space) -> str:
    """Return what an error calls the vectors of a space in a store."""
    return f"{path}: {space}"


def check_finite(vectors: npt.NDArray[Any], name: str) -> None:
    """Check that all numbers of some vectors or norms are finite.

    Args:
        vectors: the numbers, of any shape.
        name: what the error calls their space; see `source`.

    Raises:
        DamagedError: one is NaN or infinite.
    """
    if not np.isfinite(vectors).all():
        raise DamagedError(f"{name} has a vector that is not finite", hint="run `kotovec verify`")


def check_sum(vector: npt.NDArray[Any], vectors: npt.NDArray[Any], name: str) -> None:
    """Check the vectors (n, D) that a vector (D,) was made of, where that is not finite; see `check_finite`."""
    if not np.isfinite(vector).all():
        check_finite(vectors, name)


def check_space(vectors: Vectors, space: Space) -> None:
    """Check that all vectors of a space of an open store are finite, and their norms as they are stored.

    Raises:
        DamagedError: one is not.
    """
    name = source(vectors.path, space)
    check_finite(np.asarray(vectors.norms(space)), name)
    with np.errstate(invalid="ignore", over="ignore"):
        check_finite(np.add.reduce(vectors.array(space), axis=0, dtype=np.float64), name)
