"""A private Ray that starts while the build is planned: 5 s in parallel, 6 s one after the other."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kotovec.cluster import resources
from kotovec.cluster.plan import Plan, make_plan
from kotovec.cluster.pool import object_store_bytes
from kotovec.cluster.replica import SHARD_BYTES, SUM_BYTES
from kotovec.cluster.request import Request, parse_layers
from kotovec.cluster.session import import_ray, session
from kotovec.errors import WorkerError
from kotovec.workers.model import Model


@dataclass
class Planned:
    """A plan, and the private Ray that was started beside it.

    Attributes:
        plan: the result of `make_plan`.
        seconds: time until the plan was made (`plan`), and from then on until Ray had started (`start`), which are the
            steps that are displayed: Ray starts during both.
        ray: a stack that ends the private Ray, if there is one, when it is closed.
    """

    plan: Plan
    seconds: dict[str, float]
    ray: contextlib.ExitStack


@contextlib.contextmanager
def planned(
    request: Request,
    workers: int | None,
    *,
    with_ray: bool,
    sums: bool = False,
    folder: Path | None = None,
    on_plan: Callable[[Plan], None] = lambda _: None,
) -> Iterator[Planned]:
    """Yield the plan of a build; hold a private Ray for the block, or until it is closed, where one is needed.

    Args:
        request: the request of the user.
        workers: number of workers that Ray must have room for; None for one worker per core.
        with_ray: whether the build needs a private Ray.
        sums: whether the sums of contexts pass through it, too.
        folder: folder of that Ray, as for `session`.
        on_plan: called with the plan once it is made, perhaps in a thread, while Ray still starts.

    Raises:
        InputError and its kinds: as `make_plan`.
        WorkerError: Ray does not start.
    """
    begin = time.monotonic()
    # Where there is a GPU, the number of workers depends on the plan.
    if not with_ray or find_gpus():
        plan = make_plan(request)
        on_plan(plan)
        yield Planned(plan, {"plan": time.monotonic() - begin}, contextlib.ExitStack())
        return
    request.check()
    request = request.with_words()  # what is wrong with the file is said before Ray starts
    model = Model.find(request.model, request.revision)
    _check_layers(request, model)
    import_ray()  # before the thread: of two threads that import a package at once, one may see half of it
    count = workers or resources.cores()

    def make() -> tuple[Plan, float]:
        plan = make_plan(request, model)
        on_plan(plan)
        return plan, time.monotonic()

    with ThreadPoolExecutor(1) as thread, contextlib.ExitStack() as held:
        future = thread.submit(make)
        store_bytes = object_store_bytes(count, (SUM_BYTES if sums else SHARD_BYTES)["cpu"])
        try:
            held.enter_context(session(None, count * request.cpus_per_worker, store_bytes, folder))
        except WorkerError:
            future.result()  # an error of the request is reported first
            raise
        plan, made = future.result()
        yield Planned(plan, {"plan": made - begin, "start": time.monotonic() - made}, held)


def find_gpus() -> list[Path]:
    """Return the device files of this machine's GPUs; torch would take 2 s to find them."""
    return list(Path("/dev").glob("nvidia[0-9]*"))


def _check_layers(request: Request, model: Model) -> None:
    """Refuse layers that the model does not have before Ray starts; planning reports every other error."""
    depth = model.config.get("num_hidden_layers")
    if isinstance(depth, int):
        parse_layers(request.layers, depth)
