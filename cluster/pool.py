"""Schedule shards over Ray actors: two in flight per worker, lost ones again, errors of the code raised at once."""

import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from kotovec.cluster import resources
from kotovec.cluster.crew import TRIES, Crew, Nodes, Order, Worker, last_line
from kotovec.cluster.delivery import Delivery
from kotovec.cluster.events import Notice, Report
from kotovec.cluster.shards import ShardPlan
from kotovec.errors import RESUME, KotovecError, WorkerError, first_line
from kotovec.workers.checkpoint import Checkpoint
from kotovec.workers.encoder import Encoded, Encoder
from kotovec.workers.inputs import Inputs

IN_FLIGHT = 2  # shards per actor: one is computed, one waits, so that the actor never idles
SMALLEST_STORE, LARGEST_STORE = 128 << 20, 8 << 30  # of a private Ray's object store, in bytes
WAIT_SECONDS = 1.0  # Ctrl-C is noticed after this time at the latest


def object_store_bytes(workers: int, shard_bytes: int) -> int:
    """Return the size of a private Ray's object store in bytes: twice the shards in flight, within Ray's limits."""
    wanted = 2 * workers * IN_FLIGHT * shard_bytes
    return max(SMALLEST_STORE, min(wanted, resources.available_memory() // 10, LARGEST_STORE))


class Pool:
    """Actors that each hold a replica.

    Args:
        order: what kind of workers, and how many.
        checkpoint: the model's files, for nodes that lack them.
        report: called with each notice.
        check: called once per round; raises where Ray itself has died, as Ray's own calls would hang then.

    Raises:
        InputError: no node of the cluster has what a worker takes.
    """

    def __init__(
        self, order: Order, checkpoint: Checkpoint, report: Report, check: Callable[[], None] = lambda: None
    ) -> None:
        import ray as untyped_ray

        self._ray: Any = untyped_ray
        self._crew = Crew(Encoder, order, Delivery(checkpoint, self._home(), report), report, check)
        self._report, self._check, self._stall_seconds = report, check, order.stall_seconds
        self._running: dict[Any, tuple[Worker, ShardPlan | None]] = {}  # by reference; None: a step of a start
        self._deaths: defaultdict[int, list[Nodes]] = defaultdict(list)  # by shard: the nodes of each death

    def open(self) -> None:
        """Wait until a worker runs, which has then imported torch and loaded the model.

        Raises:
            as `run`.
        """
        with _ray_lost():
            while not any(worker.start is None for worker in self._crew.workers):
                self._round(deque(), _no_shards, _no_shards)

    def run(
        self,
        shards: Sequence[ShardPlan],
        inputs: Callable[[ShardPlan], Inputs],
        take: Callable[[ShardPlan, Encoded], None],
    ) -> None:
        """Encode all shards, in any order, and pass each result to `take` as soon as it arrives.

        Args:
            shards: the shards to encode.
            inputs: called with each shard when it is assigned to a worker; returns the inputs to encode.
            take: called with each shard and its vectors, in this process.

        Raises:
            InputError: no worker runs, and no node of the cluster has what one takes.
            WorkerError: a shard killed several workers, a worker failed with an error of its code, or none starts.
            KotovecError: a replica raised it; it is passed on unchanged.
        """
        queue = deque(shards)
        with _ray_lost():
            while queue or any(worker.holds for worker in self._crew.workers):
                self._round(queue, inputs, take)

    def _round(
        self,
        queue: deque[ShardPlan],
        inputs: Callable[[ShardPlan], Inputs],
        take: Callable[[ShardPlan, Encoded], None],
    ) -> None:
        self._fill(queue, inputs)
        # One reference at a time, the oldest first: a worker's result is taken before the error that reports its
        # later death, so that the shard it was encoding is the one that gets the blame.
        ready = self._wait()
        self._check()
        for reference in ready:
            worker, shard = self._running.pop(reference)
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                self._failed(worker, error)
            except self._ray.exceptions.RayError as error:
                queue.extendleft(self._lost(worker, error))
            else:
                self._took(worker, shard, result, take)
        for worker in self._crew.look_after():
            own = [reference for reference, (holder, _) in self._running.items() if holder is worker]
            if own and self._ray.wait(own, timeout=0)[0]:
                continue  # its result has arrived and waits for its turn
            queue.extendleft(self._lost(worker, TimeoutError(f"it gave nothing for {self._stall_seconds:g} s")))

    def close(self) -> None:
        """Kill the actors."""
        for worker in list(self._crew.workers):
            with contextlib.suppress(Exception):  # Ray may have ended: its client raises bare exceptions
                self._crew.dismiss(worker)

    def _home(self) -> str | None:
        """Return the id of the node that this process runs on; None with `ray://`, where it runs on no node."""
        from ray.util.client import ray as client

        if client.is_connected():
            return None
        return str(self._ray.get_runtime_context().get_node_id())

    def _wait(self) -> list[Any]:
        if not self._running:
            time.sleep(WAIT_SECONDS)
            return []
        ready, _ = self._ray.wait(list(self._running), timeout=WAIT_SECONDS)
        return list(ready)

    def _fill(self, queue: deque[ShardPlan], inputs: Callable[[ShardPlan], Inputs]) -> None:
        """Let new workers take the next step of their start; assign shards to the running ones that hold fewest."""
        employed = set(self._crew.workers)
        self._running = {key: value for key, value in self._running.items() if value[0] in employed}
        for worker in employed - {worker for worker, _ in self._running.values()}:
            self._step(worker)
        for held in range(IN_FLIGHT):
            for worker in self._crew.workers:
                if queue and worker.start is None and len(worker.holds) == held:
                    shard = queue.popleft()
                    reference = worker.actor.encode.remote(shard.number, inputs(shard))
                    if not worker.holds:
                        worker.since = time.monotonic()
                    worker.holds.append(shard)
                    self._running[reference] = (worker, shard)

    def _step(self, worker: Worker, result: Any = None) -> None:
        reference = self._crew.next_step(worker, result)
        if reference is not None:
            self._running[reference] = (worker, None)

    def _took(self, worker: Worker, shard: ShardPlan | None, result: Any, take: Callable[..., None]) -> None:
        if shard is None:
            self._step(worker, result)
            return
        worker.holds.remove(shard)
        worker.since = time.monotonic()
        take(shard, result)

    def _failed(self, worker: Worker, error: Any) -> None:
        """Raise the error that a worker's code raised, or exclude the node on which the worker cannot start."""
        cause = error.cause if isinstance(error.cause, Exception) else error
        if worker.start is not None:
            self._crew.failed_at_start(worker, cause)
        elif isinstance(cause, KotovecError):
            raise cause from None
        else:
            raise WorkerError(f"a worker failed: {last_line(cause)}") from error

    def _lost(self, worker: Worker, error: Exception) -> list[ShardPlan]:
        """Replace a lost worker, and return the shards that it held, the last one first.

        Only the shard being encoded counts a try, as the one behind it cannot have been the cause. A preempted node
        does not count as a try, where Ray reports it as such.

        Raises:
            WorkerError: the shard being encoded has killed its third worker, or no worker starts.
        """
        reason = first_line(error)
        if worker.start is not None:
            if getattr(error, "actor_init_failed", False):  # for example, kotovec cannot be imported there
                self._crew.failed_at_start(worker, error)
            elif isinstance(error, TimeoutError) and not worker.placed:
                self._crew.replace(worker)  # the worker may only have waited for room
            else:
                self._crew.died_at_start(worker, reason)
            return []
        if worker.holds and not getattr(error, "preempted", False):
            number = worker.holds[0].number
            self._deaths[number].append(worker.nodes)
            if self._crew.count_deaths(self._deaths[number]) >= TRIES:
                raise WorkerError(f"shard {number} lost {TRIES} workers, the last one so: {reason}")
        self._report(Notice(f"a worker was lost ({reason}): another takes over its {len(worker.holds)} shard(s)"))
        self._crew.replace(worker)
        return list(reversed(worker.holds))


def _no_shards(*_: object) -> NoReturn:
    raise AssertionError("no shard was given")


@contextlib.contextmanager
def _ray_lost() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:  # raised by Ray's client
        raise WorkerError(f"Ray no longer answers ({first_line(error)})", hint=RESUME) from error
