"""A private Ray that starts while the build is planned: together they take 5 seconds, one after the other 6."""

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kotovec.cluster import resources
from kotovec.cluster.plan import SHARD_BYTES, Plan, Request, make_plan, parse_layers
from kotovec.cluster.pool import object_store_bytes
from kotovec.cluster.session import import_ray, session
from kotovec.errors import WorkerError
from kotovec.workers import source as sources
from kotovec.workers.source import Source


@dataclass
class Planned:
    """A plan.

    Attributes:
        plan: as `make_plan` made it.
        seconds: that it and Ray's start took, one after the other.
        ray: ends the private Ray, if there is one, where it is closed.
    """

    plan: Plan
    seconds: dict[str, float]
    ray: contextlib.ExitStack


@contextlib.contextmanager
def planned(request: Request, workers: int | None, *, with_ray: bool, folder: Path | None = None) -> Iterator[Planned]:
    """Give the plan of a build; hold a private Ray for the block, or until it is closed, where one is wanted.

    Args:
        request: what is asked.
        workers: how many the Ray is to have room for; None for one a core.
        with_ray: the build will need a private Ray.
        folder: of that Ray; as for `session`.

    Raises:
        InputError and its kinds: as `make_plan`.
        WorkerError: Ray does not start.
    """
    begin = time.monotonic()
    # Where there is a GPU the plan decides how many workers there are.
    if not with_ray or find_gpus():
        plan = make_plan(request)
        yield Planned(plan, {"plan": time.monotonic() - begin}, contextlib.ExitStack())
        return
    request.check()
    source = sources.resolve(request.model, request.revision)
    _check_layers(request, source)
    found = time.monotonic()
    import_ray()  # before the thread: of packages that two import at once, one may see half
    count = workers or resources.cores()
    with ThreadPoolExecutor(1) as thread, contextlib.ExitStack() as held:
        future = thread.submit(make_plan, request, source)
        store_bytes = object_store_bytes(count, SHARD_BYTES)
        try:
            held.enter_context(session(None, count * request.cpus_per_worker, store_bytes, folder))
        except WorkerError:
            future.result()  # what is wrong with the request is said first
            raise
        up = time.monotonic()
        plan = future.result()
        yield Planned(plan, {"plan": found - begin + time.monotonic() - up, "start": up - found}, held)


def find_gpus() -> list[Path]:
    """Return the devices of this machine's GPUs; torch would say so too, in two seconds."""
    return list(Path("/dev").glob("nvidia[0-9]*"))


def _check_layers(request: Request, source: Source) -> None:
    """Refuse layers that the model has not before Ray starts; what else is wrong, the plan says."""
    depth = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        depth = json.loads((source.folder / "config.json").read_text(encoding="utf-8")).get("num_hidden_layers")
    if isinstance(depth, int):
        parse_layers(request.layers, depth)
