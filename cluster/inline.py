"""Encode in this process, one shard after the other, without Ray; the bytes are the same."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from kotovec.cluster.shards import ShardPlan
from kotovec.workers.encoder import Encoded, Encoder, ReplicaSpec
from kotovec.workers.inputs import Inputs


class Inline:
    """One replica in this process; it replaces a `Pool` where no workers are wanted."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self._encoder = Encoder(spec)
        self._threads: int | None = None

    def open(self) -> None:
        """Load the model.

        Raises:
            ModelError: the weights are damaged or of another model.
        """
        import torch

        self._threads = torch.get_num_threads()
        self._encoder.load()

    def run(
        self,
        shards: Sequence[ShardPlan],
        inputs: Callable[[ShardPlan], Inputs],
        take: Callable[[ShardPlan, Encoded], None],
    ) -> None:
        """Encode all shards and pass each result to `take`; see `Pool.run`."""
        for shard in shards:
            take(shard, self._encoder.encode(shard.number, inputs(shard)))

    def close(self) -> None:
        """Restore the number of threads that torch had in this process."""
        torch: Any = sys.modules.get("torch")
        if self._threads is not None:
            torch.set_num_threads(self._threads)
