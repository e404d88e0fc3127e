"""The workers of a build: as many as have room, started step by step, and given up where they do not start."""

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kotovec import errors
from kotovec.cluster.actor import actor_class
from kotovec.cluster.delivery import Delivery
from kotovec.cluster.events import Notice, Report
from kotovec.cluster.worker import Nodes, Worker
from kotovec.errors import InputError, KotovecError, WorkerError, first_line
from kotovec.text import counted
from kotovec.workers.encoder import Encoder, ReplicaSpec

TRIES = 3  # deaths of workers over one shard, or during one start, before that is taken to be the cause
LOOK_SECONDS = 5.0  # nodes join and leave over minutes
PLACE_SECONDS = 30.0  # a worker starts within some 5 s where there is room for it
GROW_SECONDS = 600.0  # a cloud takes minutes to add a node with a GPU
NODE_SECONDS = 20.0  # Ray reports a node that lost its power some 12 s after the workers on it
_FOR_ROOM = "lower --gpus-per-worker, or name another cluster with --address"


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


class Crew:
    """The workers of a build: how many there are, and what becomes of one that does not start, or is lost.

    The `Pool` decides what the running ones encode.

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
        self._placing, self._reported = time.monotonic(), False
        self._workers: list[Worker] = []
        if lack := self._lack():
            if not order.may_grow:
                raise InputError(lack, hint=_FOR_ROOM)
            report(Notice(f"{lack} ({_FOR_ROOM}); waiting {GROW_SECONDS / 60:g} minutes for the cluster to grow"))
        self._look_around(first=True)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The workers that there are now, the oldest first."""
        return tuple(self._workers)

    def is_fatal(self, deaths: Sequence[Nodes]) -> bool:
        """Return whether so many workers died over one shard or start that it is the cause.

        Those that died with their node do not count. Ray reports the death of a node late. Until then the deaths on it
        count, and where the count would end the build, this method waits for the report.

        Args:
            deaths: for each death, the nodes that the worker may have been on.
        """
        end = time.monotonic() + NODE_SECONDS
        while True:
            alive = self._alive()
            count = sum(nodes <= alive for nodes in deaths)
            if count < TRIES or len(alive) == 1 or time.monotonic() > end:  # a single node: that of this process
                return count >= TRIES
            time.sleep(min(1.0, NODE_SECONDS / 20))

    def next_step(self, worker: Worker, result: Any = None) -> Any:
        """Return a reference to the next step of a worker's start; None where the worker waits or runs."""
        was_running = worker.is_running
        reference = worker.step(result)
        if worker.is_running and not was_running:
            for node in worker.nodes & self._bad.keys():  # the node was not the cause
                self._report(Notice(f"a worker failed as it started: {self._bad.pop(node)}"))
        return reference

    def replace(self, worker: Worker) -> None:
        """Replace a worker by a new one."""
        self._replace(worker, worker.deaths)

    def lost_at_start(self, worker: Worker, error: Exception) -> None:
        """Replace a worker that was lost as it started; after three deaths, do without it.

        Args:
            worker: the worker.
            error: Ray's error, or a TimeoutError where the worker stalled.

        Raises:
            KotovecError: no worker is left.
        """
        if getattr(error, "actor_init_failed", False):  # for example, kotovec cannot be imported there
            self.failed_at_start(worker, error)
        elif isinstance(error, TimeoutError) and not worker.is_placed:
            self.replace(worker)  # the worker may only have waited for room
        else:
            self._died_at_start(worker, first_line(error))

    def failed_at_start(self, worker: Worker, error: Exception) -> None:
        """Exclude a node on which a worker raised an error as it started.

        Raises:
            KotovecError: there is no other node to try; the error itself where kotovec raised it.
        """
        node = self._node_of(worker, error)
        if isinstance(error, KotovecError):
            known = error
        else:
            hint = (
                "install it there, or use `kotovec submit`, which brings it along"
                if "'kotovec'" in str(error)
                else None
            )
            known = WorkerError(f"a worker does not start: {failure(error)}", hint=hint)
        if node is None or any(other.runs_on(node["NodeID"]) for other in self._workers):
            # The node is not the cause: memory may have been short for a moment.
            self._died_at_start(worker, str(known), known.hint)
            return
        reported = node["NodeID"] in self._bad
        self._bad[node["NodeID"]] = known
        if self._lack():
            self._give_up(worker, known)
            return
        self.replace(worker)
        if not reported:
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
        waiting = sum(not worker.is_placed for worker in self._workers)
        if waiting == len(self._workers) and waited > self._patience and (lack := self._lack()):
            raise InputError(lack, hint=_FOR_ROOM)
        if waiting and waited > PLACE_SECONDS and not self._reported:
            self._reported = True
            free = _amounts(self._ray.available_resources(), self._order.takes)
            wait = f"{waiting} of {len(self._workers)} workers wait for room"
            self._report(Notice(f"{wait}: each takes {_amounts(self._order.takes)}, {free} are free"))
        return [worker for worker in self._workers if worker.is_stalled(now, self._order.stall_seconds)]

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            with contextlib.suppress(Exception):  # Ray may have ended: its client raises bare exceptions
                self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        self._workers.remove(worker)
        worker.end(self._ray.kill)  # if it is only out of reach, it must not keep running beside its successor

    def _replace(self, worker: Worker, deaths: Iterable[Nodes]) -> None:
        if worker.is_placed:  # where it only waited for room, its successor keeps waiting
            self._placing, self._reported = time.monotonic(), False
        self._dismiss(worker)
        self._workers.append(self._make(deaths))

    def _died_at_start(self, worker: Worker, reason: str, hint: str | None = None) -> None:
        deaths = (*worker.deaths, worker.nodes)
        if not self.is_fatal(deaths):
            self._report(Notice(f"a worker died as it started ({reason}): another is tried"))
            self._replace(worker, deaths)
            return
        what = f"{TRIES} workers died as they started, the last one so: {reason}"
        self._given_up += 1
        self._give_up(worker, WorkerError(what, hint=hint))
        self._report(Notice(f"{what}; the build continues with {counted(len(self._workers), 'worker')}"))

    def _look_around(self, *, first: bool = False) -> None:
        """Adjust the number of workers: more as nodes join, fewer waiting ones as nodes leave."""
        self._looked = time.monotonic()
        wanted, room = self._order.wanted, self._room()
        target = min(self._order.most, max(1, room) if wanted is None else wanted) - self._given_up
        more = target - len(self._workers)
        if not first and not room:
            more = min(more, 0)
        if more > 0 and not first:
            self._report(Notice(f"the cluster has room for {counted(more, 'more worker')}"))
        if more > 0:
            self._placing, self._reported = time.monotonic(), False
        for _ in range(more):
            self._workers.append(self._make(()))
        if wanted is None:
            for worker in [worker for worker in self._workers if not worker.is_placed][: max(0, -more)]:
                self._dismiss(worker)

    def _make(self, deaths: Iterable[Nodes]) -> Worker:
        takes = dict(self._order.takes)
        options: dict[str, Any] = {
            "num_cpus": takes.pop("CPU"),
            "num_gpus": takes.pop("GPU"),
            "scheduling_strategy": "SPREAD",
            **takes,
        }
        if self._bad:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._bad)})"}
        worker = Worker(self._actors.options(**options).remote(self._order.spec), self._alive(), deaths)
        worker.begin(self._delivery)
        return worker

    def _give_up(self, worker: Worker, error: KotovecError) -> None:
        self._dismiss(worker)
        if not self._workers:
            raise error

    def _alive(self) -> Nodes:
        """Return the ids of the nodes that Ray considers alive."""
        return frozenset(node["NodeID"] for node in self._nodes())

    def _nodes(self) -> list[dict[str, Any]]:
        self._check()  # `ray.nodes` hangs where the head is lost
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _holding(self, node: Mapping[str, Any]) -> int:
        """Return how many workers fit on a node when nothing else runs there."""
        if node["NodeID"] in self._bad:
            return sum(worker.is_placed and node["NodeID"] in worker.nodes for worker in self._workers)
        has = node["Resources"]
        return int(min(has.get(name, 0) / amount for name, amount in self._order.takes.items() if amount))

    def _room(self) -> int:
        return sum(map(self._holding, self._nodes()))

    def _node_of(self, worker: Worker, error: Exception) -> dict[str, Any] | None:
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


def failure(error: Exception) -> str:
    """Return an error's type and the last line of its message; the last line of Ray's own messages names both."""
    line, kind = errors.last_line(error), type(error)
    return line if kind.__module__.startswith("ray.") or line == kind.__name__ else f"{kind.__name__}: {line}"
