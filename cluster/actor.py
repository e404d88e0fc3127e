"""The Ray actor behind a worker: a replica, and answers to the driver about the machine that it runs on."""

from pathlib import Path
from typing import Any

from kotovec.ownership import drop_public_paths
from kotovec.workers.checkpoint import Checkpoint
from kotovec.workers.encoder import Encoder


class Placed:
    """The methods of every actor about its machine; plain ones, as handles of `ray://` lack Ray's `__ray_call__`."""

    def __init__(self, spec: Any) -> None:
        drop_public_paths()  # before torch and transformers are imported: workers of a cluster start in any folder
        super().__init__(spec)  # type: ignore[call-arg]

    def node(self) -> str:
        """Return the id of the node that the actor runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def find(self, checkpoint: Checkpoint) -> Path | None:
        """Return a folder of this machine that holds the model's files, or None."""
        return checkpoint.find()

    def receive(self, checkpoint: Checkpoint, sender: str, name: str, offset: int, piece: bytes) -> None:
        """Write a piece of the model's files on this machine."""
        checkpoint.receive(sender, name, offset, piece)

    def complete(self, checkpoint: Checkpoint, sender: str) -> Path | None:
        """Return the folder of the received files; None where they differ from those that were sent."""
        return checkpoint.complete(sender)


def actor_class(encoder: type[Encoder]) -> type[Any]:
    """Return the class of the actors; it keeps the encoder's name, which Ray shows in `ps` and in its dashboard."""
    return type(encoder.__name__, (Placed, encoder), {})
