"""SHA-256 of datasets and files, as lower-case hexadecimal."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotovec.store.files import open_regular


def of_array(array: npt.NDArray[np.generic]) -> str:
    """Return the checksum of an array's bytes in C order (its shape and dtype are not part of it)."""
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest()


def of_file(path: Path) -> str:
    """Return the checksum of a regular file's bytes.

    Raises:
        OSError: the path is no regular file, or cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
