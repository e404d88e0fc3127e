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
    assert [list(line) for line in data] == [["term", "tokens", "notes", "static", "isolated@0", "isolated@2"]] * 3
    assert [(line["term"], line["tokens"]) for line in data] == [
        ("king", ["king"]),
        ("#6", [TEXTS[6]]),
        ("kings", ["king", "##s"]),
    ]
    for line, tokens in zip(data, (["king"], [TEXTS[6]], ["king", "##s"]), strict=True):
        static, *isolated = columns(*tokens)
        assert line["static"] == pytest.approx(static, rel=1e-12)
        assert [line["isolated@0"], line["isolated@2"]] == pytest.approx(isolated, rel=1e-12)


def test_a_mean_of_subwords_is_said_also_if_quiet(capsys, store):
    loud, quiet = (call(capsys, "norms", "--store", store, "kings", *more) for more in ([], ["--quiet"]))
    assert "kings is not one token: the mean of king | ##s" in loud.err
    assert (quiet.out, quiet.err) == (loud.out, loud.err)


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


def test_an_expression_is_measured_as_its_sum(capsys, store):
    """It was read as one word, and gave the norm of the mean of king, - and man."""
    answer = call(capsys, "norms", "--store", store, "--json", "-man", "king - man", "2*king", "king - king")
    data = [json.loads(line) for line in answer.out.splitlines()]
    rows = {word: static_vectors()[TEXTS.index(word)].astype(np.float64) for word in ("king", "man")}
    expected = [rows["man"], rows["king"] - rows["man"], 2 * rows["king"], 0 * rows["king"]]
    assert [line["static"] for line in data] == pytest.approx([float(np.linalg.norm(row)) for row in expected])
    assert [(line["term"], line["tokens"]) for line in data] == [
        ("-man", ["man"]),
        ("king - man", ["king", "man"]),
        ("2*king", ["king"]),
        ("king - king", ["king", "king"]),
    ]
    table = call(capsys, "norms", "--store", store, "kings - man").out.splitlines()[2]
    assert table.split("  ")[0] == "kings - man"
    assert "king | ##s - man" in table


@pytest.mark.parametrize(
    ("words", "operator"),
    [(["king", "-", "man"], "-"), (["king", "-man"], "-man"), (["king", "+man"], "+man"), (["-", "king"], "-")],
)
def test_an_expression_without_quotes_is_no_list_of_words(capsys, store, words, operator):
    answer = call(capsys, "norms", "--store", store, *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"error: every argument is a term of its own, and `{operator}` begins with an operator\n"
        f'hint: put an expression in quotes: `kotovec norms "{" ".join(words)}"`\n'
    )


def test_a_hyphenated_word_is_read_as_everywhere_else(capsys, store):
    answer = call(capsys, "norms", "--store", store, "king-man", "--quiet")
    assert answer.err == "note: king-man is read as king - man; for the word write '\"king-man\"'\n"
    assert answer.out == call(capsys, "norms", "--store", store, "king - man").out
