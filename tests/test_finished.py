"""A store that is complete is recognized before torch is imported, and only if it certainly is what was asked for."""

import json
import shutil
import subprocess
import sys

import pytest

from kotovec.cluster import provenance
from kotovec.cluster.finished import is_finished
from kotovec.cluster.plan import BATCH_TOKENS, Request
from kotovec.store.layout import Layout

from commands import call, environment, start

# The process that builds says what it has imported, before it says how it ended.
REPORT = """
import sys
from kotovec.cli.events import Lines
write = Lines.write
Lines.write = lambda self, *record: (print(*sys.modules, file=sys.stderr), write(self, *record))
"""


@pytest.fixture(scope="module")
def built(tiny_models, tmp_path_factory):
    """Return a model and its store, of the last layer."""
    from kotovec import build

    model, folder = tiny_models["bert"], tmp_path_factory.mktemp("finished") / "bert.kotovec"
    build(str(model), folder, workers=0).close()
    return model, folder


def test_a_finished_store_is_recognized_without_torch(built, capsys):
    model, store = built
    done = start("build", model, "--store", store, "--json", prepare=REPORT)
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert (summary["finished_before"], summary["tokens"], summary["encoded"]) == (True, 397, 0)
    assert set(done.stderr.split()).isdisjoint({"torch", "transformers", "ray"})
    assert "kotovec.cluster.finished" in done.stderr
    assert "nothing to do" in call(capsys, "build", model, "--store", store).out


@pytest.mark.parametrize(
    ("changes", "finished"),
    [
        ({}, True),
        ({"layers": "2"}, True),
        ({"shard_tokens": 500}, True),  # cut into the same batches
        ({"layers": "all"}, False),
        ({"shard_tokens": 100}, False),
        ({"dtype": "bfloat16"}, False),
        ({"store_dtype": "float16"}, False),
        ({"token_filter": ("word",)}, False),
        ({"mecab_dic": "ipadic"}, False),
        ({"model": "no/such-model"}, False),
    ],
    ids=str,
)
def test_other_settings_are_left_to_the_plan(built, changes, finished):
    model, store = built
    assert is_finished(Request(**({"model": str(model)} | changes)), store) == finished


@pytest.mark.parametrize("change", ["weights", "config", "tokenizer", "index", "space", "shards", "version"])
def test_a_changed_model_or_store_is_left_to_the_plan(built, tmp_path, monkeypatch, change):
    model, store = (shutil.copytree(folder, tmp_path / folder.name) for folder in built)
    if change == "weights":
        (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes() + b" ")
    elif change == "config":
        (model / "config.json").write_text((model / "config.json").read_text() + " ")
    elif change == "tokenizer":
        (model / "tokenizer.json").write_text((model / "tokenizer.json").read_text() + " ")
    elif change == "index":
        next((store / "indexes").glob("*.faiss")).unlink()
    elif change == "space":
        (store / "spaces" / "static.h5").unlink()
    elif change == "shards":
        (store / "shards").mkdir()
    else:
        monkeypatch.setattr("kotovec.cluster.finished.version", lambda _: "0.0")
    assert not is_finished(Request(model=str(model)), store)


@pytest.mark.parametrize("leftover", ["aside", "rebuild", "lock", "shards", "former"])
def test_what_another_build_left_or_holds_is_left_to_the_plan(built, tmp_path, leftover):
    """It deletes what a killed `--overwrite` left, and waits for nobody."""
    model, store = built[0], shutil.copytree(built[1], tmp_path / "x.kotovec")
    request = Request(model=str(model))
    assert is_finished(request, store)
    getattr(Layout(store), leftover).touch()
    assert not is_finished(request, store)


@pytest.mark.parametrize(
    ("device", "shard", "same"),
    [("cpu", 1024, True), ("cpu", 200, True), ("cpu", 100, False), ("cuda", 16384, True), ("cuda", 100, True)],
)
def test_shards_of_another_device_are_no_other_setting(device, shard, same):
    """A GPU cuts larger ones: a CPU can add layers to its store, and the other way round."""
    wanted = {"device": "cpu", "shard-tokens": 1024, "batch-tokens": 192}
    stored = {"device": device, "shard-tokens": shard, "batch-tokens": BATCH_TOKENS[device]}
    assert provenance._same_batches(wanted, stored) == same


SCRIPT = """
import json, sys, time
import kotovec
begin = time.monotonic()
seen = []
store = kotovec.build(sys.argv[1], sys.argv[2], report=seen.append)
print(json.dumps([len(store), time.monotonic() - begin, sorted({"torch", "transformers", "ray"} & set(sys.modules))]))
"""


def test_python_recognizes_it_too_without_torch_and_within_a_second(built):
    """It imported torch and planned the whole build, for some 8 s."""
    model, store = built
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, model, store], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    tokens, seconds, heavy = json.loads(done.stdout)
    assert (tokens, heavy) == (397, [])
    assert seconds < 5  # 0.5 s where nothing else runs
