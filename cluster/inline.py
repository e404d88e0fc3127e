"""Encode in this process, one shard after the other, without Ray; the bytes are the same."""

import sys
from collections.abc import Sequence
from typing import Any

from kotovec.cluster.executor import Ask, Take
from kotovec.cluster.shards import ShardPlan
from kotovec.workers.encoder import Encoder, ReplicaSpec


class Inline:
    """An `Executor` of one replica in this process, for builds without workers."""

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

    def run(self, shards: Sequence[ShardPlan], inputs: Ask, take: Take) -> None:
        """Encode all shards, in their order; see `Executor.run`."""
        for shard in shards:
            take(shard, self._encoder.encode(shard.number, inputs(shard)))

    def close(self) -> None:
        """Restore the number of threads that torch had in this process."""
        torch: Any = sys.modules.get("torch")
        if self._threads is not None:
            torch.set_num_threads(self._threads)
