"""A worker as the driver sees it: an actor, the steps of its start, and the shards that it holds."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from kotovec.cluster.delivery import Delivery, Steps
from kotovec.cluster.shards import ShardPlan
from kotovec.workers.inputs import Inputs

Nodes = frozenset[str]


class Worker:
    """An actor, first as it starts, then as it encodes; only its own methods change its state.

    A worker gets shards only once it runs, so that one without room on the cluster keeps none from the others.

    Args:
        actor: Ray's handle of the actor.
        nodes: ids of the nodes that the actor may be on: all that are alive.
        deaths: one entry per predecessor that died as it started: the nodes that it may have been on.
    """

    def __init__(self, actor: Any, nodes: Nodes, deaths: Iterable[Nodes] = ()) -> None:
        self._actor, self._nodes, self._deaths = actor, nodes, tuple(deaths)
        self._placed = False
        self._start: Steps | None = None
        self._shards: deque[ShardPlan] = deque()
        self._since = time.monotonic()  # when the current step or shard was handed to the actor

    @property
    def nodes(self) -> Nodes:
        """Ids of the nodes that the worker may be on; once it is placed, the one that it reported."""
        return self._nodes

    @property
    def deaths(self) -> tuple[Nodes, ...]:
        """The deaths of its predecessors as they started; none once it runs."""
        return self._deaths

    @property
    def is_placed(self) -> bool:
        """Whether the actor has reported its node."""
        return self._placed

    @property
    def is_running(self) -> bool:
        """Whether the start is complete, so that the worker can be given shards."""
        return self._start is None

    @property
    def shards(self) -> tuple[ShardPlan, ...]:
        """The shards that the worker holds; the first one is being encoded."""
        return tuple(self._shards)

    def runs_on(self, node: str) -> bool:
        """Return whether the worker runs on this node."""
        return self.is_running and node in self._nodes

    def is_stalled(self, now: float, seconds: float) -> bool:
        """Return whether the worker has had something to do for longer than this without a result.

        Args:
            now: the time of `time.monotonic`.
            seconds: the longest time that is not suspicious.
        """
        busy = self._start is not None or self._shards
        return bool(busy) and now > self._since + seconds

    def begin(self, delivery: Delivery) -> None:
        """Begin the start, whose steps `step` takes: ask for the node, bring the model there, load it."""
        self._start = self._steps(delivery)

    def step(self, result: Any = None) -> Any:
        """Take the next step of the start, given the result of the last one.

        Returns:
            A reference to the result of the step; None where the worker waits for another one, or runs.
        """
        if self._start is None:
            return None
        self._since = time.monotonic()
        try:
            return self._start.send(result)
        except StopIteration:
            self._start, self._deaths = None, ()
            return None

    def encode(self, shard: ShardPlan, inputs: Inputs) -> Any:
        """Queue a shard behind those that the worker holds; return a reference to the result."""
        reference = self._actor.encode.remote(shard.number, inputs)
        if not self._shards:
            self._since = time.monotonic()
        self._shards.append(shard)
        return reference

    def delivered(self, shard: ShardPlan) -> None:
        """Take note that the result of a shard has arrived."""
        self._shards.remove(shard)
        self._since = time.monotonic()

    def end(self, kill: Callable[[Any], None]) -> None:
        """Abandon the start, and kill the actor.

        Args:
            kill: `ray.kill`.
        """
        if self._start is not None:
            self._start.close()
        kill(self._actor)

    def _steps(self, delivery: Delivery) -> Steps:
        node = yield self._actor.node.remote()
        self._nodes, self._placed = frozenset({node}), True
        folder = yield from delivery.bring(self._actor, node)
        yield self._actor.load.remote(folder)
