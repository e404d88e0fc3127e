"""What was found in each piece of a corpus, as a file, so that an interrupted scan resumes with the next piece."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.scan import Found, Sentences
from kotovec.cluster.corpus import Counts
from kotovec.errors import DamagedError
from kotovec.store import checksum, hdf5
from kotovec.store.contexts import Texts
from kotovec.store.files import sinking
from kotovec.store.layout import Layout
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
        """Write what was found in a piece, completely or not at all.

        Raises:
            DiskFullError: no space is left.
        """
        sentences = found.sentences
        arrays: dict[str, npt.NDArray[Any]] = {
            "hashes": sentences.hashes,
            "text": sentences.texts.block,
            "text_offsets": sentences.texts.offsets,
            "ids": sentences.ids,
            "id_offsets": sentences.id_offsets,
            "rows": found.rows,
            "sentence": found.sentence,
            "inside": found.inside,
        }
        with sinking(self.layout.piece(number)) as sink, hdf5.create(sink) as file:
            hdf5.mark(file, KIND)
            counts = json.dumps(found.counts.as_json())
            hdf5.write_attributes(file, {"fingerprint": self.fingerprint, "number": number, "counts": counts})
            for name, dtype in TYPES.items():
                array = np.ascontiguousarray(arrays[name], dtype=dtype)
                dataset = file.create_dataset(name, data=array)
                hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
                sink.check()

    def read(self, number: int, *, checked: bool = True) -> Found:
        """Return what was found in a piece, as read-only memory maps.

        Args:
            number: the number of the piece.
            checked: whether every checksum is recomputed.

        Raises:
            FileNotFoundError: there is no file.
            DamagedError: it cannot be read, does not match its checksums, or is of another scan.
        """
        path = self.layout.piece(number)
        try:
            with contextlib.closing(File(path)) as file:
                attributes, datasets = file.read(KIND, tuple(TYPES))
            stored = attributes["fingerprint"], attributes["number"]
            counts = Counts.from_json(json.loads(attributes["counts"]))
        except FileNotFoundError:
            raise
        except hdf5.UNREADABLE as error:
            raise DamagedError(f"{path} cannot be read: {error}") from error
        if stored != (self.fingerprint, number):
            raise DamagedError(f"{path} belongs to another scan")
        for name, dataset in datasets.items():
            if dataset.array.dtype.str != TYPES[name] or (checked and not dataset.is_whole()):
                raise DamagedError(f"{path}: {name} does not match its checksum")
        arrays = {name: dataset.array for name, dataset in datasets.items()}
        texts = Texts(arrays["text"], arrays["text_offsets"])
        sentences = Sentences(arrays["hashes"], texts, arrays["ids"], arrays["id_offsets"])
        return Found(sentences, arrays["rows"], arrays["sentence"], arrays["inside"].view(np.bool_), counts)
