"""The contract of `Executor`, which Ray actors and this process both keep."""

import numpy as np
import pytest

from kotovec.cluster import inline, pool
from kotovec.cluster.crew import Order
from kotovec.cluster.executor import Executor
from kotovec.errors import ModelError
from kotovec.workers.encoder import Encoder

from rays import Fake, Listener, arrays, plan_of


@pytest.fixture(scope="module")
def plan(tiny_models):
    return plan_of(tiny_models["bert"], shard_tokens=64)


@pytest.fixture(params=["inline", "pool"])
def make(request, monkeypatch, one_ray, plan):
    """Return a function that makes an executor of replicas of a class."""
    made = []

    def new(encoder=Fake) -> Executor:
        monkeypatch.setattr(inline, "Encoder", encoder)
        monkeypatch.setattr(pool, "Encoder", encoder)
        if request.param == "inline":
            made.append(inline.Inline(plan.spec))
        else:
            order = Order(plan.spec, {"CPU": 1.0, "GPU": 0.0}, 2, len(plan.shards))
            made.append(pool.Pool(order, plan.checkpoint, Listener()))
        return made[-1]

    yield new
    for each in made:
        each.close()


def assert_encoded(taken, shards, plan):
    """Each shard came once, with the vectors of its own ids."""
    assert sorted(shard.number for shard, _ in taken) == [shard.number for shard in shards]
    for shard, encoded in taken:
        assert encoded.number == shard.number
        for name, array in arrays(plan.tokens.ids[shard.start : shard.stop], plan.spec).items():
            np.testing.assert_array_equal(encoded.arrays[name], array)


def test_every_shard_is_asked_for_and_handed_over_once(make, plan):
    executor, asked, taken = make(), [], []

    def ask(shard):
        asked.append(shard.number)
        return plan.inputs(shard)

    executor.open()
    assert asked == []
    executor.run(plan.shards, ask, lambda *each: taken.append(each))
    assert sorted(asked) == [shard.number for shard in plan.shards]
    assert len(plan.shards) > 2
    assert_encoded(taken, plan.shards, plan)


def test_it_runs_again_and_without_any_shards(make, plan):
    executor, taken = make(), []
    executor.open()
    for shards in (plan.shards[:2], [], plan.shards[2:]):
        executor.run(shards, plan.inputs, lambda *each: taken.append(each))
    assert_encoded(taken, plan.shards, plan)


def test_an_error_that_a_replica_raises_on_purpose_is_passed_on_unchanged(make, plan):
    class Failing(Fake):
        def encode(self, number, inputs):
            if number == plan.shards[-1].number:
                raise ModelError("the weights of x do not load")
            return super().encode(number, inputs)

    executor, taken = make(Failing), []
    executor.open()
    with pytest.raises(ModelError, match="^the weights of x do not load$"):
        executor.run(plan.shards, plan.inputs, lambda shard, _: taken.append(shard.number))
    assert plan.shards[-1].number not in taken
    assert len(taken) == len(set(taken))


def test_a_model_that_does_not_load_is_an_error_of_opening(make):
    class Unloadable(Fake):
        def load(self, *_):
            raise ModelError("the weights of x do not load")

    with pytest.raises(ModelError, match="^the weights of x do not load$"):
        make(Unloadable).open()


def test_an_error_of_the_caller_ends_the_run(make, plan):
    executor, taken = make(), []

    def refuse(shard, _):
        taken.append(shard.number)
        raise OSError("the disk is full")

    executor.open()
    with pytest.raises(OSError, match="^the disk is full$"):
        executor.run(plan.shards, plan.inputs, refuse)
    assert len(taken) == 1


def test_it_can_be_closed_without_having_been_opened_and_twice(make):
    executor = make()
    executor.close()
    executor.close()


def test_both_give_the_same_bytes(make, plan):
    """Of a real model, against a replica that the test itself calls."""
    executor, taken, replica = make(Encoder), {}, Encoder(plan.spec)
    executor.open()
    executor.run(plan.shards[:2], plan.inputs, lambda shard, encoded: taken.update({shard.number: encoded.arrays}))
    for shard in plan.shards[:2]:
        own = replica.encode(shard.number, plan.inputs(shard)).arrays
        assert {name: array.tobytes() for name, array in taken[shard.number].items()} == {
            name: array.tobytes() for name, array in own.items()
        }
