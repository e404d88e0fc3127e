"""What only a CUDA device can show; skipped, saying so, where there is none."""

from dataclasses import replace

import numpy as np
import pytest

from kotovec.cluster.plan import Request, make_plan
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store import index as indexes
from kotovec.store.layout import Layout
from kotovec.store.library import gpus
from kotovec.workers.encoder import Encoder
from kotovec.workers.inputs import Inputs

from stores import numbered, write_store

pytestmark = pytest.mark.gpu


def test_a_replica_on_a_gpu_gives_the_vectors_of_a_cpu(minilm):
    plan = make_plan(Request(model=str(minilm), device="cpu"))
    ids = plan.tokens.ids[1000:1256]
    inputs = Inputs.isolated(ids, plan.spec.template)
    on_cpu = Encoder(plan.spec).encode(0, inputs).arrays
    on_gpu = Encoder(replace(plan.spec, device="cuda")).encode(0, inputs).arrays
    mine, theirs = on_gpu["isolated@6"], on_cpu["isolated@6"]
    error = np.linalg.norm(mine - theirs, axis=-1) / np.linalg.norm(theirs, axis=-1)
    assert error.max() < 1e-4


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_a_gpu_finds_exactly_what_the_cpu_finds(tmp_path, metric):
    if gpus() == 0:
        pytest.skip("faiss sees no GPU: its CPU wheel is installed")
    vectors = np.random.default_rng(0).standard_normal((5000, 64), dtype=np.float32)
    store = Store.open(write_store(tmp_path / "gpu.kotovec", numbered(5000), vectors))
    questions = [f"#{number} - #{number + 1} + #{number + 2}" for number in range(200)]
    on_cpu = store.search_many(questions, metric=metric, device="cpu")
    on_gpu = store.search_many(questions, metric=metric, device="cuda")
    assert [answer.hits for answer in on_gpu] == [answer.hits for answer in on_cpu]


def test_an_index_built_on_a_gpu_is_saved_in_its_cpu_form(tmp_path):
    if gpus() == 0:
        pytest.skip("faiss sees no GPU: its CPU wheel is installed")
    vectors = np.random.default_rng(0).standard_normal((5000, 64), dtype=np.float32)
    store = Store.open(write_store(tmp_path / "gpu.kotovec", numbered(5000), vectors))
    indexes.build(store.vectors, Layout(store.path).indexes, Space("static"), indexes.Metric.IP, device="cuda")
    loaded = indexes.load(store.vectors, Layout(store.path).indexes, Space("static"), indexes.Metric.IP)
    assert type(loaded[0]).__name__ == "IndexFlatIP"
    np.testing.assert_array_equal(loaded[0].reconstruct_n(0, 5000), vectors)
