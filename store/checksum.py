"""SHA-256 of datasets and files, as lower-case hexadecimal."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 24  # bytes: reading in 16 MiB steps keeps memory flat and the disk busy


def of_array(array: npt.NDArray[np.generic]) -> str:
    """Return the checksum of an array's bytes in C order (its shape and dtype are not part of it)."""
    return hashlib.sha256(np.ascontiguousarray(array).view(np.uint8).data).hexdigest()


def of_file(path: Path) -> str:
    """Return the checksum of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
