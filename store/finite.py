"""Vectors with a number that is none: no build writes any, so the file was damaged, or made by something else."""

import numpy as np

from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store.vectors import Vectors


def check_finite(vectors: Vectors, space: Space) -> None:
    """Refuse a space of which a vector is not finite, by the norms that are stored, or a dimension of all vectors.

    Raises:
        DamagedError: one is not.
    """
    array, norms = vectors.array(space), np.asarray(vectors.norms(space))
    if np.isfinite(norms).all():
        with np.errstate(invalid="ignore", over="ignore"):
            if np.isfinite(np.add.reduce(array, axis=0, dtype=np.float64)).all():
                return
    raise DamagedError(f"{space} of {vectors.path} holds NaN or infinity", hint="run `kotovec verify`")
