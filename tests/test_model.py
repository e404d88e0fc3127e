"""A model without its weights: each of its configs is read once, whoever needs it."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest

from kotovec.cluster.plan import Request, make_plan
from kotovec.errors import ModelError
from kotovec.workers.model import Model
from kotovec.workers.source import Source


@pytest.fixture
def folder(tmp_path, tiny_models) -> Path:
    return Path(shutil.copytree(tiny_models["japanese-v3"], tmp_path / "model"))


def test_a_plan_reads_each_config_once_and_transformers_loads_its_own_once(folder, monkeypatch):
    import transformers

    opened, loaded = [], []
    by_pathlib, load = io.open, transformers.AutoConfig.from_pretrained  # transformers opens files without pathlib
    monkeypatch.setattr(io, "open", lambda path, *a, **options: opened.append(path) or by_pathlib(path, *a, **options))
    monkeypatch.setattr(
        transformers.AutoConfig, "from_pretrained", lambda *a, **options: loaded.append(a) or load(*a, **options)
    )
    plan = make_plan(Request(model=str(folder), device="cpu"))
    assert opened.count(folder / "config.json") == 1
    # Once more for the hash of all of the tokenizer's files.
    assert opened.count(folder / "tokenizer_config.json") == 2
    assert len(loaded) == 1
    assert plan.model.pretrained_config is plan.model.pretrained_config


def test_its_hash_is_that_of_the_file_and_its_contents_are_what_is_in_it(folder):
    model = Model.read(Source("name", folder))
    content = (folder / "config.json").read_bytes()
    assert model.config_hash == hashlib.sha256(content).hexdigest()
    assert model.config == json.loads(content)
    assert model.tokenizer_config["word_tokenizer_type"] == "mecab"
    assert model.name == "name"


@pytest.mark.parametrize("content", ["{", "\ud800", "[" * 100_000])
def test_a_damaged_tokenizer_config_is_one_line(content, folder):
    (folder / "tokenizer_config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelError, match=r"tokenizer_config\.json is not JSON \(|nested too deeply") as caught:
        Model.read(Source("name", folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is nested too deeply"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ('{"vocab_size": 300, "a": {"b": 1, "b": 2}}', "has the key `b` twice"),
    ],
)
def test_a_damaged_config_is_one_line(content, reason, folder):
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=rf"config\.json {reason}") as caught:
        Model.read(Source("name", folder))
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.hint


@pytest.mark.parametrize("name", ["special_tokens_map.json", "added_tokens.json"])
def test_no_file_of_a_tokenizer_that_is_damaged_counts_as_missing(name, folder):
    (folder / name).write_text('{"a": 1, "a": 2}')
    with pytest.raises(ModelError, match=rf"{name} has the key `a` twice"):
        make_plan(Request(model=str(folder), device="cpu"))


def test_a_model_without_config_says_nothing(tmp_path):
    model = Model.read(Source("name", tmp_path))
    assert (model.config, model.config_hash) == ({}, hashlib.sha256().hexdigest())
    with pytest.raises(ModelError, match=r"^the config\.json of name does not load: "):
        _ = model.pretrained_config


def test_shapes_have_the_names_in_the_weight_files(tmp_path, tiny_models):
    from safetensors.torch import load_file, save_file

    shapes = {name: Model.read(Source(name, tiny_models[name])).shapes for name in ("bert", "bert-sharded")}
    assert shapes["bert"]["encoder.layer.1.intermediate.dense.weight"] == (64, 32)
    assert shapes["bert-sharded"] == shapes["bert"]
    tensors = load_file(tiny_models["bert"] / "model.safetensors")
    save_file({f"bert.{name}": tensor for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    headed = Model.read(Source("x", tmp_path)).shapes
    assert headed == {f"bert.{name}": shape for name, shape in shapes["bert"].items()}


def test_parameters_of_a_pickled_file_are_told_by_its_size(tiny_models):
    """To count them, the file would have to be unpickled."""
    folder = tiny_models["bert-bin"]
    assert Model.read(Source("x", folder)).parameters == (folder / "pytorch_model.bin").stat().st_size // 4
