"""The model on the nodes of a cluster: the driver sends it once to each node that lacks it."""

import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any

from kotovec.cluster.events import Notice, Report
from kotovec.errors import WorkerError
from kotovec.workers.checkpoint import Checkpoint

# A step yields a reference and is sent its value, or yields None to be resumed later.
Steps = Generator[Any, Any, Any]


class Delivery:
    """Brings a model to the nodes of a cluster.

    Args:
        checkpoint: the model's files.
        home: id of the node that shares the driver's disk and is not searched; None where no node does (`ray://`).
        report: called when the model is sent to a node.
    """

    def __init__(self, checkpoint: Checkpoint, home: str | None, report: Report) -> None:
        self._checkpoint, self._report = checkpoint, report
        self._sender = secrets.token_hex(4)
        self._folders: dict[str, Path | None] = {} if home is None else {home: None}
        self._under_way: set[str] = set()

    def bring(self, actor: Any, node: str) -> Steps:
        """Return the folder of the model on an actor's node; None where the plan's own path holds there.

        Raises:
            WorkerError: the received files differ from those that were sent.
        """
        while node in self._under_way:  # another worker of this node is bringing it
            yield None
        if node not in self._folders:
            self._under_way.add(node)
            try:
                folder = yield actor.find.remote(self._checkpoint)
                self._folders[node] = folder or (yield from self._send(actor, node))
            finally:
                self._under_way.discard(node)
        return self._folders[node]

    def _send(self, actor: Any, node: str) -> Steps:
        self._report(Notice(f"node {node[:8]} has no {self._checkpoint.source.name}: it is sent from here"))
        sender = f"{self._sender}-{node[:8]}"  # nodes may share a home folder
        for piece in self._checkpoint.pieces():
            yield actor.receive.remote(self._checkpoint, sender, *piece)
        folder = yield actor.complete.remote(self._checkpoint, sender)
        if folder is None:
            raise WorkerError(f"{self._checkpoint.source.name} changed while it was sent to node {node[:8]}")
        return folder
