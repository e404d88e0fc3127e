"""Vectors that are not finite: neither a build nor an import writes such, so that the file of a space is damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.errors import DamagedError
from kotovec.space import Space


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
