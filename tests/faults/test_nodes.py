"""Nodes that join, are drained, are killed, again and again: a build uses those that are there."""

import contextlib
import shutil
import time

import numpy as np
import pytest

from kotovec.store.layout import Layout

from processes import FEW, HELD, JOINING, SHARD, Cluster, Marks, meet
from rays import Process, datasets, left_behind, shard_files

SEED = 20261122


@pytest.fixture(scope="module")
def cluster():
    """A cluster whose head has room for one worker."""
    with Cluster(num_cpus=1) as cluster:
        yield cluster
    assert cluster.left() == []


def join(cluster, command, code, *before):
    """Begin a build on a cluster, in a process of its own, with as many workers as it has room for."""
    arguments, store = command
    return Process(*before, *arguments, "--address", cluster.address, cwd=store.parent, code=JOINING + code)


def assert_whole(process, store, expected, seconds=180):
    code, _, err = process.finish(seconds)
    assert code == 0, err
    assert "Traceback" not in err
    assert datasets(store) == expected
    assert left_behind(store) == []
    return err


def lose_a_node(cluster, command, code, marks, rng, shards):
    """Build on a node that is killed at a random moment, and on the head; return the build, which has a shard to do."""
    marks.limit(int(rng.integers(0, shards - 4)))
    cluster.settle()
    node = cluster.add()
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(join(cluster, command, code, marks.folder))
        meet(process, lambda: marks.of(node))
        time.sleep(rng.uniform(0, 0.5))
        cluster.kill(node)
        assert any("a worker was lost" in line for line in process.popen.stderr)
        marks.limit(shards)
        stack.pop_all()
    return process


def test_a_node_killed_at_random_moments_costs_no_byte(rounds, calm, cluster, command, tmp_path):
    plan, expected = calm
    rng, store = np.random.default_rng(SEED), command[1]
    for number in range(rounds("node")):
        marks = Marks(tmp_path / f"marks{number}")
        with lose_a_node(cluster, command, HELD, marks, rng, len(plan.shards)) as process:
            err = assert_whole(process, store, expected)
        assert "a worker was lost" not in err
        shutil.rmtree(store)


def test_a_node_killed_while_sentences_are_encoded_costs_no_byte(rounds, calm_contexts, cluster, context_command):
    rng, (_, store) = np.random.default_rng(SEED), context_command
    for number in range(rounds("node in contexts")):
        marks = Marks(store.parent / f"marks{number}")
        with lose_a_node(cluster, context_command, FEW + HELD, marks, rng, calm_contexts.shards) as process:
            err = assert_whole(process, store, calm_contexts.datasets)
        assert "a worker was lost" not in err
        assert Layout(store).contexts.read_bytes() == calm_contexts.sample
        shutil.rmtree(store)


def test_a_node_that_joins_is_given_work_and_one_that_is_drained_gives_it_back(calm, cluster, command, tmp_path):
    plan, expected = calm
    marks, store = Marks(tmp_path / "marks"), command[1]
    marks.limit(4)
    cluster.settle()
    with join(cluster, command, HELD, marks.folder) as process:
        meet(process, lambda: len(shard_files(store)) == 4)
        node = cluster.add()
        begun = meet(process, lambda: marks.of(node))
        cluster.drain(node)
        marks.limit(len(plan.shards))
        err = assert_whole(process, store, expected)
    assert min(begun) >= 4
    assert "note: the cluster has room for 1 more worker\n" in err


def test_nodes_lost_again_and_again_under_one_shard_are_no_tries_of_it(calm, command, tmp_path):
    """As spot instances are: four in a row, where three workers that die by themselves end a build."""
    plan, expected = calm
    marks, store = Marks(tmp_path / "marks"), command[1]
    with Cluster(num_cpus=0) as cluster:
        node = cluster.add()
        with join(cluster, command, HELD, marks.folder) as process:
            for _ in range(4):
                assert meet(process, lambda: marks.of(node))[0] == 0  # noqa: B023
                # One node at a time: a build that saw two would put a second worker on the other, with other shards.
                # And a worker outlives its raylet by a moment: were it given its shards, it could still hand them over.
                cluster.kill(node)
                assert any("a worker was lost" in line for line in process.popen.stderr)
                node = cluster.add()
            marks.limit(len(plan.shards))
            err = assert_whole(process, store, expected)
    assert "a worker was lost" not in err


# Ray counts GPUs as it is told; a worker that has one notes which, waits for two others, and computes on its CPU.
ON_GPUS = """
import pathlib, sys, time
from dataclasses import replace
from kotovec.cluster import pool

marks = pathlib.Path(sys.argv.pop(1))

class OnGpu(pool.Encoder):
    def load(self, *arguments):
        import ray
        ids = ray.get_runtime_context().get_accelerator_ids()["GPU"]
        (marks / f"{self.node()} {' '.join(ids)}").touch(exist_ok=False)
        self.spec = replace(self.spec, device="cpu")
        super().load(*arguments)

    def encode(self, *arguments):
        end = time.monotonic() + 120
        while len(list(marks.iterdir())) < 3 and time.monotonic() < end:
            time.sleep(0.1)
        return super().encode(*arguments)

pool.Encoder = OnGpu
from kotovec.cli.app import main
main()
"""


def test_each_gpu_of_each_node_has_one_worker(calm, command, tmp_path):
    _, expected = calm
    (_, model, *_), store = command
    marks = tmp_path / "marks"
    marks.mkdir()
    arguments = ["build", model, "--store", store, "--layers", "all", "--shard-tokens", SHARD, "--device", "cuda"]
    with Cluster(num_cpus=2) as cluster:
        two, one = cluster.add(num_cpus=4, num_gpus=2), cluster.add(num_cpus=4, num_gpus=1)
        with join(cluster, (arguments, store), ON_GPUS, marks) as process:
            assert_whole(process, store, expected)
    assert sorted(path.name for path in marks.iterdir()) == sorted([f"{two} 0", f"{two} 1", f"{one} 0"])
