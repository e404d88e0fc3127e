"""Schedule shards over Ray actors: two in flight per worker, lost ones again, errors of the code raised at once."""

import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from kotovec.cluster import resources
from kotovec.cluster.crew import TRIES, Crew, Order, failure
from kotovec.cluster.delivery import Delivery
from kotovec.cluster.events import Notice, Report
from kotovec.cluster.executor import Ask, Take
from kotovec.cluster.shards import ShardPlan
from kotovec.cluster.worker import Nodes, Worker
from kotovec.errors import RESUME, KotovecError, WorkerError, first_line
from kotovec.text import counted
from kotovec.workers.checkpoint import Checkpoint
from kotovec.workers.encoder import Encoder

IN_FLIGHT = 2  # shards per actor: one is computed, one waits, so that the actor never idles
SMALLEST_STORE, LARGEST_STORE = 128 << 20, 8 << 30  # of a private Ray's object store, in bytes
WAIT_SECONDS = 1.0  # Ctrl-C is noticed after this time at the latest


def object_store_bytes(workers: int, shard_bytes: int) -> int:
    """Return the size of a private Ray's object store in bytes: twice the shards in flight, within Ray's limits."""
    wanted = 2 * workers * IN_FLIGHT * shard_bytes
    return max(SMALLEST_STORE, min(wanted, resources.available_memory() // 10, LARGEST_STORE))


class Pool:
    """An `Executor` of Ray actors that each hold a replica: which shard is where, and what a lost worker held.

    The actors themselves are its `Crew`.

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
            while not any(worker.is_running for worker in self._crew.workers):
                self._round(deque(), _no_shards, _no_shards)

    def run(self, shards: Sequence[ShardPlan], inputs: Ask, take: Take) -> None:
        """Encode all shards; see `Executor.run`.

        Raises:
            InputError: no worker runs, and no node of the cluster has what one takes.
            WorkerError: a shard killed several workers, a worker failed with an error of its code, or none starts.
            KotovecError: a replica raised it; it is passed on unchanged.
        """
        queue = deque(shards)
        with _ray_lost():
            while queue or any(worker.shards for worker in self._crew.workers):
                self._round(queue, inputs, take)

    def _round(self, queue: deque[ShardPlan], inputs: Ask, take: Take) -> None:
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
        self._crew.close()

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

    def _fill(self, queue: deque[ShardPlan], inputs: Ask) -> None:
        """Let new workers take the next step of their start; assign shards to the running ones that hold fewest."""
        employed = set(self._crew.workers)
        self._running = {key: value for key, value in self._running.items() if value[0] in employed}
        for worker in employed - {worker for worker, _ in self._running.values()}:
            self._step(worker)
        for held in range(IN_FLIGHT):
            for worker in self._crew.workers:
                if queue and worker.is_running and len(worker.shards) == held:
                    shard = queue.popleft()
                    self._running[worker.encode(shard, inputs(shard))] = (worker, shard)

    def _step(self, worker: Worker, result: Any = None) -> None:
        reference = self._crew.next_step(worker, result)
        if reference is not None:
            self._running[reference] = (worker, None)

    def _took(self, worker: Worker, shard: ShardPlan | None, result: Any, take: Take) -> None:
        if shard is None:
            self._step(worker, result)
            return
        worker.delivered(shard)
        take(shard, result)

    def _failed(self, worker: Worker, error: Any) -> None:
        """Raise the error that a worker's code raised, or exclude the node on which the worker cannot start."""
        cause = error.cause if isinstance(error.cause, Exception) else error
        if not worker.is_running:
            self._crew.failed_at_start(worker, cause)
        elif isinstance(cause, KotovecError):
            raise cause from None
        else:
            raise WorkerError(f"a worker failed: {failure(cause)}") from error

    def _lost(self, worker: Worker, error: Exception) -> list[ShardPlan]:
        """Replace a lost worker, and return the shards that it held, the last one first.

        Only the shard being encoded counts a try, as the one behind it cannot have been the cause. A preempted node
        does not count as a try, where Ray reports it as such.

        Raises:
            WorkerError: the shard being encoded has killed its third worker, or no worker starts.
        """
        if not worker.is_running:
            self._crew.lost_at_start(worker, error)
            return []
        reason, held = first_line(error), worker.shards
        if held and not getattr(error, "preempted", False):
            deaths = self._deaths[held[0].number]
            deaths.append(worker.nodes)
            if self._crew.is_fatal(deaths):
                raise WorkerError(f"shard {held[0].number} lost {TRIES} workers, the last one so: {reason}")
        self._report(Notice(f"a worker was lost ({reason}): another takes over its {counted(len(held), 'shard')}"))
        self._crew.replace(worker)
        return list(reversed(held))


def _no_shards(*_: object) -> NoReturn:
    raise AssertionError("no shard was given")


@contextlib.contextmanager
def _ray_lost() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:  # raised by Ray's client
        raise WorkerError(f"Ray no longer answers ({first_line(error)})", hint=RESUME) from error
