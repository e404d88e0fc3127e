"""Arguments from Python of a wrong type are refused as wrong values are: an `InputError` with the fix as its hint."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import kotovec
from kotovec.cluster.arguments import _TYPES
from kotovec.errors import InputError
from kotovec.space import Space

from commands import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with kotovec.open(make_store(tmp_path_factory.mktemp("arguments") / "s.kotovec")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("ask", "message", "hint"),
    [
        (lambda store: store.search("king", k="3"), "k is a whole number, not a str", "write it as `k=10`"),
        (lambda store: store.search("king", k=2.0), "k is a whole number, not a float", "write it as `k=10`"),
        (lambda store: store.search("king", k=True), "k is a whole number, not a bool", "write it as `k=10`"),
        (lambda store: store.nearest("king"), "nearest takes vectors, not a str", "use `search` for an expression"),
        (lambda store: store.nearest(["king"]), "these vectors are of dtype <U4", "give numbers, of shape (n, D)"),
        (
            lambda store: store.nearest(rows=[1.5]),
            "these rows are of dtype float64",
            "give whole numbers, of shape (n,)",
        ),
        (
            lambda store: store.nearest([[1], [2, 3]]),
            "these vectors are not an array of numbers",
            "give one of shape (n, D)",
        ),
        (
            lambda _: kotovec.open(None),
            "a store is opened by its path, not by None",
            "name its folder, such as `demo.kotovec`",
        ),
        (
            lambda store: store.search("king", space="both"),
            "`both` is not one space",
            "ask in one at a time, such as `static`",
        ),
        (
            lambda store: store.search("king", space=6),
            "a space is a str or a Space, not an int",
            "write it as `isolated@6`",
        ),
        (
            lambda store: store.search("king", space="isolated", layer=1.5),
            "a layer is a whole number, not a float",
            "write it as `layer=6`",
        ),
    ],
)
def test_a_wrong_type_is_refused_with_the_fix(store, ask, message, hint):
    with pytest.raises(InputError) as caught:
        ask(store)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_numbers_of_numpy_are_numbers(store):
    assert len(store.search("king", k=np.int64(3)).results) == 3
    assert len(store.nearest(rows=np.array([0, 1]), k=np.int32(2))) == 2


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({"model": None}, "model is a str or a path, not None", 'model="demo"'),
        ({"model": b"demo"}, "model is a str or a path, not a bytes", 'model="demo"'),
        ({"store": 5}, "store is a str or a path, not an int", 'store="demo.kotovec"'),
        ({"workers": "x"}, "workers is a whole number, not a str", "workers=2"),
        ({"workers": 1.0}, "workers is a whole number, not a float", "workers=2"),
        ({"workers": True}, "workers is a whole number, not a bool", "workers=2"),
        ({"spaces": 3}, "spaces is a str or a list, not an int", 'spaces="static,isolated"'),
        ({"spaces": ["static", 3]}, "an int is in spaces", 'spaces="static,isolated"'),
        ({"layers": 1.5}, "layers is a str, a number or a list, not a float", 'layers="last"'),
        ({"layers": [0, None]}, "None is in layers", 'layers="last"'),
        ({"template": 3}, "template is a str, not an int", 'template="This is {}."'),
        ({"token_filter": 3}, "token_filter is a str or a list, not an int", 'token_filter="word,subword"'),
        ({"dtype": np.float32}, "dtype is a str, not a type", 'dtype="float32"'),
        ({"device": 0}, "device is a str, not an int", 'device="cpu"'),
        ({"bos": "no"}, "bos is True or False, not a str", "bos=False"),
        ({"words": 3}, "words is a path or a list of words, not an int", 'words=["king", "queen"]'),
        ({"overwrite": 1}, "overwrite is True or False, not an int", "overwrite=True"),
    ],
)
def test_a_wrong_type_is_refused_by_build_too(tmp_path, monkeypatch, arguments, message, hint):
    """They were an AttributeError or a TypeError of somewhere inside."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        kotovec.build(**{"model": "demo", "workers": 0} | arguments)
    assert (str(caught.value), caught.value.hint) == (message, f"write it as `{hint}`")
    assert list(tmp_path.iterdir()) == []


def test_build_takes_lists_a_path_and_a_number(tmp_path, tiny_models):
    arguments = {"workers": np.int64(0), "spaces": ["static", Space("isolated")]}
    with kotovec.build(Path(tiny_models["bert"]), tmp_path / "a.kotovec", layers=1, **arguments) as built:
        assert [*map(str, built.spaces)] == ["static", "isolated@1"]


def test_build_checks_every_argument_that_it_takes():
    taken = set(inspect.signature(kotovec.build).parameters)
    assert taken - set(_TYPES) == {"report"}
    assert set(_TYPES) <= taken
