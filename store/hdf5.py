"""HDF5 files in which everything that HDF5 parses has a checksum, which HDF5 verifies before it parses.

HDF5's global heap, which holds texts of variable length, and its old headers have no checksum: one flipped bit there
makes the library read forever, or crash. So headers are those of HDF5 1.10, texts have a fixed length, and all
attributes are in the header of their node: HDF5 would otherwise move more than eight, or one of 4 KiB, elsewhere.
"""

import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import h5py
import numpy as np

from kotovec.store.files import Sink

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FORMAT_VERSION = 2  # of a store: increased when an older kotovec could not read it
# Every dataset starts on a cache line: it is read through a memmap, and float32 at an unaligned address is copied.
ALIGNMENT = 64
LONGEST_TEXT = 60_000  # bytes; an attribute in a header has room for 65,535
MOST_ATTRIBUTES = 65_535
MOST_BYTES = 1 << 20  # of an attribute that is read
# The errors that h5py raises for damaged headers, and kotovec for headers without the expected contents.
UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError, OverflowError)


def create(sink: Sink) -> h5py.File:
    """Open a new file for writing."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_LATEST)
    access.set_alignment(1, ALIGNMENT)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, sink)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_attr_phase_change(MOST_ATTRIBUTES, MOST_ATTRIBUTES)
    creation.set_obj_track_times(False)  # the same input gives the same bytes
    return h5py.File(h5py.h5f.create(b"sink", h5py.h5f.ACC_TRUNC, creation, access))


def mark(node: h5py.Group, kind: str) -> h5py.Group:
    """Write the encoding type of a group and its version, as AnnData does."""
    write_attributes(node, {"encoding-type": kind, "encoding-version": str(FORMAT_VERSION)})
    return node


def write_attributes(node: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """Write texts, numbers, and sequences of either.

    Characters that HDF5 cannot hold are replaced (a path may be any bytes, as surrogates), and a text of more than
    60,000 bytes is cut.
    """
    for name, value in attributes.items():
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts):
            encoded = [_encoded(text) for text in texts]
            width = max(map(len, encoded), default=0) or 1
            array = np.array(encoded, dtype=h5py.string_dtype("utf-8", width))
            node.attrs[name] = array[0] if isinstance(value, str) else array
        else:
            node.attrs[name] = value


def node(file: h5py.File, path: str) -> h5py.Group | h5py.Dataset:
    """Return a group or dataset of the file itself: a soft or an external link would be followed to any other file.

    Raises:
        KeyError, ValueError: there is none.
    """
    found = file
    for name in path.split("/"):
        if found.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path} is a link")
        found = found[name]
    return found


def locate(dataset: h5py.Dataset, raw: BinaryIO) -> int:
    """Return the offset of a dataset's bytes, after making sure that all of them lie in its own file, in one piece.

    A few KB can describe a compressed dataset of 75 GB, or one in any other file: kotovec writes neither.

    Returns:
        The offset, 0 for a dataset of no bytes.

    Raises:
        ValueError: the dataset is compressed, virtual, or of another file, or reaches past the end of the file.
    """
    creation = dataset.id.get_create_plist()  # first: even the shape of a virtual dataset is read from other files
    if creation.get_layout() != h5py.h5d.CONTIGUOUS or creation.get_external_count() or dataset.dtype.hasobject:
        raise ValueError(f"{dataset.name} is not in one piece")
    if not nbytes(dataset):
        return 0
    offset = dataset.id.get_offset()
    if offset is None or offset + nbytes(dataset) > raw.seek(0, os.SEEK_END):
        raise ValueError(f"{dataset.name} reaches past the end of the file")
    return int(offset)


def nbytes(dataset: h5py.Dataset) -> int:
    """Return the size of a dataset in bytes; h5py's own product overflows if a header claims too much."""
    return math.prod(map(int, dataset.shape)) * int(dataset.dtype.itemsize)


def read_attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Return the attributes as plain Python values, without texts of variable length: kotovec writes none.

    Raises:
        ValueError: an attribute is larger than any that kotovec writes.
    """
    ids = {name: node.attrs.get_id(name) for name in node.attrs}
    # HDF5's own size of an empty attribute, such as GPT-2's template, is an error.
    if any(math.prod(map(int, each.shape)) * each.dtype.itemsize > MOST_BYTES for each in ids.values()):
        raise ValueError("an attribute is too large")
    strings = {name: h5py.check_string_dtype(each.dtype) for name, each in ids.items()}
    return {
        name: _plain(node.attrs[name], text=string is not None)
        for name, string in strings.items()
        if string is None or string.length is not None
    }


def _encoded(text: str) -> bytes:
    whole = text.encode("utf-8", "replace").replace(b"\0", "␀".encode())
    return whole if len(whole) <= LONGEST_TEXT else whole[:LONGEST_TEXT].decode("utf-8", "ignore").encode()


def _plain(value: Any, *, text: bool) -> Any:
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if not text:
        return value
    return [each.decode() for each in value] if isinstance(value, list) else value.decode()
