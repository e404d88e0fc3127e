"""The way in for Python: builds in this process give the bytes that Ray's workers give; nothing heavy comes early."""

import json
import subprocess
import sys

import numpy as np
import pytest

import kotovec
from kotovec.cluster import default_store
from kotovec.cluster.build import Resources
from kotovec.errors import InputError
from kotovec.store.tokens import KINDS
from kotovec.workers.encoder import Encoder

from commands import environment
from rays import datasets, plan_of, run_build

SCRIPT = """
import json, sys
import kotovec
light = sorted({"numpy", "h5py", "torch", "ray"} & set(sys.modules))
store = kotovec.build(sys.argv[1], sys.argv[2], workers=0, layers=[0, -1], device="cpu")
import torch
print(json.dumps([light, "ray" in sys.modules, str(store.space("isolated"))]))
"""


def test_without_workers_the_bytes_are_those_of_workers_and_ray_is_not_imported(employ, tiny_models, tmp_path):
    command = [sys.executable, "-c", SCRIPT, tiny_models["bert"], tmp_path / "alone.kotovec"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], False, "isolated@2"]
    employ(Encoder)
    run_build(plan_of(tiny_models["bert"], layers="0,-1", shard_tokens=1024), tmp_path / "ray.kotovec")
    assert datasets(tmp_path / "alone.kotovec") == datasets(tmp_path / "ray.kotovec")


def test_torch_has_its_threads_back(tiny_models, tmp_path):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        store = kotovec.build(str(tiny_models["bert"]), tmp_path / "x.kotovec", workers=0, device="cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(store.search("king").hits) == 10


def test_a_build_finishes_and_extends_what_is_there(tiny_models, tmp_path):
    path, model = tmp_path / "x.kotovec", str(tiny_models["bert"])
    first = kotovec.build(model, path, workers=0, device="cpu")
    assert list(map(str, first.spaces)) == ["static", "isolated@2"]
    written = (path / "spaces" / "isolated-2.h5").stat().st_ino
    more = kotovec.build(model, path, workers=0, layers="all", device="cpu")
    assert list(map(str, more.spaces)) == ["static", "isolated@0", "isolated@1", "isolated@2"]
    assert (path / "spaces" / "isolated-2.h5").stat().st_ino == written


def test_a_store_is_opened_by_its_path(tiny_models, tmp_path):
    kotovec.build(str(tiny_models["bert"]), tmp_path / "x.kotovec", workers=0, device="cpu")
    assert kotovec.open(tmp_path / "x.kotovec").tokens.texts[0] == "[PAD]"
    assert isinstance(kotovec.open(tmp_path / "x.kotovec"), kotovec.Store)


def test_public_names_are_there_and_no_other():
    assert {name for name in kotovec.__all__ if not hasattr(kotovec, name)} == set()
    with pytest.raises(AttributeError, match="has no attribute 'biuld'"):
        kotovec.biuld  # noqa: B018


def test_a_store_is_named_after_the_last_part_of_the_model(tmp_path, monkeypatch):
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    names = {model: str(default_store(model)) for model in ("demo", "a/b-c", "a/b/", ".", "..", "../..")}
    assert names == {
        "demo": "demo.kotovec",
        "a/b-c": "b-c.kotovec",
        "a/b/": "b.kotovec",
        ".": "below.kotovec",
        "..": "here.kotovec",
        "../..": f"{tmp_path.name}.kotovec",
    }
    with pytest.raises(InputError, match=r"^`/` gives a store no name\nhint: name the folder of the store$"):
        kotovec.build("/", workers=0)


def test_no_workers_and_a_cluster_contradict_each_other():
    with pytest.raises(InputError, match="leave out --address"):
        Resources(workers=0, address="auto")
    with pytest.raises(InputError, match=r"^--gpus-per-worker is of workers, and --workers 0 starts none\nhint: leave"):
        Resources(workers=0, gpus_per_worker=0.5)
    with pytest.raises(InputError, match="--workers is -1"):
        Resources(workers=-1)


def test_the_kinds_of_tokens_may_be_one_text(tiny_models, tmp_path):
    """A text was read letter by letter: unknown --token-filter `s`."""
    options = {"workers": 0, "device": "cpu"}
    for given in ("special, word", ["special", "word"]):
        store = kotovec.build(
            str(tiny_models["bert"]), tmp_path / f"{type(given)}.kotovec", token_filter=given, **options
        )
        assert set(store.tokens.kinds) == {KINDS.index("special"), KINDS.index("word")}


@pytest.mark.parametrize("wrong", [None, 3, b"king", ["king"]])
def test_an_expression_that_is_no_text_is_refused_in_one_line(tiny_models, tmp_path, wrong):
    with kotovec.build(str(tiny_models["bert"]), tmp_path / "x.kotovec", workers=0, spaces="static") as store:
        for ask in (store.vector, store.question, store.search):
            with pytest.raises(InputError, match=r" expression.*, not an? |an expression is a str, not None|not None"):
                ask(wrong)
        keep = [True, *[False] * (len(store) - 2), True]
        found, expected = (store.nearest(rows=[1], keep=each, k=2)[0].rows for each in (keep, np.array(keep)))
        assert found.tolist() == expected.tolist()
        assert set(found.tolist()) == {0, len(store) - 1}


@pytest.mark.parametrize(
    ("options", "named"),
    [({"layers": "3"}, "--layers"), ({"dtype": "bfloat16"}, "--dtype"), ({"store_dtype": "float16"}, "--store-dtype")],
)
def test_what_is_of_hidden_states_is_refused_without_them(tiny_models, tmp_path, options, named):
    with pytest.raises(InputError, match=f"^{named} is of hidden states, and none are asked for\nhint: leave it out$"):
        kotovec.build(str(tiny_models["bert"]), tmp_path / "x.kotovec", workers=0, spaces="static", **options)
    assert not (tmp_path / "x.kotovec").exists()
