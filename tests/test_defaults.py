"""Defaults on a store that lacks what they name: few rows, no static vectors."""

import io
import json

import pytest

import kotovec
from kotovec.errors import InputError
from kotovec.space import Space, usual
from kotovec.store import Store
from kotovec.store.cartography import MapRequest, find_map, make_map
from kotovec.store.measure import build_index

from commands import call


@pytest.mark.parametrize(
    ("stored", "wanted"),
    [
        (["isolated@0", "isolated@2", "static"], "static"),
        (["output", "isolated@2"], "isolated"),
        (["output"], "output"),
        (["context@0-6+center", "output"], "context@0-6+center"),
        ([], "static"),
    ],
)
def test_the_usual_space_is_static_or_the_first(stored, wanted):
    assert usual(list(map(Space.parse, stored))) == wanted


@pytest.fixture(scope="module")
def few(tiny_models, tmp_path_factory):
    store = tmp_path_factory.mktemp("few") / "few.kotovec"
    words = ["king", "queen", "man", "woman"]
    options = {"words": words, "spaces": "isolated", "workers": 0, "device": "cpu"}
    kotovec.build(str(tiny_models["bert"]), store, **options).close()
    return store


@pytest.mark.parametrize(
    "command",
    [["query", "king"], ["shell"], ["map", "--method", "tsne"], ["index"], ["tokens"]],
    ids=lambda command: command[0],
)
def test_defaults_are_what_a_small_store_without_static_has(command, few, capsys, monkeypatch):
    """k was 10 of 4 words, and the space one that is not there."""
    monkeypatch.setattr("sys.stdin", io.StringIO("king\n"))
    answer = call(capsys, *command, "--store", few)
    assert answer.code == 0, answer.err
    assert "error" not in answer.err
    if command[0] in ("query", "shell"):
        assert all(word in answer.out for word in ("king", "queen", "man", "woman", "isolated, layer"))


def test_an_audit_takes_the_first_space_of_a_store_without_static(tiny_models, tmp_path, capsys):
    store = tmp_path / "states.kotovec"
    kotovec.build(str(tiny_models["bert"]), store, spaces="isolated", workers=0, device="cpu").close()
    answer = call(capsys, "audit", "--store", store, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["space"] == "isolated@2"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["query", "king", "-k", "10"], "k is 10"),
        (["query", "king", "--space", "static"], "static is not in this store"),
    ],
)
def test_what_is_named_is_not_changed(options, said, few, capsys):
    answer = call(capsys, "query", "king", *options, "--store", few)
    assert answer.code == 2
    assert said in answer.err


def test_the_defaults_of_a_search_are_what_the_store_has(few):
    with Store.open(few) as store:
        found = store.search("king")
        assert (found.space, len(found.results)) == (store.spaces[-1], 4)
        with pytest.raises(InputError, match="k is 10"):
            store.search("king", k=10)


def test_maps_and_indexes_in_python_are_of_the_space_that_a_search_takes(few, tiny_models, tmp_path):
    """`MapRequest()` and `build_index(store)` were of `static`, also where a store has none."""
    with Store.open(few) as store:
        usual_space = store.search("king").space
        assert make_map(store, MapRequest(method="pca"), keep=False).record.space == str(usual_space) == "isolated@2"
        assert build_index(store, factory="Flat")[0].space == "isolated@2"
        assert find_map(store, MapRequest(method="pca")) is None
    path = tmp_path / "both.kotovec"
    words = ["king", "queen", "man", "woman"]
    with kotovec.build(str(tiny_models["bert"]), path, words=words, workers=0, device="cpu") as store:
        assert make_map(store, MapRequest(method="pca")).record.space == "static"
        assert find_map(store, MapRequest(space="static", method="pca")) is not None
        assert build_index(store)[0].space == "static"
