"""SIGKILL at random moments, to one worker, all workers, a node or the driver: the bytes are those of a calm build."""

import logging
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from kotovec.cluster.build import Resources, build
from kotovec.store import Store
from kotovec.store.layout import Layout
from kotovec.workers.encoder import Encoder

from processes import SHARD, Assassin, kill, meet
from rays import (
    CHECKOUT,
    SLOW_COMMAND,
    Process,
    datasets,
    left_behind,
    run_build,
    shard_files,
)

log = logging.getLogger(__name__)  # --log-cli-level=INFO shows what was measured
SEED = 20261122
LONGEST = 120  # seconds after which nothing of a killed build may be running; Ray's own agents take over one


@pytest.mark.parametrize("kind", ["actor", "all actors"])
def test_workers_killed_at_random_moments_cost_no_byte(kind, rounds, calm, employ, tmp_path):
    plan, expected = calm
    rng = np.random.default_rng(SEED)

    class Slow(Encoder):
        def encode(self, *arguments):
            time.sleep(0.3)  # more than 1 s is left after the trigger, of which the deed takes 0.3 and a look at /proc
            return super().encode(*arguments)

    employ(Slow)
    for number in range(rounds(kind)):
        moment = plan.shards[int(rng.integers(0, len(plan.shards) - 8))].start  # so that there is work left
        assassin = Assassin(moment, rng.uniform(0, 0.3), everyone=kind == "all actors")
        store = tmp_path / f"{number}.kotovec"
        build(plan, store, Resources(workers=2), report=assassin)
        assassin.join()
        assert len(assassin.killed) in ((1,) if kind == "actor" else (1, 2)), number
        assert sum("a worker" in text for text in assassin.notices) == len(assassin.killed)
        assert datasets(store) == expected
        assert left_behind(store) == []


def test_a_driver_killed_at_random_moments_goes_on_and_leaves_nothing_running(rounds, calm, command, tmp_path):
    """From its first second on; whatever Ray had begun ends by itself."""
    plan, expected = calm
    rng = np.random.default_rng(SEED)
    (arguments, store), slowest = command, 0.0
    for number in range(rounds("driver")):
        moment = int(rng.integers(0, len(plan.shards)))
        with Process(*arguments, "--workers", 1 + number % 2, cwd=tmp_path, code=SLOW_COMMAND) as process:
            # Each round goes on with what the last one left; every fourth is met before it encodes.
            if number % 4:
                meet(process, lambda: len(shard_files(store)) >= moment)  # noqa: B023
            time.sleep(rng.uniform(0, 0.5 if number % 4 else 6.0))
            kill(process)
            begin = time.monotonic()
            assert process.left(LONGEST) == [], number
            slowest = max(slowest, time.monotonic() - begin)
        if len(assert_whole_spaces(store, expected)) == len(plan.spaces):
            assert datasets(store) == expected
            shutil.rmtree(store)
    with Process(*arguments, "--workers", 1, cwd=tmp_path) as process:
        code, _, err = process.finish()
    assert code == 0, err
    assert datasets(store) == expected
    assert left_behind(store) == []
    log.info("the last process ended %.1f s after its driver", slowest)


def assert_whole_spaces(store, expected):
    """What of a killed build's tokens and spaces is there at all is whole: return their files' names."""
    if not (store / "tokens.h5").exists():  # killed before it wrote anything
        assert not (store / "spaces").exists()
        return ()
    found = datasets(store)
    assert found.items() <= expected.items()
    files = {name.split("/")[0] for name in found}
    assert set(found) == {name for name in expected if name.split("/")[0] in files}
    if files - {"tokens"}:
        assert Store.open(store).vectors.verify() == []
    return files - {"tokens"}


# Builds that have every shard already, and are killed by their parent at a moment of the merge, or of index writing.
# Every step on the disk takes 5 ms, so that a random moment meets any of them.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from kotovec.cluster import build
from kotovec.cluster.plan import Request, make_plan
from kotovec.store import files

def slowly(owner, name):
    real = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (time.sleep(0.005), real(*a, **k), time.sleep(0.005))[1])

slowly(files.Sink, "write")
slowly(os, "fsync")
slowly(os, "replace")
plan = make_plan(Request(model=sys.argv[1], layers="all", shard_tokens=int(sys.argv[2]), device="cpu"))
phase, random = sys.argv[3], random.Random(int(sys.argv[4]))
longest = None
for store in sys.argv[5:]:
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        tell = lambda event: os.write(there, b".") if getattr(event, "name", "") == phase else None
        build.build(plan, Path(store), report=tell)
        os._exit(0)
    os.read(here, 1)
    begin = time.monotonic()
    if longest is None:  # the first one is let go, to see how long it takes
        os.waitpid(child, 0)
        longest = time.monotonic() - begin
        continue
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(longest)
"""


def merging(plan, store):
    """Build a store up to its merge."""

    class Merging(BaseException):
        pass

    def stop(event):
        if getattr(event, "name", "") == "merge":
            raise Merging

    with pytest.raises(Merging):
        build(plan, store, Resources(workers=1), report=stop)


def killed(code, plan, *arguments):
    """Run a script that kills its builds of a plan; return what it printed."""
    environment = os.environ | ({"PYTHONPATH": str(CHECKOUT)} if CHECKOUT else {})
    command = [sys.executable, "-c", code, *map(str, (plan.model.source.folder, SHARD, *arguments))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 + 10 * len(arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("phase", ["merge", "index"])
def test_a_driver_killed_as_it_merges_or_indexes_goes_on(phase, rounds, calm, tmp_path):
    plan, expected = calm
    whole = tmp_path / "whole.kotovec"
    merging(plan, whole)
    count = rounds(f"driver in {phase}")
    stores = [tmp_path / str(number) / "x.kotovec" for number in range(count + 1)]
    for store in stores:
        shutil.copytree(whole, store)
    took = killed(KILLED, plan, phase, SEED, *stores).strip()
    for store in stores:
        merged = assert_whole_spaces(store, expected)
        assert phase == "merge" or len(merged) == len(plan.spaces)
        log.info("%s of %s s left %s", phase, took, sorted(path.name for path in store.rglob("*")))
        summary, _ = run_build(plan, store)
        assert summary.encoded == 0
        assert datasets(store) == expected
        assert Store.open(store).verify() == []
        assert left_behind(store) == []


# Builds that have every shard already, and kill themselves before a file of a space, or after it, is given its name.
KILLED_BETWEEN = """
import os, signal, sys
from pathlib import Path
from kotovec.cluster import build
from kotovec.cluster.plan import Request, make_plan

plan = make_plan(Request(model=sys.argv[1], layers="all", shard_tokens=int(sys.argv[2]), device="cpu"))
names, real = [f"{space.stem}.h5" for space in plan.spaces], os.replace

def die():
    os.kill(os.getpid(), signal.SIGKILL)

for step, store in enumerate(sys.argv[3:]):
    def replace(part, target, **places):
        at = names.index(target) * 2 if target in names else -1
        if at == step:
            die()
        real(part, target, **places)
        if at + 1 == step and at >= 0:
            die()

    child = os.fork()
    if child == 0:
        os.replace = replace
        build.build(plan, Path(store))
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
"""


def test_a_driver_killed_between_two_spaces_keeps_those_that_are_whole_and_goes_on(calm, tmp_path):
    plan, expected = calm
    merging(plan, tmp_path / "whole.kotovec")
    stores = [tmp_path / str(step) / "x.kotovec" for step in range(2 * len(plan.spaces))]
    for store in stores:
        shutil.copytree(tmp_path / "whole.kotovec", store)
    killed(KILLED_BETWEEN, plan, *stores)
    for step, store in enumerate(stores):
        whole = plan.spaces[: (step + 1) // 2]
        assert assert_whole_spaces(store, expected) == {space.stem for space in whole}
        if whole:
            assert Store.open(store).spaces == whole
        before = [Layout(store).space(space).stat().st_ino for space in whole]
        summary, _ = run_build(plan, store)
        assert summary.encoded == 0
        assert [Layout(store).space(space).stat().st_ino for space in whole] == before
        assert datasets(store) == expected
        assert Store.open(store).verify() == []
        assert left_behind(store) == []
