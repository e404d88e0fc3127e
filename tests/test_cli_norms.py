"""`kotovec norms`: the article's table of norms, for every space and layer."""

import json
import re

import numpy as np
import pytest

import stores
from commands import TEXTS, call, isolated_vectors, make_store, static_vectors


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("norms") / "words.kotovec")


def norm(vectors, *tokens):
    """The norm of a term's vector: the mean of its tokens', in float64."""
    rows = [TEXTS.index(token) for token in tokens]
    return float(np.sqrt((vectors[rows].astype(np.float64).mean(axis=0) ** 2).sum()))


def columns(*tokens):
    layer_0, layer_2 = isolated_vectors()
    return [norm(vectors, *tokens) for vectors in (static_vectors(), layer_0, layer_2)]


def test_the_table_has_a_row_for_each_word_and_a_column_for_each_space_and_layer(capsys, store):
    answer = call(capsys, "norms", "--store", store, "王", "子", "女", "男")
    header, _, *rows = [line for line in answer.out.splitlines() if line.strip()]
    assert (answer.code, answer.err) == (0, "")
    assert [cell.strip() for cell in header.split("  ") if cell.strip()] == [
        "term",
        "token",
        "static",
        "isolated, layer 0",
        "isolated, layer 2",
    ]
    assert [row.split() for row in rows] == [
        [word, word, *(f"{value:.4f}" for value in columns(word))] for word in ("王", "子", "女", "男")
    ]


def test_json_is_a_line_for_each_word_with_these_keys(capsys, store):
    answer = call(capsys, "norms", "--store", store, "--json", "king", "#6", "kings")
    data = [json.loads(line) for line in answer.out.splitlines()]
    assert answer.code == 0
    assert [list(line) for line in data] == [["term", "tokens", "static", "isolated@0", "isolated@2"]] * 3
    assert [(line["term"], line["tokens"]) for line in data] == [
        ("king", ["king"]),
        ("#6", [TEXTS[6]]),
        ("kings", ["king", "##s"]),
    ]
    for line, tokens in zip(data, (["king"], [TEXTS[6]], ["king", "##s"]), strict=True):
        static, *isolated = columns(*tokens)
        assert line["static"] == pytest.approx(static, rel=1e-12)
        assert [line["isolated@0"], line["isolated@2"]] == pytest.approx(isolated, rel=1e-12)


def test_a_mean_of_subwords_is_said_unless_quiet(capsys, store):
    loud, quiet = (call(capsys, "norms", "--store", store, "kings", *more) for more in ([], ["--quiet"]))
    assert "kings is not one token: the mean of king | ##s" in loud.err
    assert quiet.err == ""
    assert quiet.out == loud.out


def test_many_layers_are_neither_cut_nor_folded_where_the_output_is_no_terminal(capsys, tmp_path):
    tokens = stores.make_tokens(["king", "queen"])
    path = stores.write_store(tmp_path / "deep.kotovec", tokens, np.eye(2) * 1000, layers=range(25))
    header, _, *rows = call(capsys, "norms", "--store", path, "king", "queen").out.splitlines()
    assert header.split() == ["norm", "of", "king", "queen"]
    assert [row.split()[-3:] for row in rows[1:]] == [[str(layer), "1000.0000", "1000.0000"] for layer in range(25)]
    assert rows[0].split() == ["static", "1000.0000", "1000.0000"]


def test_the_empty_token_is_a_token(capsys, store):
    row = call(capsys, "norms", "--store", store, "").out.splitlines()[2]
    assert row.split() == ['""', '""', *(f"{value:.4f}" for value in columns(""))]


@pytest.mark.parametrize(
    ("words", "said"), [(["nosuchword"], "not in the vocabulary"), (["king", "#9999"], "#9999"), ([" "], "` `")]
)
def test_an_unknown_word_is_one_line_and_no_output(capsys, store, words, said):
    answer = call(capsys, "norms", "--store", store, *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)
