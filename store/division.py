"""Prototypes from the vectors of contexts: divided item by item, block by block, with a random seed.

Memory stays at one block of one space; beside it, there is a byte per context.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.space import Space
from kotovec.store import kmeans
from kotovec.store.contexts import Sample
from kotovec.store.layout import Layout
from kotovec.store.means import as_stored
from kotovec.store.merge import Machines
from kotovec.store.points import Points
from kotovec.store.prototypes import Prototypes, base_of, writing_prototypes

Labels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]


def merge_prototypes(
    layout: Layout,
    space: Space,
    points: Points,
    shards: int,
    sample: Sample,
    most: int,
    identity: str,
    made: dict[str, Any],
    dtype: str = "float32",
) -> None:
    """Write the file of a space of prototypes, completely or not at all.

    Its bytes depend neither on how the contexts were split into shards nor on the order of the shards.

    Args:
        layout: the layout of the store.
        space: the space.
        points: the vectors of the contexts.
        shards: how many shards have some.
        sample: the contexts.
        most: most centres of an item.
        identity: the identity of the store's tokens.
        made: how the vectors were made; the hosts, CPUs and products that computed them are added.
        dtype: `float32` or `float16`.

    Raises:
        DamagedError: a file is damaged; nothing is written.
        NonFiniteError: a centre is too large for float16; nothing is written.
        DiskFullError: no space is left; nothing is written.
    """
    machines, made, bounds = Machines(), {**made}, points.bounds
    labels, width = np.zeros(len(sample.sentences), dtype=np.uint8), 0
    for block in range(points.blocks):
        rows = slice(bounds[block], bounds[block + 1] + 1)
        offsets = sample.offsets[rows]
        if offsets[0] < offsets[-1]:
            vectors = points.read(space.averaged, block, range(shards), machines)
            width = vectors.shape[1]
            drawn = draws(sample, int(rows.start), len(offsets) - 1, most)
            labels[offsets[0] : offsets[-1]] = kmeans.partition(vectors, offsets - offsets[0], most, drawn)
    centres, sizes = base_of(labels, sample.offsets)
    like = Prototypes(np.empty((0, width), dtype=dtype), np.empty(0), centres, sizes, labels)
    with writing_prototypes(layout, space, like, identity, made) as writer:
        for block in range(points.blocks):
            rows = slice(bounds[block], bounds[block + 1] + 1)
            offsets = sample.offsets[rows]
            if offsets[0] < offsets[-1]:
                vectors = points.read(space.averaged, block, range(shards), machines)
                some = labels[offsets[0] : offsets[-1]]
                writer.add(as_stored(means(vectors, offsets - offsets[0], some), space, dtype))
        made |= machines.as_dict()


def draws(sample: Sample, start: int, rows: int, most: int) -> Doubles:
    """Return the draws of some items, (m, `STARTS`, most) float64 from 0 to 1, exclusive.

    They depend on the random seed and on the hashes of an item's own sentences, not on its place among the others.
    """
    count = kmeans.STARTS * most
    seed = int(sample.made.get("seed", 0)).to_bytes(8, "big")
    bits = b"".join(
        hashlib.shake_128(seed + sample.hashes[sample.of(row)].astype(">u8").tobytes()).digest(8 * count)
        for row in range(start, start + rows)
    )
    numbers = np.frombuffer(bits, dtype=">u8").reshape(rows, kmeans.STARTS, most)
    return np.asarray((numbers >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def means(vectors: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64], labels: Labels) -> Doubles:
    """Return the means of the vectors with each label, (p, D), row by row: added in float64, in the order of contexts.

    Args:
        vectors: (e, D) vectors of contexts.
        offsets: (m + 1,) where the contexts of each row begin.
        labels: (e,) labels within each row, none of which is left out.
    """
    centres, sizes = base_of(labels, offsets)
    order = np.argsort(np.repeat(centres[:-1], np.diff(offsets)) + labels, kind="stable")
    starts = np.cumsum(sizes) - sizes
    return np.asarray(np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0) / sizes[:, np.newaxis])
