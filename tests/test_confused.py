"""A store in place of a model, a model in place of a store, a part of a store: each is named, with the step to take."""

import re

import pytest

import kotovec
from kotovec.errors import ModelNotFoundError, StoreNotFoundError
from kotovec.store import Store

from commands import call, make_store

ASKED = {"query": ["king"], "norms": ["king"], "map": [], "info": [], "index": [], "verify": [], "shell": []}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("a b") / "words.kotovec")


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "a model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("part", "what"), [("", "a store"), ("/spaces", "a part of a store"), ("/spaces/static.h5", "a part of a store")]
)
@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--spaces", "static", "--workers", "0")])
def test_a_store_is_no_model(capsys, store, part, what, options):
    answer = call(capsys, "build", f"{store}{part}", *options)
    hint = f"see it with `kotovec info --store '{store}'`, or name the model that it was made of: none/of-these"
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"error: {store}{part} is {what}, not a model\nhint: {hint}\n"


def test_a_store_is_no_model_for_a_cluster_either(capsys, store, monkeypatch):
    monkeypatch.chdir(store.parent)
    for name in (store, store.name):
        answer = call(capsys, "submit", name, "--address", "http://127.0.0.1:1", "--store", "/data/x.kotovec")
        assert (answer.code, answer.err.split("\n")[0]) == (2, f"error: {name} is a store, not a model")


def test_a_store_is_no_model_in_python(store, tmp_path):
    with pytest.raises(ModelNotFoundError, match="is a store, not a model"):
        kotovec.build(str(store), tmp_path / "x.kotovec", workers=0)


@pytest.mark.parametrize("command", ASKED)
def test_a_model_is_no_store(capsys, model, command):
    answer = call(capsys, command, "--store", model, *ASKED[command])
    said = f"error: {model} is a model, not a store\nhint: build its store: `kotovec build '{model}'`\n"
    assert (answer.code, answer.out, answer.err) == (2, "", said)


def test_a_file_of_a_model_is_no_store(model):
    hint = re.escape(f"hint: build the store of that model: `kotovec build '{model}'`")
    with pytest.raises(StoreNotFoundError, match=rf"model.safetensors is a file, and a store is a folder\n{hint}$"):
        Store.open(model / "model.safetensors")


@pytest.mark.parametrize("command", ASKED)
@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("spaces", "is a part of a store"),
        ("tokenizer", "is a part of a store"),
        ("spaces/static.h5", "is a file, and a store is a folder"),
        ("tokens.h5", "is a file, and a store is a folder"),
    ],
)
def test_a_part_of_a_store_is_none(capsys, store, command, part, what):
    answer = call(capsys, command, "--store", store / part, *ASKED[command])
    said = f"error: {store / part} {what}\nhint: name the store that it is part of: {store}\n"
    assert (answer.code, answer.out, answer.err) == (2, "", said)


@pytest.mark.parametrize("words", [["king"], ["king", "-", "man"], []])
def test_a_store_among_the_words_is_one_for_the_option(capsys, store, words):
    answer = call(capsys, "query", "--store", store, *words, store)
    assert answer.code == 2
    assert answer.err.endswith(f"\nhint: name a store with --store: `--store '{store}'`\n")


def test_a_name_that_is_too_long_is_one_line(capsys, tmp_path):
    answer = call(capsys, "build", "a" * 300, "--store", tmp_path / "x.kotovec")
    said = f"error: {'a' * 300} is too long a name for a file or a folder\nhint: give a shorter one\n"
    assert (answer.code, answer.out, answer.err) == (2, "", said)
