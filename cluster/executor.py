"""The contract between a build and what encodes its shards: Ray actors (`Pool`) or this process (`Inline`)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from kotovec.cluster.shards import ShardPlan
from kotovec.workers.encoder import Encoded
from kotovec.workers.inputs import Inputs

Ask = Callable[[ShardPlan], Inputs]
Take = Callable[[ShardPlan, Encoded], None]


class Executor(Protocol):
    """Encodes shards with the replicas that it was made for.

    Its user calls `open`, then `run` any number of times, then `close`; `close` also after an error, and also without
    `open`. An error that a replica raises as a `KotovecError` is passed on unchanged, and no shard is handed over after
    an error.
    """

    def open(self) -> None:
        """Return as soon as a replica has loaded the model; `run` would do the same before its first shard.

        Raises:
            ModelError: the weights are damaged or of another model.
            WorkerError: no replica starts.
        """

    def run(self, shards: Sequence[ShardPlan], inputs: Ask, take: Take) -> None:
        """Encode all shards, in any order, and pass each result to `take` as soon as it arrives.

        Args:
            shards: the shards to encode.
            inputs: called in this process with each shard when its turn has come; returns the inputs to encode.
            take: called in this process, once per shard, with the shard and its vectors; what it raises ends the run.

        Raises:
            WorkerError: replicas were lost, or failed.
            KotovecError: a replica raised it.
        """

    def close(self) -> None:
        """End the replicas, and give back what they took from this process or the cluster."""
