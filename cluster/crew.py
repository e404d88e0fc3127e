"""The workers of a build: as many as have room, started step by step, and given up where they do not start."""

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kotovec.cluster.actor import actor_class
from kotovec.cluster.delivery import Delivery, Steps
from kotovec.cluster.events import Notice, Report
from kotovec.cluster.shards import ShardPlan
from kotovec.errors import InputError, KotovecError, WorkerError
from kotovec.workers.encoder import Encoder, ReplicaSpec

TRIES = 3  # deaths of workers over one shard, or during one start, before that is taken to be the cause
LOOK_SECONDS = 5.0  # nodes join and leave over minutes
PLACE_SECONDS = 30.0  # a worker starts within some 5 s where there is room for it
GROW_SECONDS = 600.0  # a cloud takes minutes to add a node with a GPU
NODE_SECONDS = 20.0  # Ray reports a node that lost its power some 12 s after the workers on it
_FOR_ROOM = "lower --gpus-per-worker, or name another cluster with --address"
Nodes = frozenset[str]


@dataclass(frozen=True)
class Order:
    """What kind of workers, and how many.

    Attributes:
        spec: the replica that each worker loads.
        takes: resources of a node that a worker takes, by Ray's names (`CPU`, `GPU`, `memory` in bytes).
        wanted: number of workers; None for as many as the cluster has room for, as its nodes join and leave.
        most: upper limit of the number of workers: the number of shards.
        may_grow: whether the cluster may add nodes by itself; if it has no room for a worker, it is given time.
        stall_seconds: time without a result after which a worker is replaced.
    """

    spec: ReplicaSpec
    takes: Mapping[str, float]
    wanted: int | None
    most: int
    may_grow: bool = False
    stall_seconds: float = float("inf")


@dataclass(eq=False)
class Worker:
    """An actor and the shards that it holds, the one being encoded first.

    A worker gets shards only once it runs, so that one without room on the cluster keeps none from the others.

    Attributes:
        actor: Ray's handle of the actor.
        nodes: nodes that the worker may be on: all that were alive when it was created, then the one it reported.
        deaths: one entry per predecessor that died as it started: the nodes that it may have been on.
        placed: whether the worker has reported its node.
        start: the remaining steps of the worker's start; None once it runs.
        since: when the current step or shard was handed to the worker, in seconds of the monotonic clock.
        holds: shards that the worker holds.
    """

    actor: Any
    nodes: Nodes
    deaths: list[Nodes]
    placed: bool = False
    start: Steps | None = None
    since: float = field(default_factory=time.monotonic)
    holds: deque[ShardPlan] = field(default_factory=deque)

    def runs_on(self, node: str) -> bool:
        """Return whether the worker runs on this node."""
        return self.start is None and node in self.nodes


class Crew:
    """The workers of a build.

    Raises:
        InputError: no node of the cluster has what a worker takes.
    """

    def __init__(
        self,
        encoder: type[Encoder],
        order: Order,
        delivery: Delivery,
        report: Report,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        import ray as untyped_ray

        self._ray: Any = untyped_ray
        self._actors: Any = self._ray.remote(max_restarts=0, max_task_retries=0)(actor_class(encoder))
        self._order, self._delivery, self._report = order, delivery, report
        self._check = check
        self._patience = GROW_SECONDS if order.may_grow else PLACE_SECONDS
        self._bad: dict[str, KotovecError] = {}  # nodes on which a worker failed to start
        self._given_up = 0
        self._placing, self._told = time.monotonic(), False
        self.workers: list[Worker] = []
        if lack := self._lack():
            if not order.may_grow:
                raise InputError(lack, hint=_FOR_ROOM)
            report(Notice(f"{lack} ({_FOR_ROOM}); waiting {GROW_SECONDS / 60:g} minutes for the cluster to grow"))
        self._look_around(first=True)

    def alive(self) -> Nodes:
        """Return the ids of the nodes that Ray considers alive."""
        return frozenset(node["NodeID"] for node in self._nodes())

    def count_deaths(self, deaths: list[Nodes]) -> int:
        """Count deaths, less those of workers that died with their node.

        Ray reports the death of a node late. Until then the deaths on it count, and where the count would end the
        build, this method waits for the report.
        """
        end = time.monotonic() + NODE_SECONDS
        while True:
            alive = self.alive()
            count = sum(nodes <= alive for nodes in deaths)
            if count < TRIES or len(alive) == 1 or time.monotonic() > end:  # a single node: that of this process
                return count
            time.sleep(min(1.0, NODE_SECONDS / 20))

    def next_step(self, worker: Worker, result: Any = None) -> Any:
        """Return a reference to the next step of a worker's start; None where the worker waits or runs."""
        if worker.start is None:
            return None
        worker.since = time.monotonic()
        try:
            return worker.start.send(result)
        except StopIteration:
            worker.start, worker.deaths = None, []
            for node in worker.nodes & self._bad.keys():  # the node was not the cause
                self._report(Notice(f"a worker failed as it started: {self._bad.pop(node)}"))
            return None

    def replace(self, worker: Worker) -> None:
        """Replace a worker by a new one."""
        if worker.placed:  # where it only waited for room, its successor keeps waiting
            self._placing, self._told = time.monotonic(), False
        self.dismiss(worker)
        self.workers.append(self._make(worker.deaths))

    def died_at_start(self, worker: Worker, reason: str, hint: str | None = None) -> None:
        """Replace a worker that died as it started; after three deaths, do without it.

        Raises:
            WorkerError: no worker is left.
        """
        worker.deaths.append(worker.nodes)
        if self.count_deaths(worker.deaths) < TRIES:
            self._report(Notice(f"a worker died as it started ({reason}): another is tried"))
            self.replace(worker)
            return
        what = f"{TRIES} workers died as they started, the last one so: {reason}"
        self._given_up += 1
        self._give_up(worker, WorkerError(what, hint=hint))
        self._report(Notice(f"{what}; the build goes on with {len(self.workers)} worker(s)"))

    def failed_at_start(self, worker: Worker, error: Exception) -> None:
        """Exclude a node on which a worker raised an error as it started.

        Raises:
            KotovecError: there is no other node to try; the error itself where kotovec raised it.
        """
        node = self._place(worker, error)
        if isinstance(error, KotovecError):
            known = error
        else:
            hint = (
                "install it there, or use kotovec submit, which brings it along" if "'kotovec'" in str(error) else None
            )
            known = WorkerError(f"a worker does not start: {last_line(error)}", hint=hint)
        if node is None or any(other.runs_on(node["NodeID"]) for other in self.workers):
            # The node is not the cause: memory may have been short for a moment.
            self.died_at_start(worker, str(known), known.hint)
            return
        told = node["NodeID"] in self._bad
        self._bad[node["NodeID"]] = known
        if self._lack():
            self._give_up(worker, known)
            return
        self.replace(worker)
        if not told:
            where = f"{node['NodeManagerHostname']} (node {node['NodeID'][:8]})"
            self._report(Notice(f"{where} is left out: {known}{f' ({known.hint})' if known.hint else ''}"))

    def look_after(self) -> list[Worker]:
        """Follow the cluster as it grows and shrinks; return the workers that stalled.

        Raises:
            InputError: no worker runs, and the cluster will never have room for one.
        """
        now = time.monotonic()
        if now > self._looked + LOOK_SECONDS:
            self._look_around()
        waited = now - self._placing
        waiting = sum(not worker.placed for worker in self.workers)
        if waiting == len(self.workers) and waited > self._patience and (lack := self._lack()):
            raise InputError(lack, hint=_FOR_ROOM)
        if waiting and waited > PLACE_SECONDS and not self._told:
            self._told = True
            free = _amounts(self._ray.available_resources(), self._order.takes)
            wait = f"{waiting} of {len(self.workers)} workers wait for room"
            self._report(Notice(f"{wait}: each takes {_amounts(self._order.takes)}, {free} are free"))
        busy = [worker for worker in self.workers if worker.start is not None or worker.holds]
        return [worker for worker in busy if now > worker.since + self._order.stall_seconds]

    def dismiss(self, worker: Worker) -> None:
        """End a worker and forget it."""
        self.workers.remove(worker)
        if worker.start is not None:
            worker.start.close()
        self._ray.kill(worker.actor)  # if it is only out of reach, it must not keep running beside its successor

    def _look_around(self, *, first: bool = False) -> None:
        """Adjust the number of workers: more as nodes join, fewer waiting ones as nodes leave."""
        self._looked = time.monotonic()
        wanted, room = self._order.wanted, self._room()
        target = min(self._order.most, max(1, room) if wanted is None else wanted) - self._given_up
        more = target - len(self.workers)
        if not first and not room:
            more = min(more, 0)
        if more > 0 and not first:
            self._report(Notice(f"the cluster has room for {more} more worker(s)"))
        if more > 0:
            self._placing, self._told = time.monotonic(), False
        for _ in range(more):
            self.workers.append(self._make([]))
        if wanted is None:
            for worker in [worker for worker in self.workers if not worker.placed][: max(0, -more)]:
                self.dismiss(worker)

    def _make(self, deaths: list[Nodes]) -> Worker:
        takes = dict(self._order.takes)
        options: dict[str, Any] = {
            "num_cpus": takes.pop("CPU"),
            "num_gpus": takes.pop("GPU"),
            "scheduling_strategy": "SPREAD",
            **takes,
        }
        if self._bad:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._bad)})"}
        worker = Worker(self._actors.options(**options).remote(self._order.spec), self.alive(), deaths)
        worker.start = self._starting(worker)
        return worker

    def _starting(self, worker: Worker) -> Steps:
        node = yield worker.actor.node.remote()
        worker.nodes, worker.placed = frozenset({node}), True
        folder = yield from self._delivery.bring(worker.actor, node)
        yield worker.actor.load.remote(folder)

    def _give_up(self, worker: Worker, error: KotovecError) -> None:
        self.dismiss(worker)
        if not self.workers:
            raise error

    def _nodes(self) -> list[dict[str, Any]]:
        self._check()  # `ray.nodes` hangs where the head is lost
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _holding(self, node: Mapping[str, Any]) -> int:
        """Return for how many workers a node has room when nothing else runs there."""
        if node["NodeID"] in self._bad:
            return sum(worker.placed and node["NodeID"] in worker.nodes for worker in self.workers)
        has = node["Resources"]
        return int(min(has.get(name, 0) / amount for name, amount in self._order.takes.items() if amount))

    def _room(self) -> int:
        return sum(map(self._holding, self._nodes()))

    def _place(self, worker: Worker, error: Exception) -> dict[str, Any] | None:
        """Return the node that a worker failed on: the reported one, or the only one with the error's address."""
        nodes = self._nodes()
        address = re.search(r"\bip[=:] ?([\d.]+)", str(error))
        here = [
            node
            for node in nodes
            if {node["NodeID"]} == worker.nodes or (address and node["NodeManagerAddress"] == address[1])
        ]
        return here[0] if len(here) == 1 else None

    def _lack(self) -> str | None:
        """Return the error where no node has what a worker takes, even when nothing else runs there; else None."""
        if any(self._holding(node) for node in self._nodes() if node["NodeID"] not in self._bad):
            return None
        nodes = [node["Resources"] for node in self._nodes() if node["NodeID"] not in self._bad]
        most: dict[str, float] = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        return (
            f"no node has room for a worker, which takes {_amounts(self._order.takes)}: the largest has "
            f"{_amounts(most, self._order.takes)}"
        )


def _amounts(has: Mapping[str, float], like: Mapping[str, float] | None = None) -> str:
    """Format amounts of resources, as in `1 CPU and 0.5 GPU`."""
    parts = [f"{has.get('CPU', 0):g} CPU", f"{has.get('GPU', 0):g} GPU"]
    if "memory" in (like or has):
        parts.append(f"{has.get('memory', 0) / 1e9:.1f} GB")
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def last_line(error: Exception) -> str:
    """Return an error's type and the last line of its message; the last line of Ray's own messages names both."""
    lines = str(error).strip().splitlines()
    if type(error).__module__.startswith("ray."):
        return lines[-1]
    return ": ".join((type(error).__name__, *lines[-1:]))
