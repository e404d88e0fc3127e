"""Errors about what was typed have a hint that names the fix."""

import io

import numpy as np
import pytest

from kotovec.cluster.request import parse_layers
from kotovec.errors import InputError
from kotovec.store import Store

import stores
from commands import call, make_store

REGEX = r"put a backslash before a sign that means itself, such as `\(`, or leave out --regex"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("hints") / "words.kotovec")


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("王 +", "write a token after +, or leave it out"),
        ("王 －", "write a token after －, or leave it out"),
        ("王 + (", "write a token after (, or leave it out"),
        ("（王", "close it with ）, or leave out （"),
        ("(王", "close it with ), or leave out ("),
        ("「王", "close it with 」, or leave out 「"),
        ('"王', 'close it with ", or leave out "'),
        ("“王", "close it with ”, or leave out “"),
        ("王)", "leave out this ), or open it before with ("),
        ("王）", "leave out this ）, or open it before with （"),
        ("#999999", "list the ids with `kotovec tokens`"),
        ("0*王", "give a term a weight other than 0"),
        ("0*王 - 0*女", "give a term a weight other than 0"),
        ("王-王", "leave out the terms that cancel"),
        ("王 - 2*王 + 王", "leave out the terms that cancel"),
        ("9999999999*王", "write a smaller number"),
        ("(" * 60 + "王" + ")" * 60, "leave some out: a - (b - c) is a - b + c"),
    ],
)
def test_an_expression_that_cannot_be_answered_has_a_hint(store, capsys, expression, hint):
    answer = call(capsys, "query", "--store", store, expression)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines()[-1] == f"hint: {hint}"


def test_a_token_whose_vector_is_zero_has_a_hint(tmp_path, capsys):
    vectors = np.vstack([np.zeros((1, 4)), np.eye(4)])
    folder = stores.write_store(tmp_path / "z.kotovec", stores.numbered(5), vectors)
    for options, hint in (
        (["t0"], "ask about a token whose vector is not zero"),
        (["t0 + t1", "--unit-terms", "--metric", "cosine"], "leave it out, or ask without unit terms"),
    ):
        answer = call(capsys, "query", "--store", folder, *options)
        assert answer.err.splitlines()[-1] == f"hint: {hint}"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (":k 零", "write `:k 20`"),
        (":layer 零", "write `:layer -1`"),
        (":exclude-inputs 零", "write `:exclude-inputs on` or `:exclude-inputs off`"),
    ],
)
def test_a_setting_that_cannot_be_has_a_hint(store, capsys, monkeypatch, line, hint):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{line}\n"))
    assert call(capsys, "shell", "--store", store).err.splitlines()[-1] == f"hint: {hint}"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ["tokens", "--regex", "("],
            r"put a backslash before a sign that means itself, such as `\(`, or leave out --regex",
        ),
        (["query", "king", "--script", "Runic"], "name other scripts"),
        (["tokens", "--html", "x"], "see `kotovec tokens --help`"),
    ],
)
def test_options_have_hints(store, capsys, arguments, hint):
    answer = call(capsys, *arguments, "--store", store)
    assert (answer.code, answer.err.splitlines()[-1]) == (2, f"hint: {hint}")


def test_the_map_of_three_tokens_has_a_hint(tmp_path, capsys):
    folder = stores.write_store(tmp_path / "few.kotovec", stores.numbered(3), np.eye(3))
    answer = call(capsys, "map", "--store", folder, "--method", "pca")
    assert answer.err.splitlines() == [
        "error: a map needs 4 tokens or more, not 3",
        "hint: build a store of more words, and map that",
    ]


def test_layers_that_the_model_has_not_have_a_hint():
    with pytest.raises(InputError) as caught:
        parse_layers("13", 12)
    assert "--layers `13`: the model has the layers 0 to 12, not 13" in str(caught.value)
    assert caught.value.hint == "choose `last`, `all`, or numbers from 0 to 12"


def test_python_has_the_hints_too(store):
    with Store.open(store) as opened, pytest.raises(InputError) as caught:
        opened.search("王 - 王")
    assert caught.value.hint == "leave out the terms that cancel"
