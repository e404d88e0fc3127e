"""Schedule shards over Ray actors: two in flight each, lost ones again, errors of the code at once."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.events import Notice, Report
from kotovec.cluster.plan import ShardPlan
from kotovec.errors import KotovecError, WorkerError
from kotovec.workers.encoder import Encoded, Encoder, ReplicaSpec

IN_FLIGHT = 2  # shards an actor holds: one it computes, one that waits, so that it never idles
TRIES = 3  # deaths of workers over one shard before it is held to be the cause
WAIT_SECONDS = 1.0  # Ctrl-C is noticed this often at the latest
PLACE_SECONDS = 30.0  # a worker starts within some 5 s where there is room for it
_STARTING = -1  # counts the deaths of workers before they had a shard


@dataclass(eq=False)
class _Worker:
    """An actor and the shards that it holds, the one under work first.

    It gets shards once it runs: one that the cluster has no room for keeps none from the others.
    """

    actor: Any
    runs: bool = False
    holds: list[ShardPlan] = field(default_factory=list)


class Pool:
    """Actors that each hold a replica."""

    def __init__(self, spec: ReplicaSpec, workers: int, gpus_per_worker: float, report: Report) -> None:
        import ray as untyped_ray

        ray: Any = untyped_ray
        options = {"num_cpus": 1, "num_gpus": gpus_per_worker, "max_restarts": 0, "max_task_retries": 0}
        self._ray = ray
        self._make: Callable[[], Any] = lambda: ray.remote(**options)(Encoder).remote(spec)
        self._report = report
        self._gpus = gpus_per_worker
        self._workers = [_Worker(self._make()) for _ in range(workers)]
        self._tries: Counter[int] = Counter()

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
            WorkerError: a shard killed several workers, or a worker failed with an error of its code.
            KotovecError: what a replica raised itself, as it is.
        """
        queue = deque(shards)
        running: dict[Any, tuple[_Worker, ShardPlan | None]] = {}
        begin, patient = time.monotonic(), True
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
                    worker.runs = True
                else:
                    worker.holds.remove(shard)
                    take(shard, result)
            if patient and time.monotonic() > begin + PLACE_SECONDS:
                patient = False
                self._notice_crowding()

    def close(self) -> None:
        """Kill the actors."""
        for worker in self._workers:
            self._ray.kill(worker.actor)

    def _fill(self, queue: deque[ShardPlan], running: dict[Any, Any], ids: npt.NDArray[np.int64]) -> None:
        """Give shards to the workers that hold fewest, up to `IN_FLIGHT` each; ask the new ones whether they run."""
        asked = {id(worker) for worker, _ in running.values()}
        for worker in self._workers:
            if not worker.runs and id(worker) not in asked:
                running[worker.actor.__ray_ready__.remote()] = (worker, None)
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
        self._tries[number] += 1
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if self._tries[number] >= TRIES:
            what = f"shard {number} lost {TRIES} workers" if worker.holds else f"{TRIES} workers died as they started"
            raise WorkerError(f"{what}, the last one so: {reason}")
        self._report(Notice(f"a worker was lost ({reason}): another takes over its {len(worker.holds)} shard(s)"))
        self._ray.kill(worker.actor)  # where it is only out of reach, it must not go on beside its successor
        self._workers[self._workers.index(worker)] = _Worker(self._make())
        return worker.holds

    def _notice_crowding(self) -> None:
        """Tell of workers that do not start: the cluster may have no room for them."""
        waiting = sum(not worker.runs for worker in self._workers)
        if waiting:
            free = self._ray.available_resources()
            room = f"{free.get('CPU', 0):g} CPU and {free.get('GPU', 0):g} GPU are free"
            wish = f"1 CPU and {self._gpus:g} GPU"
            self._report(Notice(f"{waiting} of {len(self._workers)} workers wait for room: each takes {wish}, {room}"))
