"""A private Ray that starts while the build is planned: both take some three seconds, and Ray mostly waits."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kotovec.cluster import resources
from kotovec.cluster.plan import SHARD_BYTES, Plan, Request, make_plan
from kotovec.cluster.pool import IN_FLIGHT
from kotovec.cluster.session import import_ray, session
from kotovec.workers import source as sources
from kotovec.workers.source import Source

THREAD = "kotovec-plan"  # where this one still runs, Python must not try to end it at exit


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
def planned(request: Request, workers: int | None, *, with_ray: bool) -> Iterator[Planned]:
    """Give the plan of a build; hold a private Ray for the block, or until it is closed, where one is wanted.

    Args:
        request: what is asked.
        workers: how many the Ray is to have room for; None for one a core.
        with_ray: the build will need a private Ray.

    Raises:
        InputError and its kinds: as `make_plan`.
        WorkerError: Ray does not start.
    """
    begin = time.monotonic()
    # Where there is a GPU the plan decides how many workers there are.
    if not with_ray or any(Path("/dev").glob("nvidia[0-9]*")):
        plan = make_plan(request)
        yield Planned(plan, {"plan": time.monotonic() - begin}, contextlib.ExitStack())
        return
    request.check()
    source = sources.resolve(request.model, request.revision)
    found = time.monotonic()
    import_ray()  # before the thread: of packages that two import at once, one may see half
    thread = _Planning(request, source)
    thread.start()
    count = workers or resources.cores()
    with contextlib.ExitStack() as held:
        held.enter_context(session(None, count * request.cpus_per_worker, 2 * count * IN_FLIGHT * SHARD_BYTES))
        up = time.monotonic()
        plan = thread.result()
        yield Planned(plan, {"plan": found - begin + time.monotonic() - up, "start": up - found}, held)


class _Planning(threading.Thread):
    """Makes a plan; a daemon, as an import cannot be interrupted."""

    def __init__(self, request: Request, source: Source) -> None:
        super().__init__(name=THREAD, daemon=True)
        self._request, self._source = request, source
        self._plan: Plan | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._plan = make_plan(self._request, self._source)
        except BaseException as error:  # noqa: BLE001 — raised where the result is asked for
            self._error = error

    def result(self) -> Plan:
        """Wait for the plan."""
        self.join()
        if self._plan is None:
            raise self._error or RuntimeError("no plan was made")
        return self._plan
