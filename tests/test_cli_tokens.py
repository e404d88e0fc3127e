"""`kotovec tokens`: filters, order, columns, and every way out of it."""

import csv
import io
import json
import re
import sys

import numpy as np
import pytest

from kotovec.store import Store
from kotovec.store.columns import Columns
from kotovec.store.listing import Selection, list_tokens
from kotovec.store.neighbours import neighbours

import stores
from commands import TEXTS, call, isolated_vectors, make_store, static_vectors


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("tokens") / "words.kotovec")


def listed(capsys, path, *arguments):
    answer = call(capsys, "tokens", "--store", path, "--json", *arguments)
    assert answer.code == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]


def texts(capsys, path, *arguments):
    return [row["text"] for row in listed(capsys, path, *arguments)]


def test_the_table_shows_what_is_known_of_each_token(capsys, path):
    answer = call(capsys, "tokens", "--store", path, "king")
    header, _, *rows = answer.out.splitlines()
    assert answer.code == 0
    assert header.split() == ["id", "token", "kind", "script", "norm", "centroid", "reach"]
    vectors = static_vectors().astype(np.float64)
    row = TEXTS.index("king")
    norm = np.linalg.norm(vectors[row])
    centroid = np.linalg.norm(vectors[row] - vectors.mean(axis=0))
    assert [line.split() for line in rows] == [
        [str(row), "king", "word", "Latin", f"{norm:.4f}", f"{centroid:.4f}", "alone"]
    ]


def test_the_pattern_is_a_part_of_the_token_or_an_expression(capsys, path):
    assert texts(capsys, path, "in") == ["king", "prince", "princess"]
    assert texts(capsys, path, "^.王$", "--regex") == ["女王"]
    assert texts(capsys, path, "王") == ["王", "女王", "##王"]
    assert texts(capsys, path, ".") == []
    assert texts(capsys, path, "zero\\u200b") == ["zero\u200bwidth"]  # as a table shows it


def test_filters_apply_together(capsys, path):
    assert texts(capsys, path, "--kind", "special,unused") == ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]"]
    assert texts(capsys, path, "--script", "han") == ["王", "女王", "男", "女", "子", "##王"]
    assert texts(capsys, path, "--script", "Han", "--kind", "word", "--length", "2-") == ["女王"]
    assert texts(capsys, path, "--length", "1", "--kind", "subword") == ["##s", "##王"]
    assert texts(capsys, path, "--length", "-2", "--script", "Han", "-n", "2") == ["王", "女王"]


def test_the_order_is_by_any_number_with_ties_by_id(capsys, path):
    vectors = static_vectors().astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    from_centre = np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)
    for sort, keys in (("norm", norms), ("centroid", from_centre)):
        expected = np.argsort(keys, kind="stable")
        rows = listed(capsys, path, "--sort", sort)
        assert [row["id"] for row in rows] == expected.tolist()
        assert [row[sort] for row in rows] == pytest.approx(keys[expected], rel=1e-9)
        rows = listed(capsys, path, "--sort", sort, "--descending", "-n", "3")
        assert [row["id"] for row in rows] == expected[::-1][:3].tolist()
    assert texts(capsys, path, "--sort", "text", "--script", "Latin", "-n3") == ["\x1b[31mred", "##s", "[bold]x[/bold]"]


def test_the_neighbours_are_the_mean_cosine_with_the_ten_nearest(capsys, path):
    rows = listed(capsys, path, "king", "--columns", "id,neighbours")
    with Store.open(path) as store:
        found = neighbours(store, "static", 10, rows=[row["id"] for row in rows])
    assert [row["neighbours"] for row in rows] == pytest.approx(found.scores.mean(axis=1), rel=1e-12)


def test_equal_keys_stay_in_the_order_of_ids_both_ways(tmp_path):
    vectors = np.array([[2.0], [1.0], [2.0], [1.0], [2.0]])
    with Store.open(stores.write_store(tmp_path / "a.kotovec", stores.numbered(5), vectors)) as store:
        both = [
            list_tokens(store, sort="norm", descending=each, columns=["id"]).table.values["id"].tolist()
            for each in (False, True)
        ]
    assert both == [[1, 3, 0, 2, 4], [0, 2, 4, 1, 3]]


def test_another_space_and_layer(capsys, path):
    rows = listed(capsys, path, "king", "--space", "isolated@2")
    expected = np.linalg.norm(isolated_vectors()[1].astype(np.float64), axis=1)[TEXTS.index("king")]
    assert rows[0]["norm"] == pytest.approx(expected, rel=1e-9)
    answer = call(capsys, "tokens", "--store", path, "--space", "both")
    assert (answer.code, answer.err) == (2, "error: --space names 2 spaces\nhint: name one\n")


def test_a_list_of_spaces_in_the_environment_is_for_other_commands(capsys, path, monkeypatch):
    static = listed(capsys, path, "king")
    for spaces in ("both", "static,isolated@2"):
        monkeypatch.setenv("KOTOVEC_SPACE", spaces)
        assert listed(capsys, path, "king") == static
    monkeypatch.setenv("KOTOVEC_LAYER", "0")
    assert listed(capsys, path, "king") == static
    monkeypatch.setenv("KOTOVEC_LIST", "1")  # of `kotovec submit`
    assert call(capsys, "coverage", path, "--charset", "joyo").code == 0


def test_columns_are_those_that_are_asked_for(capsys, path):
    columns = ("--columns", "pieces,notation,length,id")
    rows = listed(capsys, path, *columns, "--kind", "word", "--regex", "[\\[\\x1b\\t\u200b]")
    assert [list(row) for row in rows] == [["pieces", "notation", "length", "id"]] * 4
    assert [list(row.values()) for row in rows] == [
        [" ".join(["[UNK]"] * 8), "[bold]x[/bold]", 14, 20],
        ["[UNK] [UNK] [UNK]", "\\u001b[31mred", 8, 21],
        ["[UNK] [UNK]", "a\\tb", 3, 22],
        ["", "zero\\u200bwidth", 10, 23],  # reachable
    ]


def test_tab_separated_values_are_read_back(capsys, path):
    answer = call(capsys, "tokens", "--store", path, "--tsv", "--columns", "id,token,norm")
    lines = list(csv.reader(io.StringIO(answer.out), delimiter="\t"))
    norms = np.linalg.norm(static_vectors().astype(np.float64), axis=1)
    assert lines[0] == ["id", "token", "norm"]
    assert [int(line[0]) for line in lines[1:]] == list(range(len(TEXTS)))
    assert [float(line[2]) for line in lines[1:]] == pytest.approx(norms, rel=1e-9)
    assert lines[1 + TEXTS.index("a\tb")][1] == "a\\tb"


def test_parquet_holds_the_same_as_json(capsys, path, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    file = tmp_path / "tokens.parquet"
    answer = call(capsys, "tokens", "--store", path, "--parquet", file)
    assert (answer.code, answer.out, answer.err) == (0, "", f"25 tokens written to {file}\n")
    frame = pandas.read_parquet(file)
    assert frame.to_dict("records") == listed(capsys, path)
    assert frame["id"].dtype == "int64"


def test_no_pyarrow_is_a_line_and_a_hint(capsys, path, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = call(capsys, "tokens", "--store", path, "--parquet", tmp_path / "a.parquet")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: Parquet needs pyarrow\nhint: install it: pip install pyarrow\n"


def test_pandas_gets_the_table_and_what_it_is_of(path):
    pytest.importorskip("pandas")
    with Store.open(path) as store:
        frame = list_tokens(store, Selection("king"), space="isolated", limit=1).to_pandas()
    assert list(frame["token"]) == ["king"]
    assert frame.attrs == {"space": "isolated@2", "total": 1}


def test_a_table_of_a_large_vocabulary_is_cut_and_says_so(capsys, demo_static):
    answer = call(capsys, "tokens", "--store", demo_static)
    assert len(answer.out.splitlines()) == 52
    assert answer.err == "50 of 30,522 tokens; -n shows more\n"
    quiet = call(capsys, "tokens", "--store", demo_static, "-q", "-n", "2")
    assert (len(quiet.out.splitlines()), quiet.err) == (4, "")


def test_reach_is_left_out_where_no_tokenizer_shows_it(capsys, tmp_path):
    path = stores.write_store(tmp_path / "a.kotovec", stores.numbered(3), np.eye(3))
    answer = call(capsys, "tokens", "--store", path)
    assert answer.code == 0
    assert "reach" not in answer.out
    assert "note: reach is left out: " in answer.err
    asked = call(capsys, "tokens", "--store", path, "--columns", "id,reach")
    assert (asked.code, asked.out) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sort", "size"], "unknown order `size`"),
        (["--kind", "letter"], "unknown kind `letter`"),
        (["--script", "Klingon"], "unknown script `Klingon`"),
        (["--length", "long"], "`long` is no length"),
        (["--length", "-"], "`-` is no length"),
        (["--length", "5-2"], "`5-2` is no length\nhint: use `2-5`"),
        (["--columns", "id,id"], "the column `id` is named twice"),
        (["--columns", ","], "unknown column ``"),
        (["(", "--regex"], "`(` is no regular expression"),
        (["--columns", "id,size"], "unknown column `size`"),
        (["--json", "--tsv"], "more than one of --json, --tsv and --parquet"),
        (["--parquet", "nowhere/a.parquet"], "there is no folder nowhere"),
        (["-n", "-1"], "the limit is -1"),
        (["--limit", "0"], "the limit is 0\nhint: use 1 or more"),  # as `query -k 0`
        (["--space", "isolated@7"], "layer 7 is not in this store"),
    ],
)
def test_what_cannot_be_used_is_one_line(capsys, path, arguments, said):
    answer = call(capsys, "tokens", "--store", path, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)


def test_a_table_by_columns_has_rows_of_plain_values():
    table = Columns({"id": np.array([1, 2]), "text": ["a", "b"]})
    assert len(table) == 2
    assert list(table.rows()) == [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    assert [type(value) for value in next(table.rows()).values()] == [int, str]
    assert list(table.pick(["text"]).rows()) == [{"text": "a"}, {"text": "b"}]
