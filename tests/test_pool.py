"""The pool: every shard exactly once, whatever dies; and an error of the code at once."""

import os
import signal
import time

import numpy as np
import psutil
import pytest

from kotovec.cluster import crew, pool
from kotovec.cluster.crew import Order
from kotovec.cluster.pool import Pool
from kotovec.errors import InputError, ModelError, WorkerError

from rays import Fake, Listener, arrays, plan_of, workers_named


@pytest.fixture(scope="module")
def plan(tiny_models):
    return plan_of(tiny_models["bert"], shard_tokens=24)


def order_of(plan, workers=2, gpus=0.0, **options):
    """Order workers that take a CPU each."""
    return Order(plan.spec, {"CPU": 1.0, "GPU": gpus}, workers, len(plan.shards), **options)


@pytest.fixture
def run(monkeypatch, one_ray, plan):
    """Return a function that runs the plan's shards on a class of workers."""
    pools = []

    def go(worker, workers=2, take=None, gpus=0.0, **options):
        monkeypatch.setattr(pool, "Encoder", worker)
        taken, listener = [], Listener()
        telling = options.pop("listener", listener)
        pools.append(Pool(order_of(plan, workers, gpus, **options), plan.checkpoint, telling))

        def keep(shard, encoded):
            taken.append((shard.number, encoded))
            if take is not None:
                take(shard, encoded)

        pools[-1].run(plan.shards, plan.inputs, keep)
        return taken, listener

    yield go
    for each in pools:
        each.close()


def assert_whole(taken, plan):
    """Every shard came once, with the vectors of its own ids."""
    assert sorted(number for number, _ in taken) == [shard.number for shard in plan.shards]
    for number, encoded in taken:
        ids = plan.tokens.ids[plan.shards[number].start : plan.shards[number].stop]
        wanted = arrays(ids, plan.spec)
        assert encoded.arrays.keys() == wanted.keys() == {"isolated@2"}
        for name, array in wanted.items():
            np.testing.assert_array_equal(encoded.arrays[name], array)


def dying(shard, marks, times):
    """Return workers that are killed in the middle of one shard, the first `times` times."""

    class Dying(Fake):
        def encode(self, number, inputs):
            if number == shard and len(list(marks.iterdir())) < times:
                (marks / f"{os.getpid()}").touch()
                time.sleep(0.2)
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode(number, inputs)

    return Dying


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_shard_is_handed_over_once_with_its_own_vectors(workers, run, plan):
    taken, listener = run(Fake, workers)
    assert len(plan.shards) > 3 * pool.IN_FLIGHT
    assert_whole(taken, plan)
    assert not listener.notices


@pytest.mark.parametrize(("workers", "times"), [(1, 2), (2, 1), (3, 2)])
def test_the_shards_of_a_killed_worker_are_encoded_by_another(workers, times, run, plan, tmp_path):
    taken, listener = run(dying(5, tmp_path, times), workers)
    assert_whole(taken, plan)
    assert len(listener.notices) == times
    for notice in listener.notices:
        assert "a worker was lost" in notice
        assert "\n" not in notice


def test_a_worker_that_is_killed_from_outside_is_replaced(run, plan):
    """As by the kernel when memory runs out: the signal comes at no moment of the worker's choosing."""

    class Slow(Fake):
        def encode(self, number, inputs):
            time.sleep(0.1)
            return super().encode(number, inputs)

    killed = []

    def kill(_shard, _encoded):
        if not killed:
            killed.extend(workers_named("Slow"))
            killed[0].kill()

    taken, listener = run(Slow, 2, kill)
    assert killed
    assert_whole(taken, plan)
    assert len(listener.notices) == 1


def test_a_shard_that_kills_three_workers_ends_the_build_by_its_number(run, tmp_path):
    with pytest.raises(WorkerError, match=r"shard 5 lost 3 workers") as caught:
        run(dying(5, tmp_path, 99))
    assert "\n" not in str(caught.value)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_result_that_came_before_the_death_of_its_worker_is_kept(run, plan, tmp_path):
    """Both wait for the driver, which is slow to write: the shard that is done gets no blame and no second try."""
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "marks").mkdir()
    deadly = dying(4, tmp_path / "marks", 2)

    class Counting(deadly):
        def encode(self, number, inputs):
            (seen / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
            return super().encode(number, inputs)

    taken, _ = run(Counting, 1, lambda shard, _: time.sleep(0.3 if shard.number < 6 else 0.0))
    assert_whole(taken, plan)
    times = [sum(path.name.startswith(f"{number}-") for path in seen.iterdir()) for number in range(4)]
    assert times == [1, 1, 1, 1]


def test_workers_that_die_as_they_start_end_the_build(run, tmp_path):
    class Stillborn(Fake):
        def __init__(self, spec):
            (tmp_path / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerError, match="3 workers died as they started"):
        run(Stillborn, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_deaths_at_the_start_are_forgotten_once_a_worker_runs(run, plan, tmp_path):
    """Each worker dies as it starts, the next runs and dies over a shard of its own: three of each, in turn."""
    for name in ("born", "deaths"):
        (tmp_path / name).mkdir()

    class Frail(Fake):
        def __init__(self, spec):
            super().__init__(spec)
            (tmp_path / "born" / str(os.getpid())).touch()
            if len(list((tmp_path / "born").iterdir())) in (1, 3, 5):
                os.kill(os.getpid(), signal.SIGKILL)

        def encode(self, number, inputs):
            mark = tmp_path / "deaths" / str(number)
            if number in (1, 3, 5) and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode(number, inputs)

    taken, listener = run(Frail, 1)
    assert_whole(taken, plan)
    assert len(listener.notices) == 6


def report_dead(monkeypatch, after):
    """Make Ray report the one node of the tests dead, beside one that lives, from its `after`-th answer on."""
    import ray

    true, asked = ray.nodes, []

    def nodes():
        (node,) = true()
        asked.append(node)
        return [node | {"Alive": len(asked) < after}, node | {"NodeID": "another"}]

    monkeypatch.setattr(ray, "nodes", nodes)


def test_deaths_of_workers_with_their_node_are_no_tries_of_their_shard(run, plan, tmp_path, monkeypatch):
    report_dead(monkeypatch, after=4)
    taken, listener = run(dying(5, tmp_path, 5), 1)
    assert_whole(taken, plan)
    assert len(listener.notices) == 5


def test_the_death_of_a_node_is_waited_for_before_a_build_is_given_up(run, plan, tmp_path, monkeypatch):
    """Ray tells of it some 12 s late; the answers before the 25th are that it lives."""
    monkeypatch.setattr(crew, "NODE_SECONDS", 1.0)
    report_dead(monkeypatch, after=25)

    class Stillborn(Fake):
        def __init__(self, spec):
            super().__init__(spec)
            (tmp_path / str(os.getpid())).touch()
            if len(list(tmp_path.iterdir())) <= 4:
                os.kill(os.getpid(), signal.SIGKILL)

    taken, listener = run(Stillborn, 1)
    assert_whole(taken, plan)
    assert len(listener.notices) == 4


def test_three_deaths_on_a_node_that_lives_end_the_build_however_many_nodes_there_are(run, tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "NODE_SECONDS", 0.5)
    report_dead(monkeypatch, after=10**6)
    with pytest.raises(WorkerError, match=r"shard 5 lost 3 workers"):
        run(dying(5, tmp_path, 99))
    assert len(list(tmp_path.iterdir())) == 3


def test_an_error_in_a_workers_start_ends_the_build_at_once(run, plan):
    class Unimportable(Fake):
        def __init__(self, spec):
            import nowhere_installed  # noqa: F401

    with pytest.raises(WorkerError) as caught:
        run(Unimportable)
    said = "a worker does not start: ModuleNotFoundError: No module named 'nowhere_installed'"
    assert str(caught.value) == said


def raising(error):
    class Raising(Fake):
        def encode(self, number, inputs):
            if number == 3:
                raise error
            return super().encode(number, inputs)

    return Raising


def test_an_error_of_a_workers_code_ends_the_build_in_one_line(run):
    with pytest.raises(WorkerError) as caught:
        run(raising(IndexError("first line\nindex 7 is out of range")))
    assert str(caught.value) == "a worker failed: IndexError: index 7 is out of range"


def test_an_error_that_a_worker_raises_on_purpose_comes_as_it_is(run):
    with pytest.raises(ModelError) as caught:
        run(raising(ModelError("the weights of x do not load", hint="choose another")))
    assert type(caught.value) is ModelError
    assert str(caught.value) == "the weights of x do not load"
    assert caught.value.hint == "choose another"
    assert caught.value.__notes__ == ["hint: choose another"]
    assert caught.value.exit_code == 2


def test_more_workers_than_the_cluster_has_room_for_do_no_harm(run, plan, monkeypatch):
    """Three CPUs, five workers: those that never start hold no shard, and a line says so."""
    monkeypatch.setattr(crew, "PLACE_SECONDS", 0.0)
    taken, listener = run(Fake, 5)
    assert_whole(taken, plan)
    assert len(listener.notices) == 1
    assert "workers wait for room: each takes 1 CPU" in listener.notices[0]


LACK = (
    r"^no node has room for a worker, which takes 1 CPU and 1e\+06 GPU: the largest has 3 CPU and \d+ GPU\nhint: lower"
)


def test_a_worker_that_fits_on_no_node_is_refused_at_once(run, monkeypatch):
    began = time.monotonic()
    with pytest.raises(InputError, match=LACK) as caught:
        run(Fake, gpus=10**6)
    assert "\n" not in str(caught.value)
    assert time.monotonic() < began + 5


def test_a_cluster_that_may_grow_is_given_time_to(run, monkeypatch):
    monkeypatch.setattr(crew, "PLACE_SECONDS", 0.0)
    monkeypatch.setattr(crew, "GROW_SECONDS", 3.0)
    listener, began = Listener(), time.monotonic()
    with pytest.raises(InputError, match=LACK):
        run(Fake, gpus=10**6, may_grow=True, listener=listener)
    assert time.monotonic() > began + 3
    assert len(listener.notices) == 2
    assert listener.notices[0].endswith("waiting 0.05 minutes for the cluster to grow")
    assert listener.notices[1].startswith("2 of 2 workers wait for room")


def test_a_cluster_whose_large_nodes_went_away_is_not_waited_for_without_end(run, monkeypatch, tmp_path):
    """What fitted at the start fits no more, and none of the workers runs."""
    import ray

    monkeypatch.setattr(crew, "PLACE_SECONDS", 0.5)
    (node,) = ray.nodes()
    large = node | {"NodeID": "large", "Resources": {"CPU": 64.0, "GPU": 10.0**6}}
    end = time.monotonic() + 2
    monkeypatch.setattr(ray, "nodes", lambda: [node, large | {"Alive": time.monotonic() < end}])
    with pytest.raises(InputError, match=LACK):
        run(Fake, gpus=10**6)
    assert time.monotonic() > end


def test_closing_a_pool_ends_its_workers(monkeypatch, one_ray, plan):
    class Named(Fake):
        pass

    monkeypatch.setattr(pool, "Encoder", Named)
    one = Pool(order_of(plan), plan.checkpoint, Listener())

    def interrupt(_shard, _encoded):
        assert workers_named("Named")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.run(plan.shards, plan.inputs, interrupt)
    one.close()
    _, alive = psutil.wait_procs(workers_named("Named"), timeout=10)
    assert not alive
