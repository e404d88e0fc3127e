"""Scans of a corpus whose driver or whose node is killed at random moments: the sample is that of a calm one."""

import json
import logging
import random
import time

import numpy as np

from kotovec.cluster.contexts.sample import finished
from kotovec.store import folder as folders
from kotovec.store.layout import Layout

import scanned
from processes import AUTHENTICATION, Cluster, kill, meet
from rays import Process, wait_for
from scanned import bytes_of, english, names, run_scan, spec_of, write_lines
from test_address import start_head

log = logging.getLogger(__name__)
SEED = 20261128
LONGEST = 120  # seconds after which nothing of a killed scan may be running

# Scans in this process that are killed by their parent at a random moment; every step on the disk takes 2 ms.
KILLED = """
import os, pickle, random, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from kotovec.cluster.contexts.sample import scan
from kotovec.store import files
from kotovec.store.layout import Layout
import forked, scanned

def slowly(owner, name):
    real = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (time.sleep(0.001), real(*a, **k), time.sleep(0.001))[1])

slowly(os, "fsync"), slowly(os, "replace"), slowly(os, "unlink")
with open(sys.argv[2], "rb") as file:
    spec = pickle.load(file)
layout, longest, random = Layout(Path(sys.argv[3])), float(sys.argv[4]), random.Random(int(sys.argv[5]))
layout.shards.mkdir(parents=True)

def work():
    with scanned.executor_of(spec) as executor:
        scan(spec, layout, executor)

def due():
    global longest
    end = time.monotonic() + random.uniform(0, longest)
    longest *= 1.2  # else, where others slow this machine down, no fork might come to the end
    return lambda: time.monotonic() >= end

print(forked.run_killed(work, due))
"""


def test_a_scan_killed_at_random_moments_gathers_the_same_sample(rounds, scanner, reference, tmp_path):
    path = write_lines(tmp_path / "a.txt", english())
    spec = spec_of(scanner, path, piece_bytes=6 << 10)
    begin = time.monotonic()
    run_scan(spec, tmp_path / "calm.kotovec")
    longest = (time.monotonic() - begin) / 2
    for number in range(rounds("scan")):
        layout = Layout(tmp_path / str(number) / "x.kotovec")
        kills = scanned.run_killed(KILLED, spec, layout.folder, longest, SEED + number)
        assert kills > 1
        assert bytes_of(finished(spec, layout)) == reference
        assert [name for name in names(layout) if not name.endswith(".part")] == ["contexts.h5", "corpus.json"]
        folders.begin(layout, {"settings": {}})  # as the next build does
        assert names(layout) == ["contexts.h5", "corpus.json", "plan.json"]
        log.info("%d kills", kills)


# A scan on a private Ray, or on a cluster, whose workers take their time.
ON_RAY = """
import os, pickle, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import ray
import scanned
ray.cloudpickle.register_pickle_by_value(scanned)
from kotovec.cluster.contexts.sample import open_executor, scan
from kotovec.cluster.events import Notice
from kotovec.cluster.where import Resources
from kotovec.store.layout import Layout

tell = lambda event: print(event.text, flush=True) if isinstance(event, Notice) else None
with open(sys.argv[2], "rb") as file:
    spec = pickle.load(file)
layout, workers, address = Layout(Path(sys.argv[3])), int(sys.argv[4]), sys.argv[5] if sys.argv[5:] else None
layout.shards.mkdir(parents=True, exist_ok=True)
with open_executor(spec, Resources(workers=workers or None, address=address), tell) as executor:
    scan(spec, layout, executor, tell)
"""


def pieces_of(layout):
    return sorted(layout.shards.glob("piece-*.h5"))


def slow_spec(scanner, tmp_path):
    """Return what decides the sample of a corpus in 15 pieces that take 0.3 s each, and its arguments."""
    path = write_lines(tmp_path / "a.txt", english())
    return spec_of(scanned.slowed(scanner), path)


def test_a_driver_killed_at_random_moments_of_a_scan_leaves_nothing_running_and_goes_on(
    rounds, scanner, reference, tmp_path
):
    spec, layout = slow_spec(scanner, tmp_path), Layout(tmp_path / "x.kotovec")
    arguments = scanned.arguments_of(spec, layout.folder)
    rng, slowest = np.random.default_rng(SEED), 0.0
    for number in range(rounds("driver in scan")):
        moment = int(rng.integers(0, 14))
        with Process(*arguments, 1 + number % 2, cwd=tmp_path, code=ON_RAY) as process:
            meet(process, lambda: len(pieces_of(layout)) >= moment)  # noqa: B023
            time.sleep(rng.uniform(0, 0.5))
            kill(process)
            begin = time.monotonic()
            assert process.left(LONGEST) == [], number
            slowest = max(slowest, time.monotonic() - begin)
    with Process(*arguments, 2, cwd=tmp_path, code=ON_RAY) as process:
        code, out, err = process.finish()
    assert code == 0, err
    assert out.startswith("resuming with ")
    assert bytes_of(finished(spec, layout)) == reference
    assert [name for name in names(layout) if not name.endswith(".part")] == ["contexts.h5", "corpus.json"]
    log.info("the last process ended %.1f s after its driver", slowest)


def test_nodes_that_die_or_join_as_a_corpus_is_scanned_cost_no_byte(rounds, scanner, reference, tmp_path):
    """The head has no cores: every piece is read by nodes that come and go."""
    for number in range(rounds("node in scan")):
        folder = tmp_path / str(number)
        folder.mkdir()
        spec, layout = slow_spec(scanner, folder), Layout(folder / "x.kotovec")
        arguments = scanned.arguments_of(spec, layout.folder)
        with Cluster(num_cpus=0) as cluster:
            first = cluster.add(num_cpus=1)
            cluster.add(num_cpus=1)
            code = f"import os; os.environ |= {json.dumps(AUTHENTICATION)}\n" + ON_RAY
            with Process(*arguments, 0, cluster.address, cwd=folder, code=code) as process:
                meet(process, lambda: len(pieces_of(layout)) >= random.Random(number).randint(3, 6))  # noqa: B023
                cluster.kill(first)
                cluster.add(num_cpus=1)
                code, out, err = process.finish()
        assert code == 0, err
        assert bytes_of(finished(spec, layout)) == reference
        lost = [line for line in out.splitlines() if line.startswith("a worker was lost (")]
        assert 1 <= len(lost) <= 2, out
        assert wait_for(lambda: not process.all(), fail=False)


def test_a_scan_on_a_cluster_goes_on_after_the_loss_of_its_head_and_through_a_client(scanner, reference, tmp_path):
    spec, layout = slow_spec(scanner, tmp_path), Layout(tmp_path / "x.kotovec")
    arguments = scanned.arguments_of(spec, layout.folder)
    with start_head() as (joining, cluster, addresses):
        address = addresses["HOST:PORT"]
        with Process(*arguments, 0, address, cwd=tmp_path, code=joining + ON_RAY) as process:
            meet(process, lambda: len(pieces_of(layout)) >= 3)
            for each in cluster.all():
                each.kill()
            code, out, err = process.finish()
            assert process.left() == []
    assert code == 1, out
    assert err.splitlines()[-2:] == [
        f"kotovec.errors.WorkerError: the cluster at {address} no longer answers",
        "hint: run the same command again; it resumes",
    ]
    kept = len(pieces_of(layout))
    assert kept >= 3
    with (
        start_head() as (joining, _, addresses),
        Process(*arguments, 1, addresses["ray://"], cwd=tmp_path, code=joining + ON_RAY) as process,
    ):
        code, out, err = process.finish()
        assert process.left() == []
    assert code == 0, err
    assert out.splitlines()[0] == f"resuming with {kept} of 15 pieces of the corpus from an earlier run"
    assert bytes_of(finished(spec, layout)) == reference
