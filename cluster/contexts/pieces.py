"""What was found in each piece of a corpus, as a file, so that an interrupted scan resumes with the next piece."""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.scan import Found
from kotovec.cluster.corpus import Counts
from kotovec.errors import DamagedError
from kotovec.store import checksum, hdf5
from kotovec.store.contexts import Texts
from kotovec.store.files import sinking
from kotovec.store.layout import HDF5, PIECE, Layout
from kotovec.store.opened import File

KIND = "kotovec-piece"  # encoding-type of the files
TYPES = {
    "hashes": "<u8",
    "text": "|u1",
    "text_offsets": "<i8",
    "ids": "<i4",
    "id_offsets": "<i8",
    "rows": "<i4",
    "sentence": "<i4",
    "inside": "|u1",
}


@dataclass(frozen=True)
class Pieces:
    """The files of the pieces of a corpus that are scanned already.

    Attributes:
        layout: the paths of the store.
        fingerprint: the fingerprint of the scan, which every file carries.
    """

    layout: Layout
    fingerprint: str

    def write(self, number: int, found: Found) -> None:
        """Write what was found in a piece, completely or not at all; see `write_piece`."""
        write_piece(self.layout.piece(number), number, found, self.fingerprint)

    def read(self, number: int, *, checked: bool = True) -> Found:
        """Return what was found in a piece; see `read_piece`."""
        return read_piece(self.layout.piece(number), number, self.fingerprint, checked=checked)

    def delete(self) -> None:
        """Delete all of them."""
        for path in self.layout.shards.glob(f"{PIECE}*{HDF5}"):
            path.unlink()


def write_piece(path: Path, number: int, found: Found, fingerprint: str) -> None:
    """Write what was found in a piece, completely or not at all.

    Args:
        path: the path of the file.
        number: the number of the piece.
        found: what was found in it.
        fingerprint: the fingerprint of the scan.

    Raises:
        DiskFullError: no space is left.
    """
    arrays: dict[str, npt.NDArray[Any]] = {"text": found.texts.block, "text_offsets": found.texts.offsets}
    arrays |= {name: getattr(found, name) for name in TYPES if name not in arrays}
    with sinking(path) as sink, hdf5.create(sink) as file:
        hdf5.mark(file, KIND)
        counts = json.dumps(asdict(found.counts))
        hdf5.write_attributes(file, {"fingerprint": fingerprint, "number": number, "counts": counts})
        for name, dtype in TYPES.items():
            array = np.ascontiguousarray(arrays[name], dtype=dtype)
            dataset = file.create_dataset(name, data=array)
            hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
            sink.check()


def read_piece(path: Path, number: int, fingerprint: str, *, checked: bool = True) -> Found:
    """Return what was found in a piece, as read-only memory maps.

    Args:
        path: the path of the file.
        number: the number of the piece.
        fingerprint: the fingerprint of the scan.
        checked: whether every checksum is recomputed.

    Raises:
        FileNotFoundError: there is no file.
        DamagedError: it cannot be read, does not match its checksums, or is of another scan.
    """
    try:
        with contextlib.closing(File(path)) as file:
            attributes, datasets = file.read(KIND, tuple(TYPES))
        stored = attributes["fingerprint"], attributes["number"]
        counts = Counts(**json.loads(attributes["counts"]))
    except FileNotFoundError:
        raise
    except hdf5.UNREADABLE as error:
        raise DamagedError(f"{path} cannot be read: {error}") from error
    if stored != (fingerprint, number):
        raise DamagedError(f"{path} belongs to another scan")
    for name, dataset in datasets.items():
        if dataset.array.dtype.str != TYPES[name] or (checked and not dataset.is_whole()):
            raise DamagedError(f"{path}: {name} does not match its checksum")
    arrays = {name: dataset.array for name, dataset in datasets.items()}
    texts = Texts(arrays.pop("text"), arrays.pop("text_offsets"))
    return Found(texts=texts, counts=counts, **arrays | {"inside": arrays["inside"].view(np.bool_)})
