"""Schedule shards over Ray actors: two in flight each, lost ones again, errors of the code at once."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.events import Notice, Report
from kotovec.cluster.plan import ShardPlan
from kotovec.errors import InputError, KotovecError, WorkerError, first_line
from kotovec.workers.encoder import Encoded, Encoder, ReplicaSpec

IN_FLIGHT = 2  # shards an actor holds: one it computes, one that waits, so that it never idles
TRIES = 3  # deaths of workers over one shard before it is held to be the cause
WAIT_SECONDS = 1.0  # Ctrl-C is noticed this often at the latest
PLACE_SECONDS = 30.0  # a worker starts within some 5 s where there is room for it
GROW_SECONDS = 600.0  # a cloud takes minutes to add a node with a GPU
NODE_SECONDS = 20.0  # Ray tells of a node that lost its power some 12 s after the workers on it
_STARTING = -1  # stands for the shard of workers that died before they had one


@dataclass(eq=False)
class _Worker:
    """An actor and the shards that it holds, the one under work first.

    It gets shards once it runs: one that the cluster has no room for keeps none from the others.
    `nodes` are those where it may be: all that were alive when it was made, then the one it runs on.
    """

    actor: Any
    nodes: frozenset[str]
    runs: bool = False
    holds: list[ShardPlan] = field(default_factory=list)


class Pool:
    """Actors that each hold a replica.

    Args:
        spec: what each loads.
        workers: how many.
        gpus_per_worker: share of a GPU that each takes.
        report: called with what happens.
        may_grow: the cluster may add nodes by itself: one that has no room for a worker is given time.

    Raises:
        InputError: no node of the cluster has what a worker takes.
    """

    def __init__(
        self, spec: ReplicaSpec, workers: int, gpus_per_worker: float, report: Report, *, may_grow: bool = False
    ) -> None:
        import ray as untyped_ray

        ray: Any = untyped_ray
        options = {"num_cpus": 1, "num_gpus": gpus_per_worker, "max_restarts": 0, "max_task_retries": 0}
        self._ray = ray
        self._make: Callable[[], _Worker] = lambda: _Worker(ray.remote(**options)(Encoder).remote(spec), self._alive())
        self._report = report
        self._takes = {"CPU": 1.0, "GPU": gpus_per_worker}
        self._patience = GROW_SECONDS if may_grow else PLACE_SECONDS
        if lack := self._lack():
            if not may_grow:
                raise InputError(lack)
            report(Notice(f"{lack}; waiting {GROW_SECONDS / 60:g} minutes for the cluster to grow"))
        self._workers = [self._make() for _ in range(workers)]
        self._deaths: defaultdict[int, list[frozenset[str]]] = defaultdict(list)  # by shard: where each was
        self._placing, self._told = time.monotonic(), False

    def run(
        self,
        shards: Sequence[ShardPlan],
        ids: npt.NDArray[np.int64],
        take: Callable[[ShardPlan, Encoded], None],
    ) -> None:
        """Encode all shards, in any order, and hand each result over as soon as it is there.

        Args:
            shards: what to encode.
            ids: (V,) token ids of the plan.
            take: called with each shard and its vectors, in this process.

        Raises:
            InputError: no worker runs, and no node of the cluster has what one takes.
            WorkerError: a shard killed several workers, or a worker failed with an error of its code.
            KotovecError: what a replica raised itself, as it is.
        """
        queue = deque(shards)
        running: dict[Any, tuple[_Worker, ShardPlan | None]] = {}
        while queue or any(worker.holds for worker in self._workers):
            self._fill(queue, running, ids)
            # One reference at a time, the oldest first: what a worker gave is taken before the error that says
            # that it died afterwards, so the shard under work is the one that gets the blame.
            ready, _ = self._ray.wait(list(running), timeout=WAIT_SECONDS)
            for reference in ready:
                worker, shard = running.pop(reference)
                result = self._fetch(reference)
                if isinstance(result, Exception):
                    lost = self._replace(worker, result)
                    running = {key: value for key, value in running.items() if value[0] is not worker}
                    queue.extendleft(reversed(lost))
                elif shard is None:
                    worker.runs, worker.nodes = True, frozenset({result})
                    self._deaths.pop(_STARTING, None)
                else:
                    worker.holds.remove(shard)
                    take(shard, result)
            self._watch_room()

    def close(self) -> None:
        """Kill the actors."""
        for worker in self._workers:
            self._ray.kill(worker.actor)

    def _fill(self, queue: deque[ShardPlan], running: dict[Any, Any], ids: npt.NDArray[np.int64]) -> None:
        """Give shards to the workers that hold fewest, up to `IN_FLIGHT` each; ask the new ones where they run."""
        ray = self._ray
        asked = {id(worker) for worker, _ in running.values()}
        for worker in self._workers:
            if not worker.runs and id(worker) not in asked:
                where = worker.actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id())
                running[where] = (worker, None)
        for held in range(IN_FLIGHT):
            for worker in self._workers:
                if queue and worker.runs and len(worker.holds) == held:
                    shard = queue.popleft()
                    part = ids[shard.start : shard.stop]
                    reference = worker.actor.encode.remote(shard.number, part, shard.batches)
                    worker.holds.append(shard)
                    running[reference] = (worker, shard)

    def _fetch(self, reference: Any) -> Any:
        """Return a result, or the error that means that its worker is lost; raise every other error."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            if isinstance(cause, KotovecError):
                raise cause from None
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[-1]
            raise WorkerError(f"a worker failed: {type(cause).__name__}: {reason}") from error
        except errors.RayError as error:
            if getattr(error, "actor_init_failed", False):  # kotovec cannot be imported there, say
                raise WorkerError(f"a worker does not start: {str(error).strip().splitlines()[-1]}") from error
            return error

    def _replace(self, worker: _Worker, error: Exception) -> list[ShardPlan]:
        """Put a new actor in a lost one's place, and return the shards it held.

        Only the shard under work counts a try: the one behind it cannot have been the cause.
        """
        number = worker.holds[0].number if worker.holds else _STARTING
        self._deaths[number].append(worker.nodes)
        reason = first_line(error)
        if self._tries(number) >= TRIES:
            what = f"shard {number} lost {TRIES} workers" if worker.holds else f"{TRIES} workers died as they started"
            raise WorkerError(f"{what}, the last one so: {reason}")
        self._report(Notice(f"a worker was lost ({reason}): another takes over its {len(worker.holds)} shard(s)"))
        self._ray.kill(worker.actor)  # where it is only out of reach, it must not go on beside its successor
        self._workers[self._workers.index(worker)] = self._make()
        self._placing, self._told = time.monotonic(), False
        return worker.holds

    def _tries(self, number: int) -> int:
        """Count the deaths of workers over a shard, less those that died with their node.

        Ray tells of a node's death late: one that is not known yet counts until it is, and where the count would
        end the build, it is waited for.
        """
        end = time.monotonic() + NODE_SECONDS
        while True:
            alive = self._alive()
            tries = sum(nodes <= alive for nodes in self._deaths[number])
            if tries < TRIES or len(alive) == 1 or time.monotonic() > end:  # the one node is where this runs
                return tries
            time.sleep(WAIT_SECONDS)

    def _alive(self) -> frozenset[str]:
        return frozenset(node["NodeID"] for node in self._ray.nodes() if node["Alive"])

    def _watch_room(self) -> None:
        """Tell once of workers that do not start: the cluster may have no room for them.

        Raises:
            InputError: none runs, and the cluster will never have room.
        """
        waited = time.monotonic() - self._placing
        waiting = sum(not worker.runs for worker in self._workers)
        if waiting == len(self._workers) and waited > self._patience and (lack := self._lack()):
            raise InputError(lack)
        if waiting and waited > PLACE_SECONDS and not self._told:
            self._told = True
            free = _amounts(self._ray.available_resources())
            wait = f"{waiting} of {len(self._workers)} workers wait for room"
            self._report(Notice(f"{wait}: each takes {_amounts(self._takes)}, {free} are free"))

    def _lack(self) -> str | None:
        """Return what is wrong where no node has what a worker takes, even when nothing else runs there."""
        nodes: list[dict[str, float]] = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= amount for name, amount in self._takes.items()) for node in nodes):
            return None
        most = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        return (
            f"no node has room for a worker, which takes {_amounts(self._takes)}: the largest has {_amounts(most)}; "
            "lower --gpus-per-worker, or name another cluster with --address"
        )


def _amounts(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
