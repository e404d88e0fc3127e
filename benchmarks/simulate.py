"""A simulated cluster: many workers that only wait and hand over vectors, to find what one driver can take.

Everything but the workers is kotovec's own: its pool, its checks, its shard files. Run by scale.py.
"""

import contextlib
import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TOKENS, WIDTH = 1024, 768  # of a shard: BERT-base's
START_SECONDS = 120.0  # 32 processes on two cores take some 30 s


class EnoughError(Exception):
    """Ends a build after its encoding: the rest is not what is measured."""


def run(store: Path, plan: Any, actors: int, seconds: float) -> dict[str, Any]:
    """Encode a plan with actors that only wait, through kotovec's own pool and driver."""
    import ray

    from kotovec.cluster import build as driver
    from kotovec.cluster import job, pool
    from kotovec.cluster.events import Event, Phase, Progress
    from kotovec.store import checksum, files

    together = store.with_name(f"{store.name}.started")
    together.mkdir(parents=True)
    clock = Clock()
    moments: list[Any] = []

    def report(event: Event) -> None:
        if isinstance(event, Phase) and event.name == "merge":
            raise EnoughError
        if isinstance(event, Progress) and event.done:
            moments.append(clock.now())
            if len(moments) == 1:  # what went before is the workers' start
                clock.spent.clear()

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    own, pool.Encoder = pool.Encoder, mock(together, actors, seconds)
    try:
        with (
            clock.timing("ray.wait", ray, "wait"),
            clock.timing("ray.get", ray, "get"),
            clock.timing("write_shard", job, "write_shard"),
            clock.timing("sha256", checksum, "of_array"),
            clock.timing("fsync", files, "sync"),
            contextlib.suppress(EnoughError),
        ):
            driver.build(plan, store, driver.Resources(workers=actors), report=report)
    finally:
        pool.Encoder = own
        for path in (store, together):
            shutil.rmtree(path, ignore_errors=True)
    return {"actors": actors, "asked_per_second": actors / seconds, **_rates(moments, clock.spent)}


def _rates(moments: list[Any], spent: dict[str, Any]) -> dict[str, Any]:
    """Return the shards per second, and what the driver does for each; the moments are those of taken shards."""
    count = len(moments) - 1
    whole = moments[-1] - moments[0]
    parts = {
        "waiting": spent["ray.wait"],
        "ray.get": spent["ray.get"],
        "sha256": spent["sha256"],
        "fsync": spent["fsync"],
        "writing": spent["write_shard"] - spent["sha256"] - spent["fsync"],
        "rest": whole - spent["ray.wait"] - spent["ray.get"] - spent["write_shard"],
    }
    return {
        "shards_per_second": count / float(whole[0]),
        "wall_and_cpu_ms": {name: (1000 * value / count).tolist() for name, value in parts.items()},
        "driver_cpu_ms": 1000 * float(whole[1]) / count,
    }


class Clock:
    """Adds up what functions take: seconds on the wall, and of this thread's CPU."""

    def __init__(self) -> None:
        import numpy as np

        self.now: Callable[[], Any] = lambda: np.array([time.perf_counter(), time.thread_time()])
        self.spent: defaultdict[str, Any] = defaultdict(lambda: np.zeros(2))

    @contextlib.contextmanager
    def timing(self, name: str, owner: Any, attribute: str) -> Iterator[None]:
        """Time a function, under a name, within the block."""
        function: Callable[..., Any] = getattr(owner, attribute)

        def timed(*arguments: Any, **options: Any) -> Any:
            begin = self.now()
            try:
                return function(*arguments, **options)
            finally:
                self.spent[name] = self.spent[name] + self.now() - begin

        setattr(owner, attribute, timed)
        try:
            yield
        finally:
            setattr(owner, attribute, function)


def mock(together: Path, actors: int, seconds: float) -> type:
    """Return a class of workers that wait for each other once, then `seconds` for each shard."""
    import numpy as np

    from kotovec.workers.encoder import Encoded

    class Mock:
        def __init__(self, spec: Any) -> None:
            self.spec = spec
            self.arrays = {name: np.ones((TOKENS, WIDTH), dtype=np.float32) for name in spec.spaces}
            (together / str(os.getpid())).touch()

        def load(self, *_: Any) -> None:
            end = time.monotonic() + START_SECONDS
            while len(list(together.iterdir())) < actors:
                if time.monotonic() > end:
                    raise RuntimeError(f"not all of the {actors} actors have started within {START_SECONDS:g} s")
                time.sleep(0.1)

        def encode(self, number: int, inputs: Any) -> Encoded:
            time.sleep(seconds)
            arrays = {name: array[: len(inputs.wanted)] for name, array in self.arrays.items()}
            return Encoded(number, arrays, "host", "none", self.spec.forward)

    return Mock


def show(found: dict[str, Any]) -> None:
    """Print the shards per second for each number of actors, and what the driver does meanwhile."""
    size = found["shard_bytes"]
    print(f"Simulation: {size / 1e6:.1f} MB per shard, {found['shard_seconds'] * 1000:g} ms per actor;")
    print("the driver's ms per shard, on the wall and of its CPU\n")
    names = list(found["runs"][0]["wall_and_cpu_ms"])
    print(
        f"{'actors':>8}{'asked/s':>9}{'shards/s':>10}{'MB/s':>7} |" + "".join(f"{name:>12}" for name in (*names, "CPU"))
    )
    for run in found["runs"]:
        rate = run["shards_per_second"]
        cells = [f"{wall:.1f} {cpu:.1f}" for wall, cpu in run["wall_and_cpu_ms"].values()]
        print(f"{run['actors']:8}{run['asked_per_second']:9.0f}{rate:10.1f}{rate * size / 1e6:7.0f} |", end="")
        print("".join(f"{cell:>12}" for cell in (*cells, f"{run['driver_cpu_ms']:.1f}")))
    print()
