"""Write the files of spaces from shard files, each vector at its position, and every block checked on the way.

Memory stays at one block of one space of one shard, whatever the size of the vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kotovec.space import Space
from kotovec.store.layout import Layout
from kotovec.store.shard import ShardReader, open_shard
from kotovec.store.writer import writing_space


class Machines:
    """The machines that computed some shards."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        self._cpus: set[str] = set()
        self._products: set[str] = set()

    def add(self, shard: ShardReader) -> None:
        """Add the machine of a shard, or those of a fold, one per line."""
        self._hosts.update(shard.host.split("\n"))
        self._cpus.update(shard.cpu.split("\n"))
        self._products.update(shard.products.split("\n"))

    def as_lines(self) -> tuple[str, str, str]:
        """Return the hosts, CPUs and products, each one per line, as a fold records them."""
        hosts, cpus, products = ("\n".join(sorted(each)) for each in (self._hosts, self._cpus, self._products))
        return hosts, cpus, products

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
    machines, made = Machines(), {**made}
    shape = bounds[-1][1], block.shape[1]
    with writing_space(layout, space, shape, str(block.dtype), identity, made) as writer:
        for number in range(len(bounds)):
            with open_shard(shards, number, fingerprint) as shard:
                writer.add(shard.read(space.stem))
                machines.add(shard)
        made |= machines.as_dict()
