"""Workers that do not start, hang, or lack the model: reported, replaced, and no byte differs."""

import os
import signal
import time

import psutil
import pytest

from kotovec.cluster import crew, pool
from kotovec.cluster.build import Resources, build
from kotovec.cluster.crew import Order
from kotovec.cluster.pool import Pool
from kotovec.errors import InputError, ModelError, WorkerError
from kotovec.workers.encoder import Encoder

from rays import Fake, Listener, expected, plan_of, run_build, wait_for


@pytest.fixture(scope="module")
def plan(tiny_models):
    return plan_of(tiny_models["bert"], shard_tokens=24)


@pytest.fixture
def run(monkeypatch, one_ray, plan):
    """Return a function that runs the plan's shards on a class of workers; it returns what was told."""
    pools = []

    def go(worker, workers, **options):
        monkeypatch.setattr(pool, "Encoder", worker)
        listener, taken = options.pop("listener", Listener()), {}
        takes = {"CPU": 1.0, "GPU": options.pop("gpus", 0.0)}
        order = Order(plan.spec, takes, workers, len(plan.shards), **options)
        pools.append(Pool(order, plan.checkpoint, listener))
        pools[-1].run(plan.shards, plan.inputs, lambda shard, encoded: taken.update({shard.number: encoded}))
        for shard in plan.shards:
            (states,) = expected(plan.tokens.ids[shard.start : shard.stop], plan.spec)
            assert taken[shard.number].arrays["isolated@2"].tobytes() == states.tobytes()
        assert len(taken) == len(plan.shards)
        return listener.notices

    yield go
    for each in pools:
        each.close()


def hanging(marks, spot, times=1):
    """Return workers whose whole process stops, as where a disk or a GPU hangs: so often, and marked by its id."""

    class Hanging(Fake):
        def load(self, *_):
            self._pass("load")

        def encode(self, number, inputs):
            self._pass(f"encode {number}")
            return super().encode(number, inputs)

        def _pass(self, here):
            if here == spot and len(list(marks.iterdir())) < times:
                (marks / str(os.getpid())).touch()
                os.kill(os.getpid(), signal.SIGSTOP)

    return Hanging


@pytest.mark.parametrize(
    ("workers", "spot", "told"),
    [
        (1, "encode 3", "a worker was lost"),
        (3, "encode 3", "a worker was lost"),
        (1, "load", "a worker died as it started"),
    ],
)
def test_a_worker_that_hangs_is_replaced_and_its_process_ended(workers, spot, told, run, tmp_path):
    """Three workers take all CPUs there are: the new one runs only if the hung one has given its CPU back."""
    notices = run(hanging(tmp_path, spot), workers, stall_seconds=3)
    (pid,) = [int(path.name) for path in tmp_path.iterdir()]
    assert [notice for notice in notices if "it gave nothing for 3 s" in notice] == notices
    assert notices[0].startswith(told)
    assert len(notices) == 1
    wait_for(lambda: not psutil.pid_exists(pid), 20)


def test_a_shard_over_which_three_workers_hang_ends_the_build_by_its_number(run, tmp_path):
    with pytest.raises(WorkerError, match=r"^shard 3 lost 3 workers, the last one so: it gave nothing for 2 s$"):
        run(hanging(tmp_path, "encode 3", times=99), 2, stall_seconds=2)
    assert len(list(tmp_path.iterdir())) in (3, 4)  # on a busy machine one may be lost over the shard before


def test_a_worker_that_takes_long_but_less_than_the_limit_is_left_alone(run, tmp_path):
    """The limit holds for a shard, not for the build; and a driver that is slow to write blames nobody."""

    class Slow(Fake):
        def encode(self, number, inputs):
            time.sleep(0.4)
            return super().encode(number, inputs)

    class SlowDriver(Listener):
        def __call__(self, event):
            super().__call__(event)
            time.sleep(0.2)

    assert run(Slow, 1, stall_seconds=3, listener=SlowDriver()) == []


def test_the_build_goes_on_with_the_workers_that_start(run, tmp_path):
    """The first to load takes the one good place; the others are killed, as by the kernel for want of memory."""

    class OnlyOne(Fake):
        def load(self, *_):
            try:
                (tmp_path / "good").mkdir()
            except FileExistsError:
                os.kill(os.getpid(), signal.SIGKILL)

        def encode(self, number, inputs):
            time.sleep(0.5)  # the others have the time to die three times
            return super().encode(number, inputs)

    notices = run(OnlyOne, 2)
    assert len(notices) == 3
    assert all(notice.startswith("a worker died as it started (") for notice in notices[:2])
    assert notices[2].startswith("3 workers died as they started, the last one so: ")
    assert notices[2].endswith("; the build continues with 1 worker")


def test_an_error_of_loading_comes_as_it_is_where_there_is_no_other_node(run):
    class Unloadable(Fake):
        def load(self, *_):
            raise ModelError("the weights of x do not load: cut short")

    with pytest.raises(ModelError, match=r"^the weights of x do not load: cut short$"):
        run(Unloadable, 2)


def test_a_worker_that_fails_once_beside_one_that_runs_does_not_condemn_their_node(run, tmp_path):
    """Memory was short for a moment; later the other one is killed: there is still a place for its successor."""
    (tmp_path / "loads").mkdir()

    class Unlucky(Fake):
        def load(self, *_):
            (tmp_path / "loads" / str(os.getpid())).touch()
            if len(list((tmp_path / "loads").iterdir())) == 2:
                raise OSError("cannot allocate memory")
            time.sleep(1)  # the unlucky one fails before the other runs

        def encode(self, number, inputs):
            time.sleep(0.5)
            if number == 5 and not (tmp_path / "killed").exists():
                (tmp_path / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode(number, inputs)

    notices = run(Unlucky, 2)
    assert "a worker failed as it started: a worker does not start: OSError: cannot allocate memory" in notices
    assert "the cluster has room for 1 more worker" in notices
    assert sum(notice.startswith("a worker was lost") for notice in notices) == 1
    assert len(notices) == 3


def test_a_limit_for_stalls_below_the_patience_for_room_does_not_make_a_build_wait_for_ever(run, monkeypatch):
    """A worker that waits for room is no stalled one, however often it is asked for anew."""
    monkeypatch.setattr(crew, "PLACE_SECONDS", 1.0)
    monkeypatch.setattr(crew, "GROW_SECONDS", 6.0)
    listener = Listener()
    with pytest.raises(InputError, match="no node has room for a worker"):
        run(Fake, 1, gpus=10**6, stall_seconds=2, may_grow=True, listener=listener)
    assert sum("workers wait for room" in notice for notice in listener.notices) == 1


def test_a_library_that_is_missing_where_the_workers_run_is_named(run):
    class Torchless(Fake):
        def load(self, *_):
            raise OSError("libcudart.so.12: cannot open shared object file")

    with pytest.raises(WorkerError) as caught:
        run(Torchless, 2)
    assert str(caught.value) == ("a worker does not start: OSError: libcudart.so.12: cannot open shared object file")


def cluster_of(monkeypatch, *nodes):
    """Let Ray report nodes with these resources."""
    import ray

    reported = [
        {"NodeID": f"n{number}", "Alive": True, "NodeManagerAddress": "a", "NodeManagerHostname": "h", "Resources": has}
        for number, has in enumerate(nodes)
    ]
    monkeypatch.setattr(ray, "nodes", lambda: reported)


@pytest.mark.parametrize(
    ("takes", "room"),
    [
        ({"CPU": 1.0, "GPU": 0.0}, 12),
        ({"CPU": 3.0, "GPU": 0.0}, 3),
        ({"CPU": 1.0, "GPU": 1.0}, 2),
        ({"CPU": 1.0, "GPU": 0.5}, 4),
        ({"CPU": 1.0, "GPU": 2.0}, 1),
        ({"CPU": 1.0, "GPU": 0.0, "memory": 2e9}, 3),
    ],
)
def test_a_cluster_gets_as_many_workers_as_its_nodes_hold(takes, room, run, plan, monkeypatch):
    """Node by node: two halves of a GPU on two nodes are no GPU."""
    cluster_of(
        monkeypatch, {"CPU": 4.0, "memory": 5e9}, {"CPU": 8.0, "GPU": 2.0, "memory": 3e9}, {"GPU": 1.0, "memory": 9e9}
    )
    made = []
    monkeypatch.setattr(crew.Crew, "_make", lambda *_: made.append(None) or crew.Worker(None, frozenset(), []))
    crew.Crew(Fake, Order(plan.spec, takes, None, 100), None, Listener())
    assert len(made) == room
    made.clear()
    crew.Crew(Fake, Order(plan.spec, takes, None, 2), None, Listener())
    assert len(made) == min(room, 2)


def test_on_a_cluster_with_a_shard_to_do_no_more_workers_are_made_than_shards(employ, tiny_models, tmp_path, one_ray):
    """The session that runs stands for the cluster: it has three CPUs."""
    plan = plan_of(tiny_models["bert"], shard_tokens=4096)
    assert len(plan.shards) == 1
    listener = Listener()
    summary = build(plan, tmp_path / "x.kotovec", Resources(address="auto"), report=listener)
    assert summary.encoded == len(plan.tokens)
    assert listener.notices == []


@pytest.mark.parametrize("threads", [1, 2])
def test_a_worker_takes_as_many_threads_as_cpus_whatever_the_environment_says(threads, employ, tiny_models, tmp_path):
    """Ray sets OMP_NUM_THREADS in its workers as it likes: here it is 7 when torch is imported."""

    class Threads(Encoder):
        def __init__(self, spec):
            os.environ["OMP_NUM_THREADS"] = "7"
            super().__init__(spec)

        def encode(self, number, inputs):
            import ray
            import torch

            cpus = ray.get_runtime_context().get_assigned_resources()["CPU"]
            (tmp_path / f"{number}").write_text(f"{torch.get_num_threads()} of {cpus:g}")
            return super().encode(number, inputs)

    employ(Threads)
    plan = plan_of(tiny_models["bert"], cpus_per_worker=threads)
    run_build(plan, tmp_path / "x.kotovec", 1)
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {f"{threads} of {threads}"}
