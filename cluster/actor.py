"""The actor that a worker is: a replica, and what the driver asks about the machine that it is on."""

from pathlib import Path
from typing import Any

from kotovec.ownership import drop_public_paths
from kotovec.workers.checkpoint import Checkpoint
from kotovec.workers.encoder import Encoder


class Placed:
    """What every actor answers about its machine. Plain methods: Ray's own `__ray_call__` is not in ray:// handles."""

    def __init__(self, spec: Any) -> None:
        drop_public_paths()  # before torch and transformers are imported: a cluster's workers start anywhere
        super().__init__(spec)  # type: ignore[call-arg]

    def node(self) -> str:
        """Return the id of the node that this runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def find(self, checkpoint: Checkpoint) -> Path | None:
        """Return a folder of this machine that holds the model's files, or None."""
        return checkpoint.find()

    def receive(self, checkpoint: Checkpoint, sender: str, name: str, offset: int, piece: bytes) -> None:
        """Write a piece of the model's files on this machine."""
        checkpoint.receive(sender, name, offset, piece)

    def complete(self, checkpoint: Checkpoint, sender: str) -> Path | None:
        """Return the folder of the files that arrived; None where they are not what was sent."""
        return checkpoint.complete(sender)


def actor_class(encoder: type[Encoder]) -> type[Any]:
    """Return the class to make actors of; it keeps the encoder's name, which Ray shows in `ps` and its dashboard."""
    return type(encoder.__name__, (Placed, encoder), {})
