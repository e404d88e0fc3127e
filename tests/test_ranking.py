"""The exact ranks of targets, against numpy in float64: with and without inputs, in every metric, ties by row."""

import json
import shlex

import numpy as np
import pytest

import kotovec
from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store.targets import split_targets

from commands import TEXTS, call, isolated_vectors, make_store, static_vectors
from stores import add_means, make_tokens, numbered, write_store

EXPRESSION, INPUTS = "king - man + woman", ("king", "man", "woman")
RANK = ["target", "token", "id", "rank", "among", "score", "note"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("ranks") / "words.kotovec")


@pytest.fixture(scope="module")
def store(path):
    with kotovec.open(path) as opened:
        yield opened


def scored(vectors, query, metric):
    """Return the scores of all rows, smaller is nearer, in float64."""
    vectors = vectors.astype(np.float64)
    if metric == "l2":
        return ((vectors - query) ** 2).sum(axis=1)
    products = vectors @ query
    return -products if metric == "ip" else -products / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


def ranked(scores, left_out=()):
    """Return the rank of every row that is not left out."""
    order = [int(row) for row in np.lexsort((np.arange(len(scores)), scores)) if row not in set(left_out)]
    return {row: rank for rank, row in enumerate(order, start=1)}


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("space", ["static", "isolated@0", "isolated@2"])
def test_ranks_are_those_of_all_rows_sorted_in_float64(store, metric, exclude, space):
    vectors = {"static": static_vectors(), "isolated@0": isolated_vectors()[0], "isolated@2": isolated_vectors()[1]}
    rows = {word: TEXTS.index(word) for word in INPUTS}
    a, b, c = (vectors[space][row].astype(np.float64) for row in rows.values())
    scores = scored(vectors[space], a - b + c, metric)
    wanted = ranked(scores, rows.values() if exclude else ())
    targets = [text for text in TEXTS if text.isalpha() and text not in INPUTS]
    found = store.ranks(EXPRESSION, targets, space=space, metric=metric, exclude_inputs=exclude)
    assert [each.rank for each in found] == [wanted[TEXTS.index(target)] for target in targets]
    assert {each.among for each in found} == {len(TEXTS) - 3 * exclude}
    sign = 1 if metric == "l2" else -1
    assert [each.score for each in found] == pytest.approx([sign * scores[each.id] for each in found], rel=1e-9)
    results = store.search(EXPRESSION, space=space, metric=metric, exclude_inputs=exclude, k=len(TEXTS)).results
    ranks = {hit.id: hit.rank for hit in results}
    assert [each.rank for each in found] == [ranks[each.id] for each in found]


def test_a_target_that_is_an_input_has_a_rank_only_where_inputs_may_answer(store):
    with_inputs, without = (store.ranks("king", ["king"], exclude_inputs=exclude)[0] for exclude in (False, True))
    assert with_inputs.rank == 1
    assert (without.rank, without.score, without.token) == (None, None, "king")
    assert without.note == "`king` has no rank in static: it is an input, and inputs are left out"


def test_words_only_and_script_rank_among_what_they_keep(store):
    scores = scored(static_vectors(), store.vector(EXPRESSION), "l2")
    for options in ({"words_only": True}, {"script": "Latin"}):
        kept = {hit.id for hit in store.search(EXPRESSION, k=len(TEXTS), **options).results}
        wanted = ranked(scores, set(range(len(TEXTS))) - kept)
        (found,) = store.ranks(EXPRESSION, ["queen"], **options)
        assert (found.rank, found.among) == (wanted[TEXTS.index("queen")], len(kept))
    (left_out,) = store.ranks(EXPRESSION, ["女王"], script="Latin")
    assert left_out.note == "`女王` has no rank in static: it is of a kind or script that is left out"


def test_equal_scores_are_ordered_by_row(tmp_path):
    vectors = np.array([[2, 0], [1, 0], [1, 0], [0, 1], [1, 0]], dtype=np.float32)
    with kotovec.open(write_store(tmp_path / "a.kotovec", numbered(5), vectors)) as store:
        found = store.ranks("t2", [f"t{number}" for number in range(5)])
        assert [each.rank for each in found] == [4, 1, 2, 5, 3]
        found = store.ranks("t2", ["t1", "t4", "t0"], metric="cosine", exclude_inputs=True)
        assert [(each.rank, each.among) for each in found] == [(2, 4), (3, 4), (1, 4)]


def test_rows_without_a_vector_have_no_rank_and_are_not_counted(tmp_path):
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2) + 1
    folder = write_store(tmp_path / "a.kotovec", numbered(5), vectors)
    add_means(folder, Space("context", 1), vectors, [3, 0, 2, 1, 0])
    with kotovec.open(folder) as store:
        first, third, absent = store.ranks("t0", ["t0", "t2", "t1"], space="context")
    assert (first.rank, third.rank, absent.rank) == (1, 2, None)
    assert {each.among for each in (first, third, absent)} == {3}
    assert absent.note == "`t1` has no rank in context@1: no sentence of the corpus has it"


def test_targets_that_are_not_one_token_say_why(store):
    several, unknown = store.ranks(EXPRESSION, ["kings", "☃"])
    assert (several.rank, several.token, several.id) == (None, None, None)
    assert several.note == "`kings` has no rank: it is not one token (king | ##s)"
    assert unknown.note == "`☃` has no rank: `☃` is not in the vocabulary, nor made of its tokens"


def test_what_is_no_list_of_single_terms_is_refused(store):
    with pytest.raises(InputError, match="targets are a list, not a str"):
        store.ranks(EXPRESSION, "queen")
    with pytest.raises(InputError, match="`king - man` is an expression, and a rank is that of one token"):
        store.ranks(EXPRESSION, ["king - man"])
    with pytest.raises(InputError, match="unit terms mean nothing with l2"):
        store.ranks(EXPRESSION, ["queen"], unit_terms=True)
    with pytest.raises(InputError, match="a target is a str, not an int"):
        store.ranks(EXPRESSION, [3])


def test_the_command_prints_a_line_per_target_with_every_space(capsys, path, store):
    wanted = [store.ranks(EXPRESSION, ["queen", "boy"], space=space) for space in ("static", "isolated@2")]
    answer = call(capsys, "query", "--store", path, EXPRESSION, "--space", "both", "-k", 2, "--rank", "queen,boy,kings")
    assert answer.code == 0
    assert answer.out.splitlines()[-4:] == [
        f"rank of queen: {wanted[0][0].rank} (static), {wanted[1][0].rank} (isolated@2)",
        f"rank of boy: {wanted[0][1].rank} (static), {wanted[1][1].rank} (isolated@2)",
        "rank of kings: — (static), — (isolated@2)",
        "note: `kings` has no rank: it is not one token (king | ##s)",
    ]


def test_json_has_ranks_with_stable_keys(capsys, path, store):
    answer = call(capsys, "query", "--store", path, EXPRESSION, "--json", "--rank", "queen", "--rank", "王")
    found = json.loads(answer.out)
    assert [list(each) for each in found["ranks"]] == [RANK, RANK]
    assert found["ranks"] == [each.as_dict() for each in store.ranks(EXPRESSION, ["queen", "王"])]


def test_every_line_of_a_file_has_ranks(capsys, path, store, tmp_path):
    file = tmp_path / "asked.txt"
    file.write_text("king\nking - man\n", encoding="utf-8")
    answer = call(capsys, "query", "--store", path, "--file", file, "--rank", "queen", "--space", "both")
    found = [json.loads(line) for line in answer.out.splitlines()]
    wanted = [(text, space) for text in ("king", "king - man") for space in ("static", "isolated")]
    assert [each["ranks"][0]["rank"] for each in found] == [
        store.ranks(text, ["queen"], space=space)[0].rank for text, space in wanted
    ]


def test_k_0_is_refused_with_ranks_too(capsys, path):
    answer = call(capsys, "query", "--store", path, EXPRESSION, "-k", 0, "--rank", "queen")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: k is 0\n")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A store without hidden states, and without `boy`."""
    vectors = np.array([[1, 3], [3, 0], [1, 0], [0, 2]], dtype=np.float32)
    tokens = make_tokens(["queen", "king", "man", "woman"])
    isolated = np.empty((0, *vectors.shape))
    return write_store(tmp_path_factory.mktemp("other") / "chive.kotovec", tokens, vectors, isolated, layers=())


def test_several_stores_stand_side_by_side_with_their_names(capsys, path, store, other):
    options = ("--store", path, "--store", other, "--space", "static,isolated", "-k", 2, "--rank", "queen")
    answer = call(capsys, "query", EXPRESSION, *options)
    ranks = [store.ranks(EXPRESSION, ["queen"], space=space)[0].rank for space in ("static", "isolated")]
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    title = "words static | words isolated, layer 2 | chive static; squared L2, smaller is nearer"
    assert lines[0] == f"{EXPRESSION}  ({title})"
    cells = ("id", "score", "input")
    heads = ("words", "static", *cells, "words", "isolated", *cells, "chive", "static", *cells)
    assert lines[1].split() == ["rank", *heads]
    assert lines[-1] == f"rank of queen: {ranks[0]} (words static), {ranks[1]} (words isolated@2), 1 (chive static)"
    found = [json.loads(line) for line in call(capsys, "query", EXPRESSION, *options, "--json").out.splitlines()]
    spaces = [(each["store"], each["space"]) for each in found]
    assert spaces == [("words", "static"), ("words", "isolated@2"), ("chive", "static")]
    first = {"rank": 1, "token": "queen", "text": "queen", "id": 0, "score": 2.0, "is_input": False}
    assert found[2]["results"][0] == first
    rows = [line.split("\t") for line in call(capsys, "query", EXPRESSION, *options, "--tsv").out.splitlines()]
    assert rows[0][:3] == ["store", "space", "rank"]
    assert [row[:2] for row in rows[1::2]] == [list(each) for each in spaces]


def test_what_several_stores_cannot_be_asked(capsys, path, other, tmp_path):
    both = ("--store", path, "--store", other)
    answer = call(capsys, "query", "boy", *both)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: chive: `boy` is not")
    answer = call(capsys, "query", "king", *both, "--space", "context")
    assert (answer.code, answer.out) == (2, "")
    answer = call(capsys, "query", "king", "--store", path, "--store", path)
    assert answer.err == "error: a store is named twice\nhint: name each store once\n"
    file = tmp_path / "asked.txt"
    file.write_text("king\n", encoding="utf-8")
    answer = call(capsys, "query", "--file", file, *both)
    assert answer.err.startswith("error: --file asks one store, not several\n")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ('","', ['","']),
        ('"a,b",queen', ['"a,b"', "queen"]),
        ("queen , 「、」、king", ["queen", "「、」", "king"]),
        ("“a,b” ,''", ["“a,b”", "''"]),
        ("'tis,'twas", ["'tis", "'twas"]),
        ('",queen', ['"', "queen"]),
        ('"a","b,c" , d', ['"a"', '"b,c"', "d"]),
        ("queen,", ["queen", ""]),
        ("", [""]),
    ],
)
def test_commas_in_quotes_do_not_part_targets(text, targets):
    assert split_targets(text) == targets


def test_the_rank_of_a_token_with_a_comma_is_that_of_the_store(capsys, tmp_path):
    vectors = np.array([[1, 0], [4, 0], [3, 0], [9, 0], [11, 0], [12, 0]], dtype=np.float32)
    path = write_store(tmp_path / "a.kotovec", make_tokens(["queen", ",", "a,b", "king", "x", "y"]), vectors)
    with kotovec.open(path) as opened:
        wanted = [each.as_dict() for each in opened.ranks("queen", ['","', '"a,b"', "king"])]
    assert [(each["token"], each["rank"]) for each in wanted] == [(",", 3), ("a,b", 2), ("king", 4)]
    answer = call(capsys, "query", "queen", "--store", path, "--rank", '",","a,b",king', "--json")
    assert json.loads(answer.out)["ranks"] == wanted
    out = tmp_path / "r.json"
    options = ("--expression", "queen", "--target", '","', "--out", out)
    assert call(capsys, "report", path, *options).code == 0
    section = json.loads(out.read_text())["sections"][0]
    assert section["tables"][0]["rows"][0][1:3] == [3, 2]
    for command, rank in zip(section["commands"], (2, 3), strict=True):
        answer = call(capsys, *shlex.split(command)[1:])
        assert (answer.code, f'rank of ",": {rank} (static), ' in answer.out) == (0, True)
    answer = call(capsys, "report", path, "--target", "queen,king", "--out", out)
    assert answer.err.startswith("error: --target names 2 tokens\nhint: name one")
