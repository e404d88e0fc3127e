"""Write the files of spaces from shard files, block by block, and every block checked on the way.

`merge` puts each vector at its position; `merge_means` adds up sums. Memory stays at one block of one space of one
shard, and at one block of sums, whatever the size of the vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store import sums
from kotovec.store.layout import Layout
from kotovec.store.shard import ShardReader, open_shard
from kotovec.store.writer import writing_space

BLOCK_BYTES = 256 << 20  # of sums in memory: each block reads the shards that have rows in it


class _Machines:
    """The machines that computed some shards."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        self._cpus: set[str] = set()
        self._products: set[str] = set()

    def add(self, shard: ShardReader) -> None:
        """Add the machine of a shard."""
        self._hosts.add(shard.host)
        self._cpus.add(shard.cpu)
        self._products.add(shard.products)

    def as_dict(self) -> dict[str, Any]:
        """Return what is added to how the vectors were made."""
        products = ", ".join(sorted(self._products))
        return {"hosts": len(self._hosts), "cpus": sorted(self._cpus), "products": products}


def merge(
    layout: Layout,
    space: Space,
    shards: Path,
    bounds: Sequence[tuple[int, int]],
    fingerprint: str,
    identity: str,
    made: dict[str, Any],
) -> None:
    """Write the file of a space, completely or not at all: each row once, at its position.

    Args:
        layout: the layout of the store.
        space: the space, which every shard has.
        shards: the folder of the shard files.
        bounds: (start, stop) rows of each shard.
        fingerprint: the fingerprint that every shard must carry.
        identity: the identity of the store's tokens.
        made: how the vectors were made; the hosts, CPUs and products that computed them are added.

    Raises:
        DamagedError: a shard is damaged or not as planned; nothing is written.
        DiskFullError: no space is left; nothing is written.
    """
    with open_shard(shards, 0, fingerprint) as first:
        block = first.read(space.stem)
    machines, made = _Machines(), {**made}
    shape = bounds[-1][1], block.shape[1]
    with writing_space(layout, space, shape, str(block.dtype), identity, made) as writer:
        for number in range(len(bounds)):
            with open_shard(shards, number, fingerprint) as shard:
                writer.add(shard.read(space.stem))
                machines.add(shard)
        made |= machines.as_dict()


def merge_means(
    layout: Layout,
    space: Space,
    shards: Path,
    count: int,
    rows: int,
    fingerprint: str,
    identity: str,
    made: dict[str, Any],
) -> None:
    """Write the file of a space whose vectors are means, completely or not at all.

    Its bytes depend neither on how the vectors were split into shards nor on the order of the shards.

    Each shard holds sums of the vectors of any rows (`sums.add_up`), with their counts. A row without vectors becomes
    zeros. The file also has `n`, (V,) int64: how many vectors each row is the mean of.

    Args:
        layout: the layout of the store.
        space: the space, which every shard has.
        shards: the folder of the shard files.
        count: number of shards.
        rows: number of rows of the store, V.
        fingerprint: the fingerprint that every shard must carry.
        identity: the identity of the store's tokens.
        made: as in `merge`.

    Raises:
        DamagedError: a shard is damaged or not as planned; nothing is written.
        InputError: a row has more than 32,768 vectors, whose sum int64 may not hold.
        DiskFullError: no space is left; nothing is written.
    """
    with open_shard(shards, 0, fingerprint) as first:
        width = first.read(space.stem).shape[1]
    machines, made = _Machines(), {**made}
    step = max(1, BLOCK_BYTES // (8 * width))
    counts = np.zeros(rows, dtype=np.int64)
    with writing_space(layout, space, (rows, width), "float32", identity, made) as writer:
        for start in range(0, rows, step):
            total = np.zeros((min(step, rows - start), width), dtype=np.int64)
            for number in range(count):
                with open_shard(shards, number, fingerprint) as shard:
                    machines.add(shard)
                    numbers = shard.read("ids")
                    inside = slice(*np.searchsorted(numbers, (start, start + step)))
                    if inside.start < inside.stop:
                        total[numbers[inside] - start] += shard.read(space.stem)[inside]
                        counts[numbers[inside]] += shard.read("counts")[inside]
            block = counts[start : start + step]
            if block.max() > sums.MOST:
                raise InputError(
                    f"row {start + block.argmax()} is a mean of {block.max():,} vectors, over {sums.MOST:,}"
                )
            writer.add(sums.mean(total, block))
        writer.counts = counts
        made |= machines.as_dict()
