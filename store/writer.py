"""The only code that writes vectors: the table of a store's tokens, and a file for each of its spaces.

`tokens.h5` comes first. Each file of `spaces/` names the table that its rows belong to, and is not used with any other.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.space import Space
from kotovec.store import checksum, hdf5
from kotovec.store.files import Sink, sinking
from kotovec.store.layout import PIECES, SPACE, TABLE, Layout
from kotovec.store.tokens import Kind, Tokens

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

LARGE = 1 << 20  # bytes of a block that the disk may begin with at once
Rows = npt.NDArray[np.floating[Any]]
Parts = dict[str, npt.NDArray[Any]]  # small arrays beside the vectors of a space


def identity_of(tokens: Tokens, weights: str) -> str:
    """Return the SHA-256 that identifies a table of tokens and the model that they come from.

    Args:
        tokens: the V tokens.
        weights: SHA-256 of the model's weights, or of whatever else the vectors come from.
    """
    digest = hashlib.sha256(f"{weights}\n".encode())
    digest.update(np.ascontiguousarray(tokens.ids).view(np.uint8).data)
    digest.update(tokens.texts.block)
    if tokens.pieces is not None:
        digest.update(np.ascontiguousarray(tokens.pieces.offsets).view(np.uint8).data)
        digest.update(np.ascontiguousarray(tokens.pieces.ids).view(np.uint8).data)
    return digest.hexdigest()


def write_tokens(layout: Layout, tokens: Tokens, provenance: Mapping[str, Any]) -> str:
    """Write `tokens.h5`, completely or not at all; return the identity of the table.

    Args:
        layout: the layout of the store, whose folder exists.
        tokens: the V tokens.
        provenance: attributes of the file; strings, numbers and sequences of them.

    Raises:
        DiskFullError: no space is left.
    """
    identity = identity_of(tokens, str(provenance.get("weights_sha256", "")))
    with sinking(layout.tokens) as sink, hdf5.create(sink) as file:
        hdf5.mark(file, TABLE)
        hdf5.write_attributes(
            file, {**provenance, "marking": tokens.marking.value, "unk_id": tokens.unk_id, "identity": identity}
        )
        _write(file, "id", tokens.ids)
        for name, strings in (("text", tokens.texts), ("surface", tokens.surfaces)):
            _write(file, name, np.frombuffer(strings.block, dtype=np.uint8))
        enumeration = h5py.enum_dtype({kind.label: kind.value for kind in Kind}, basetype="u1")
        _write(file, "kind", tokens.kinds, enumeration)
        if tokens.pieces is not None:
            offsets, pieces = PIECES
            _write(file, offsets, tokens.pieces.offsets)
            _write(file, pieces, tokens.pieces.ids)
    return identity


class SpaceWriter:
    """Writes the vectors of a space in row order, block by block, and computes their checksum and norms on the way."""

    def __init__(self, dataset: h5py.Dataset, sink: Sink, threads: "ThreadPoolExecutor") -> None:
        self._dataset, self._sink, self._threads = dataset, sink, threads
        self.digest = hashlib.sha256()
        self.norms = np.empty(len(dataset), dtype=np.float64)
        self.rows = 0
        self.parts: Parts = {}  # written beside the vectors

    def add(self, block: Rows) -> None:
        """Append (n, D) vectors.

        Raises:
            DiskFullError: no space is left.
        """
        part = slice(self.rows, self.rows + len(block))
        block = np.ascontiguousarray(block, dtype=self._dataset.dtype)
        # Beside the writing: the checksum takes 0.6 s of a gigabyte, the norms 0.2 s, and a caller may reuse the block.
        checksum = self._threads.submit(self.digest.update, block.view(np.uint8).data)
        try:
            self._dataset[part] = block
            self._sink.check()  # a full disk stops the writing here, not after the last block
            if block.nbytes >= LARGE:
                self._sink.hasten()
            self.norms[part] = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        finally:
            checksum.result()
        self.rows = part.stop


@contextlib.contextmanager
def writing_space(
    layout: Layout, space: Space, shape: tuple[int, int], dtype: str, identity: str, made: dict[str, Any]
) -> Iterator[SpaceWriter]:
    """Yield a writer for the vectors of a space; the complete file appears if the block succeeds.

    Args:
        layout: the layout of the store.
        space: the space of the vectors.
        shape: the shape of the vectors, (V, D).
        dtype: `float32` or `float16`.
        identity: the identity of the store's tokens.
        made: how the vectors were made, JSON-ready; what the block adds to it is written, too.

    Raises:
        ValueError: the block added more or fewer than V vectors.
        DiskFullError: no space is left.
    """
    from concurrent.futures import ThreadPoolExecutor  # which a query does not need: 5 ms

    layout.spaces.mkdir(exist_ok=True)
    with sinking(layout.space(space)) as sink, hdf5.create(sink) as file, ThreadPoolExecutor(1) as threads:
        hdf5.mark(file, SPACE)
        dataset = file.create_dataset("vectors", shape=shape, dtype=dtype)
        writer = SpaceWriter(dataset, sink, threads)
        yield writer
        if writer.rows != shape[0]:
            raise ValueError(f"{space}: {writer.rows} vectors for {shape[0]} tokens")
        hdf5.write_attributes(dataset, {"sha256": writer.digest.hexdigest()})
        _write(file, "norms", writer.norms)
        for name, part in writer.parts.items():
            _write(file, name, part)
        hdf5.write_attributes(
            file, {"space": str(space), "identity": identity, "made": json.dumps(made, sort_keys=True)}
        )


def write_space(layout: Layout, space: Space, vectors: Rows, identity: str, made: dict[str, Any]) -> None:
    """Write the file of a space from (V, D) vectors in memory; see `writing_space`."""
    with writing_space(layout, space, vectors.shape, str(vectors.dtype), identity, made) as writer:
        writer.add(vectors)


def write_tied(layout: Layout, space: Space, of: Space, identity: str, made: dict[str, Any], parts: Parts) -> None:
    """Write the file of a space whose vectors are those of another one, which it names in their place.

    Args:
        layout: the layout of the store.
        space: the space.
        of: the space that it is.
        identity: the identity of the store's tokens.
        made: how it was found, JSON-ready.
        parts: small arrays of its own.

    Raises:
        DiskFullError: no space is left.
    """
    layout.spaces.mkdir(exist_ok=True)
    with sinking(layout.space(space)) as sink, hdf5.create(sink) as file:
        hdf5.mark(file, SPACE)
        for name, part in parts.items():
            _write(file, name, part)
        written = {"space": str(space), "tied": str(of), "identity": identity, "made": json.dumps(made, sort_keys=True)}
        hdf5.write_attributes(file, written)


def _write(group: h5py.Group, name: str, array: npt.NDArray[Any], dtype: Any = None) -> None:
    dataset = group.create_dataset(name, data=array, dtype=dtype)
    hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
