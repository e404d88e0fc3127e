"""What a build encodes: items alone in their template, whose vectors are placed, or sentences, whose are summed.

`Job` is the contract between a build and what it encodes. The sentences are in `cluster/contexts/means.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kotovec.cluster.plan import Plan
from kotovec.cluster.provenance import Machine
from kotovec.cluster.results import check_placed
from kotovec.cluster.shards import ShardPlan
from kotovec.errors import DamagedError
from kotovec.space import Space
from kotovec.store.layout import Layout
from kotovec.store.merge import merge
from kotovec.store.shard import Shard, ShardReader, open_shard, path_of, write_shard
from kotovec.workers.encoder import Encoded


@dataclass(frozen=True)
class Shards:
    """The shards of a plan in the folder of a store.

    Attributes:
        missing: those that are still to be encoded.
        damaged: how many of them have a file that is damaged.
        machine: the machine that encoded the first of the others; None without any.
    """

    missing: list[ShardPlan]
    damaged: int
    machine: Machine | None


class Job(Protocol):
    """What a build encodes, in the folder of one store.

    Attributes:
        unit: what is counted: `token`, `word` or `sentence`.
    """

    unit: str

    @property
    def notices(self) -> tuple[str, ...]:
        """Messages for the user."""

    def find(self) -> Shards:
        """Return the shards that no earlier run encoded; those that are there are read once."""

    def check(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Check what a worker returned for a shard.

        Raises:
            WorkerError: the worker returned another shard, or computed it with another forward pass.
            NonFiniteError: it contains NaN or Inf.
        """

    def write(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Write what was checked.

        Raises:
            DiskFullError: no space is left.
        """

    def merge(self, space: Space, identity: str, made: dict[str, Any]) -> None:
        """Write the file of a space, once every shard is there.

        Raises:
            DamagedError: a shard is damaged.
            DiskFullError: no space is left.
        """


class Placed:
    """The items alone in their template; each vector is placed at its row."""

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan, self._layout = plan, layout
        self._widths: dict[str, int] = {}
        self.unit = plan.noun

    @property
    def notices(self) -> tuple[str, ...]:
        """Messages for the user: none."""
        return ()

    def find(self) -> Shards:
        """Return the shards that no earlier run encoded."""
        plan = self._plan
        return read_shards(plan, self._layout.shards, lambda shard, reader: reader.check(plan.ids(shard), plan.encoded))

    def check(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Check the vectors of a shard."""
        self._widths = check_placed(self._plan, shard, encoded, self._widths)

    def write(self, shard: ShardPlan, encoded: Encoded) -> None:
        """Write the vectors of a shard."""
        plan = self._plan
        arrays = {Space.parse(name): array for name, array in encoded.arrays.items()}
        found = Shard(shard.number, plan.ids(shard), arrays, encoded.host, encoded.cpu, None, encoded.products)
        write_shard(self._layout.shards, found, plan.fingerprint)

    def merge(self, space: Space, identity: str, made: dict[str, Any]) -> None:
        """Write the file of a space."""
        plan, layout = self._plan, self._layout
        merge(layout, space, layout.shards, plan.bounds, plan.fingerprint, identity, made)


def read_shards(plan: Plan, folder: Path, check: Callable[[ShardPlan, ShardReader], None]) -> Shards:
    """Read the shards of a plan that are in a folder.

    Args:
        plan: the plan, restricted to what it adds.
        folder: the folder of the shard files.
        check: called with each; raises `DamagedError` for one that is of no use.
    """
    missing, damaged = [], 0
    machine = None
    for shard in plan.shards:
        try:
            with open_shard(folder, shard.number, plan.fingerprint) as reader:
                check(shard, reader)
                machine = machine or machine_of(reader)
        except DamagedError:
            damaged += path_of(folder, shard.number).exists()
            missing.append(shard)
    return Shards(missing, damaged, machine)


def machine_of(reader: ShardReader) -> Machine:
    """Return the machine of an earlier run that encoded a shard; of a fold, the first one."""
    host, cpu, products = (text.split("\n")[0] for text in (reader.host, reader.cpu, reader.products))
    return Machine(host, cpu, products, earlier=True)


def open_job(plan: Plan, layout: Layout) -> Job:
    """Return what a plan encodes."""
    if plan.sentences is None:
        return Placed(plan, layout)
    from kotovec.cluster.contexts.means import Averaged

    return Averaged(plan, plan.sentences, layout)
