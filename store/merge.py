"""Write `vectors.h5` from shard files: by copy, block by block, every block checked on the way.

Memory stays at one block of one layer of one shard, whatever the size of the vocabulary.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from kotovec.store import checksum, hdf5
from kotovec.store.files import Sink, sinking
from kotovec.store.shard import open_shard
from kotovec.store.tokens import Kind, Tokens


@dataclass(frozen=True)
class Shape:
    """What the shards hold: `bounds` (start, stop) rows of each shard, layers, and the stored dtype."""

    bounds: Sequence[tuple[int, int]]
    layers: Sequence[int]
    dtype: str


def merge(
    target: Path, shards: Path, shape: Shape, tokens: Tokens, fingerprint: str, provenance: Mapping[str, Any]
) -> None:
    """Write `vectors.h5`, whole or not at all.

    Args:
        target: path of the file.
        shards: folder of the shard files.
        shape: rows of each shard, layers, stored dtype of `isolated`.
        tokens: the V tokens, in the order of the shards.
        fingerprint: what every shard must carry.
        provenance: attributes of the file; strings, numbers and sequences of them.

    Raises:
        DamagedError: a shard is not what was planned; `target` is untouched.
        DiskFullError: no space is left; `target` is untouched.
    """
    with sinking(target) as sink, hdf5.create(sink) as file:
        mark(file, "kotovec-store")
        hdf5.write_attributes(file, {**provenance, "fingerprint": fingerprint})
        _write_tokens(file.create_group("tokens"), tokens)
        vectors = mark(file.create_group("vectors"), "kotovec-vectors")
        rows = len(tokens)
        with open_shard(shards, 0, fingerprint) as first:
            static_size = first.read("static").shape[1]
            isolated_size = first.read("isolated", 0).shape[1]
        static = vectors.create_dataset("static", shape=(rows, static_size), dtype="float32")
        isolated_shape = (len(shape.layers), rows, isolated_size)
        isolated = vectors.create_dataset("isolated", shape=isolated_shape, dtype=shape.dtype)
        hdf5.write_attributes(isolated, {"layers": np.asarray(shape.layers, dtype=np.int64)})
        copy = _Copy(shards, shape, fingerprint, sink)
        _finish(vectors, static, copy.layer("static", static, None))
        _finish(
            vectors,
            isolated,
            *(copy.layer("isolated", isolated, place) for place in range(len(shape.layers))),
        )
        hdf5.write_attributes(file, {"hosts": len(copy.hosts), "cpus": sorted(copy.cpus)})


def mark(node: h5py.Group, kind: str) -> h5py.Group:
    """Write what a group is, and in which version, as AnnData does."""
    hdf5.write_attributes(node, {"encoding-type": kind, "encoding-version": str(hdf5.FORMAT_VERSION)})
    return node


@dataclass(frozen=True)
class _Layer:
    """What copying a layer gave: its running digest, and its norms, (V,) float64."""

    digest: "hashlib._Hash"
    norms: npt.NDArray[np.float64]


class _Copy:
    """Copies layers out of the shards, and remembers who computed them."""

    def __init__(self, shards: Path, shape: Shape, fingerprint: str, sink: Sink) -> None:
        self.shards, self.shape, self.fingerprint, self.sink = shards, shape, fingerprint, sink
        self.hosts: set[str] = set()
        self.cpus: set[str] = set()
        self._digests: dict[str, hashlib._Hash] = {}

    def layer(self, name: str, dataset: h5py.Dataset, place: int | None) -> _Layer:
        """Copy one layer; the digest runs on over the layers of a dataset, in file order."""
        digest = self._digests.setdefault(name, hashlib.sha256())
        norms = np.empty(dataset.shape[-2], dtype=np.float64)
        for number, (start, stop) in enumerate(self.shape.bounds):
            with open_shard(self.shards, number, self.fingerprint) as shard:
                block = shard.read(name, place)
                self.hosts.add(shard.host)
                self.cpus.add(shard.cpu)
            dataset[(slice(start, stop) if place is None else (place, slice(start, stop)))] = block
            self.sink.check()  # a full disk ends the copy here, not after the last shard
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
            norms[start:stop] = np.sqrt(np.einsum("ij,ij->i", block, block, dtype=np.float64))
        return _Layer(digest, norms)


def _finish(group: h5py.Group, dataset: h5py.Dataset, *layers: _Layer) -> None:
    """Write a dataset's checksum and, beside it, its norms: (V,) for `static`, (L, V) for `isolated`."""
    hdf5.write_attributes(dataset, {"sha256": layers[-1].digest.hexdigest()})
    name = dataset.name.rsplit("/", 1)[-1]
    norms = layers[0].norms if name == "static" else np.stack([layer.norms for layer in layers])
    _write(group, f"{name}_norms", norms)


def _write_tokens(group: h5py.Group, tokens: Tokens) -> None:
    mark(group, "kotovec-tokens")
    hdf5.write_attributes(group, {"marking": tokens.marking.value, "unk_id": tokens.unk_id})
    _write(group, "id", tokens.ids)
    for name, strings in (("text", tokens.texts), ("surface", tokens.surfaces)):
        width = strings.array.dtype.itemsize
        _write(group, name, strings.array.astype(h5py.string_dtype("utf-8", width)))
    enumeration = h5py.enum_dtype({kind.label: kind.value for kind in Kind}, basetype="u1")
    _write(group, "kind", tokens.kinds, enumeration)


def _write(group: h5py.Group, name: str, array: npt.NDArray[Any], dtype: Any = None) -> None:
    dataset = group.create_dataset(name, data=array, dtype=dtype)
    hdf5.write_attributes(dataset, {"sha256": checksum.of_array(array)})
