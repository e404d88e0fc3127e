"""What only a CUDA device can show; skipped, saying so, where there is none."""

import subprocess
import sys
from dataclasses import replace

import faiss  # noqa: F401 — before torch: they share OpenMP
import numpy as np
import pytest
import torch
import transformers

from kotovec.cluster.plan import Request, make_plan
from kotovec.space import Space
from kotovec.store import Store
from kotovec.store import index as indexes
from kotovec.store.layout import Layout
from kotovec.store.library import gpus
from kotovec.workers import bert, devices
from kotovec.workers.devices import fused_attention
from kotovec.workers.encoder import Encoder
from kotovec.workers.inputs import Inputs

from rays import COMMAND
from stores import numbered, write_store

pytestmark = pytest.mark.gpu
# Positions of a sequence, sequences, heads, width of a head, positions that are wanted.
SHAPES = [(3, 70, 12, 64, 3), (3, 33, 4, 32, 1), (5, 32, 3, 48, 5), (2, 1, 2, 8, 2), (1, 5, 2, 8, 1)]


def apart(mine, theirs):
    """Return the relative error of each vector."""
    return np.linalg.norm(mine - theirs, axis=-1) / np.linalg.norm(theirs, axis=-1)


def encode(spec, inputs):
    (states,) = Encoder(spec).encode(0, inputs).arrays.values()
    return states


@pytest.fixture(scope="module")
def plan(minilm):
    return make_plan(Request(model=str(minilm), device="cpu"))


@pytest.fixture(scope="module")
def sentences(plan):
    random = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(random.integers(3, 128, 50))])
    return Inputs(random.choice(plan.tokens.ids, offsets[-1]), offsets, np.arange(0, offsets[-1], 3))


def test_a_replica_on_a_gpu_gives_the_vectors_of_a_cpu(plan):
    inputs = Inputs.isolated(plan.tokens.ids[1000:1256], plan.spec.template)
    assert apart(encode(replace(plan.spec, device="cuda"), inputs), encode(plan.spec, inputs)).max() < 1e-4


def test_a_replica_on_a_gpu_gives_the_sentences_of_a_cpu(plan, sentences):
    assert apart(encode(replace(plan.spec, device="cuda"), sentences), encode(plan.spec, sentences)).max() < 1e-4


@pytest.mark.parametrize("kind", ["isolated", "sentences"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_errs_no_more_than_that_of_transformers(plan, sentences, minilm, dtype, kind):
    isolated = Inputs.isolated(plan.tokens.ids[1000:1256], plan.spec.template)
    inputs = isolated if kind == "isolated" else sentences
    right = encode(plan.spec, inputs)
    mine = encode(replace(plan.spec, device="cuda", dtype=dtype), inputs)
    model = transformers.AutoModel.from_pretrained(minilm, dtype=getattr(torch, dtype)).cuda().eval()
    theirs = np.empty_like(right)
    with torch.inference_mode():
        for batch in inputs.batches(plan.spec.positions):
            states = model(torch.from_numpy(batch.ids).cuda()).last_hidden_state
            theirs[batch.index] = states[batch.rows, batch.positions].float().cpu().numpy()
    assert apart(mine, right).mean() <= 1.05 * apart(theirs, right).mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("length", "count", "heads", "width", "asked"), SHAPES)
def test_the_fused_attention_is_that_of_float64(length, count, heads, width, asked, dtype):
    """Queries and values are parts of one product, so that their rows are not contiguous."""
    attend = fused_attention()
    if attend is None:
        pytest.skip("there is no Triton, or it has no C compiler")
    generator = torch.Generator("cuda").manual_seed(0)
    options = {"generator": generator, "device": "cuda", "dtype": dtype}
    query, value = torch.randn(length, count, 2 * heads * width, **options).chunk(2, -1)
    keys = 2 * torch.randn(length - 1, count, heads * width, **options)
    found = attend(query[:asked], keys, value, heads)
    every = torch.cat([torch.zeros_like(value[:1]), keys])
    parts = (of.double().view(-1, count, heads, width).permute(1, 2, 0, 3) for of in (query[:asked], every, value))
    right = torch.nn.functional.scaled_dot_product_attention(*parts).permute(2, 0, 1, 3).reshape(found.shape)
    assert (found - right).norm() / right.norm() < {torch.float32: 1e-6, torch.bfloat16: 4e-3, torch.float16: 5e-4}[
        dtype
    ]


def test_without_triton_the_vectors_are_the_same_and_the_store_says_so(plan, monkeypatch):
    inputs = Inputs.isolated(plan.tokens.ids[1000:1256], plan.spec.template)
    spec = replace(plan.spec, device="cuda")
    fused = Encoder(spec).encode(0, inputs)
    for module in (bert, devices):
        monkeypatch.setattr(module, "fused_attention", lambda: None)
    plain = Encoder(spec).encode(0, inputs)
    assert apart(plain.arrays["isolated@6"], fused.arrays["isolated@6"]).max() < 1e-5
    assert plain.cpu == f"{torch.cuda.get_device_name()}, no Triton"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_build_on_a_gpu_is_that_of_a_cpu(plan, tmp_path, workers):
    if workers == "1":
        pytest.importorskip("ray", reason="a build with workers needs Ray")
    command = ["-c", COMMAND, "build", "demo", "--store", tmp_path / "gpu.kotovec", "--workers", workers]
    subprocess.run([sys.executable, *command, "--device", "cuda"], check=True, timeout=300)
    store = Store.open(tmp_path / "gpu.kotovec")
    mine = store.vectors.array(Space("isolated", 6))[:]
    ids = plan.tokens.ids[1000:1256]
    rows = np.searchsorted(store.tokens.ids, ids)
    assert apart(mine[rows], encode(plan.spec, Inputs.isolated(ids, plan.spec.template))).max() < 1e-4
    assert store.vectors.settings(Space("isolated", 6))["device"] == "cuda"


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
