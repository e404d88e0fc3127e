"""SIGKILL while the sentences of a sample are encoded: the means, and the sample itself, are those of a calm build."""

import logging
import re
import time
from pathlib import Path

import numpy as np

from kotovec.cluster.build import Resources, build
from kotovec.cluster.contexts import encode
from kotovec.store.layout import Layout
from kotovec.workers.encoder import Encoder

from processes import MOST_SENTENCES, Assassin
from rays import Process, datasets, left_behind

log = logging.getLogger(__name__)  # --log-cli-level=INFO shows what was met
SEED = 20261128
KILLS = 5  # of one build


def assert_calm(store, calm):
    """It has the vectors, the numbers beside them and the sentences of a calm build, and nothing else."""
    found = datasets(store)
    assert found == calm.datasets
    assert {name.split("/")[1] for name in found if name.startswith("context-2/")} >= {"vectors", "n", "uses", "energy"}
    assert Layout(store).contexts.read_bytes() == calm.sample
    assert left_behind(store) == []


# Builds on a private Ray of one or two workers that take their time; each but the last is killed. The first from the
# end of its scan on, which may be before its workers start; the others some time after a shard of theirs.
KILLED = """
import contextlib, os, random, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from kotovec.cluster import build, pool
from kotovec.cluster.contexts import encode
from kotovec.cluster.events import Notice
from kotovec.cluster.plan import make_plan
from kotovec.cluster.request import Request
import forked

class Slow(pool.Encoder):
    def encode(self, *arguments):
        time.sleep(0.1)
        return super().encode(*arguments)

pool.Encoder = Slow
encode.MOST_SENTENCES = int(sys.argv[2])
kills, random, store = int(sys.argv[3]), random.Random(int(sys.argv[4])), Path(sys.argv[5])
plan, forks = make_plan(Request(**eval(sys.argv[6]))), 0

def work():
    tell = lambda event: print(event.text, flush=True) if isinstance(event, Notice) else None
    build.build(plan, store, build.Resources(workers=1 + forks % 2), report=tell)

def written():  # a shard, the fold of some, or the sample: each as the file that it is now
    with contextlib.suppress(FileNotFoundError):
        files = [(each.name, each.inode()) for each in os.scandir(store / "shards")]
        return {(name, inode) for name, inode in files if name.endswith(".h5") and not name.startswith("piece-")}
    return set()

def due():
    global forks
    forks += 1
    before, begin, wait = written(), [], random.uniform(0, 0.6 if written() else 2.0)
    def is_due():
        if not begin and written() != before:
            begin.append(time.monotonic())
        return begin and time.monotonic() > begin[0] + wait
    return is_due

print(forked.run_killed(work, due, kills), "kills")
"""


def test_a_driver_killed_at_random_moments_of_its_sentences_goes_on(rounds, calm_contexts, tmp_path):
    """Ray's own processes may outlive a driver by a minute: test_kills.py waits for them, and here they are killed."""
    for number in range(rounds("driver in contexts")):
        store = tmp_path / f"{number}.kotovec"
        arguments = [Path(__file__).parents[1], MOST_SENTENCES, KILLS, SEED + number, store, calm_contexts.options]
        with Process(*arguments, cwd=tmp_path, code=KILLED) as process:
            code, out, err = process.finish(300)
        assert code == 0, err
        assert out.endswith(f"\n{KILLS} kills\n")
        resumed = [tuple(map(int, numbers)) for numbers in re.findall(r"resuming with (\d+) of (\d+) shards", out)]
        log.info("%d kills left shards: %s", KILLS, resumed)
        met = {shards for shards, total in resumed if 0 < shards < total == calm_contexts.shards}
        assert len(met) > KILLS // 2, "most kills met no sentence being encoded"
        assert_calm(store, calm_contexts)


def test_an_actor_killed_while_it_encodes_sentences_costs_no_byte(rounds, calm_contexts, employ, monkeypatch, tmp_path):
    monkeypatch.setattr(encode, "MOST_SENTENCES", MOST_SENTENCES)
    rng = np.random.default_rng(SEED)

    class Slow(Encoder):
        def encode(self, *arguments):
            time.sleep(0.15)
            return super().encode(*arguments)

    employ(Slow)
    for number in range(rounds("actor in contexts")):
        moment = int(rng.integers(0, calm_contexts.shards - 8)) * MOST_SENTENCES  # so that there is work left
        assassin = Assassin(moment, rng.uniform(0, 0.3))
        store = tmp_path / f"{number}.kotovec"
        build(calm_contexts.plan, store, Resources(workers=2), report=assassin)
        assassin.join()
        assert len(assassin.killed) == 1, number
        assert sum("a worker" in text for text in assassin.notices) == 1
        assert_calm(store, calm_contexts)
