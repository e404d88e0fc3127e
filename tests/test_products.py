"""The same bytes, or an error: machines and settings that compute other bits are never mixed in a space."""

import json
import os
import subprocess
import sys

import h5py
import pytest

from kotovec.cluster import inline
from kotovec.errors import ModelError, SettingsDifferError, WorkerError

from rays import Fake, Newer, datasets, plan_of, run_build

REAL = """
import hashlib, sys
from kotovec.cluster.plan import Request, make_plan
from kotovec.workers.encoder import Encoder

plan = make_plan(Request(model=sys.argv[1], device="cpu", layers="all"))
encoder = Encoder(plan.spec)
encoder.load()
shard = plan.shards[0]
encoded = encoder.encode(shard.number, plan.inputs(shard))
digest = hashlib.sha256()
for name in encoded.arrays:
    digest.update(encoded.arrays[name].tobytes())
print(encoded.products, digest.hexdigest(), encoded.cpu, sep="\\t")
"""


def compute(model, **variables):
    """Return the products, the digest of some vectors, and the CPU, as a worker with these variables gives them."""
    done = subprocess.run(
        [sys.executable, "-c", REAL, model], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip("\n").split("\t")


def test_products_differ_where_vectors_do(tiny_models):
    """The variables of the report; which of them change anything depends on the processor's maker."""
    products, vectors, cpu = compute(tiny_models["bert"])
    assert compute(tiny_models["bert"]) == [products, vectors, cpu]
    changed = 0
    for variable in (
        "MKL_CBWR=COMPATIBLE",
        "MKL_CBWR=AVX2",
        "MKL_ENABLE_INSTRUCTIONS=SSE4_2",
        "DNNL_MAX_CPU_ISA=SSE41",
        "ATEN_CPU_CAPABILITY=default",
    ):
        name, _, value = variable.partition("=")
        other, others, named = compute(tiny_models["bert"], **{name: value})
        assert (other == products) == (others == vectors), variable
        assert named.endswith(variable)
        changed += others != vectors
    assert changed


def worker(host, products, *, kind=Fake, until=None):
    """Return a class of workers on a machine; they fail at a shard."""

    class Worker(kind):
        def encode(self, number, inputs):
            if number == until:
                raise ModelError("the power went out")
            encoded = super().encode(number, inputs)
            vars(encoded).update(host=host, cpu=f"CPU of {host}", products=products)
            return encoded

    return Worker


def made_of(store):
    with h5py.File(next((store / "spaces").glob("isolated*.h5"))) as file:
        return json.loads(file.attrs["made"])


def test_a_build_is_not_resumed_by_a_machine_that_computes_other_bits(tiny_models, tmp_path, monkeypatch):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"
    monkeypatch.setattr(inline, "Encoder", worker("old", "1234", until=2))
    with pytest.raises(ModelError, match="power"):
        run_build(plan, store, workers=0)
    monkeypatch.setattr(inline, "Encoder", worker("new", "5678", kind=Newer))
    with pytest.raises(SettingsDifferError) as caught:
        run_build(plan, store, workers=0)
    assert str(caught.value).startswith(
        f"{store} was begun on old (CPU of old), and new (CPU of new) computes other bits"
    )
    assert len(list((store / "shards").glob("*.h5"))) == 2
    monkeypatch.setattr(inline, "Encoder", worker("newer", "1234"))
    run_build(plan, store, workers=0)
    monkeypatch.setattr(inline, "Encoder", Fake)
    run_build(plan, tmp_path / "y.kotovec", workers=0)
    assert datasets(store) == datasets(tmp_path / "y.kotovec")
    made = made_of(store)
    assert (made["products"], made["hosts"], made["cpus"]) == ("1234", 2, ["CPU of newer", "CPU of old"])


@pytest.mark.parametrize("products", ["1234", "5678"])
def test_machines_work_together_only_if_their_products_are_equal(products, tiny_models, tmp_path, monkeypatch):
    plan, store = plan_of(tiny_models["bert"]), tmp_path / "x.kotovec"

    class Mixed(Fake):
        def encode(self, number, inputs):
            one = number % 2
            other = worker("two", products) if one else worker("one", "1234")
            return other(self.spec).encode(number, inputs)

    monkeypatch.setattr(inline, "Encoder", Mixed)
    if products == "1234":
        run_build(plan, store, workers=0)
        assert made_of(store)["hosts"] == 2
        return
    with pytest.raises(WorkerError) as caught:
        run_build(plan, store, workers=0)
    assert str(caught.value).startswith("two (CPU of two) computes other bits than one (CPU of one)")
    assert len(list((store / "shards").glob("*.h5"))) == 1
