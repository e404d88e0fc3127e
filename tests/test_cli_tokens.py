"""`kotovec tokens`: filters, order, columns, and every way out of it."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from kotovec.store import Store
from kotovec.store.columns import Columns
from kotovec.store.listing import Selection, list_tokens
from kotovec.store.neighbours import neighbours
from kotovec.store.tokens import Marking

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


@pytest.fixture(scope="module")
def uncased(tmp_path_factory):
    """Return a store whose tokenizer lower-cases and takes away accents, as that of bert-base-uncased."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    texts_ = ["[UNK]", "king", "making", "cafe", "か", "##n", "k"]
    tokenizer = Tokenizer(models.WordPiece({text: n for n, text in enumerate(texts_)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens = stores.make_tokens(texts_, special=["[UNK]"])
    folder = tmp_path_factory.mktemp("uncased") / "uncased.kotovec"
    return stores.write_store(folder, tokens, np.eye(len(texts_)), tokenizer=tokenizer)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    tokens = stores.make_tokens(
        ["<unk>", "王", "▁王", "▁女王", "がく", "▁ABC"], unknown="<unk>", marking=Marking.METASPACE
    )
    return stores.write_store(tmp_path_factory.mktemp("pieces") / "pieces.kotovec", tokens, np.eye(6))


@pytest.mark.parametrize(
    ("pattern", "found", "note"),
    [
        ("_王", ["▁王"], "_王 is read as ▁王"),
        (" 王", ["▁王"], " 王 is read as ▁王"),
        ("か\u3099", ["がく"], "か\u3099 is read as が (NFC)"),
        ("ＡＢＣ", ["▁ABC"], "ＡＢＣ is read as ABC (NFKC)"),
        ("＿王", ["▁王"], "＿王 is read as ▁王 (NFKC)"),
        ("王", ["王", "▁王", "▁女王"], None),
    ],
)
def test_a_pattern_is_read_in_the_forms_in_which_a_query_finds_a_word(capsys, pieces, pattern, found, note):
    assert texts(capsys, pieces, pattern) == found
    expected = f"note: {note}\n" if note else ""
    assert call(capsys, "tokens", "--store", pieces, pattern, "--columns", "id").err == expected
    with Store.open(pieces) as store:
        assert list_tokens(store, Selection(pattern), columns=["id"]).notes == ((note,) if note else ())


@pytest.mark.parametrize(
    ("pattern", "found", "note"),
    [
        ("KING", ["king", "making"], "note: KING is read as king\n"),
        ("ＫＩＮＧ", ["king", "making"], "note: ＫＩＮＧ is read as king (NFKC)\n"),
        ("Café", ["cafe"], "note: Café is read as cafe\n"),
        ("KN", [], "0 of 7 tokens\nhint: try `king`, `k` or `##n`\n"),
        ("kngi", [], "0 of 7 tokens\nhint: try `king` or `making`\n"),
        ("☃", [], "0 of 7 tokens\n"),
    ],
)
def test_what_the_tokenizer_lower_cases_is_found_and_a_typo_has_a_hint(capsys, uncased, pattern, found, note):
    answer = call(capsys, "tokens", "--store", uncased, pattern, "--json")
    assert [json.loads(line)["text"] for line in answer.out.splitlines()] == found
    assert (answer.code, answer.err) == (0, note)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["king", "--kind", "subword"], "hint: leave out `--kind`\n"),
        (["KING", "--kind", "special", "--length", "9"], "hint: leave out `--kind` or `--length`\n"),
        (["--script", "Thai"], "hint: leave out `--script`\n"),
        (["kngi", "--kind", "special"], "hint: try `king` or `making`\n"),
        (["^kngi$", "--regex"], ""),
    ],
)
def test_an_empty_list_says_so_and_what_to_leave_out(capsys, uncased, arguments, hint):
    answer = call(capsys, "tokens", "--store", uncased, *arguments)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.endswith(f"0 of 7 tokens\n{hint}")
    assert call(capsys, "tokens", "--store", uncased, *arguments, "-q").err == ""


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
        [["[UNK]"] * 8, "[bold]x[/bold]", 14, 20],
        [["[UNK]"] * 3, "\\u001b[31mred", 8, 21],
        [["[UNK]"] * 2, "a\\tb", 3, 22],
        [[], "zero\\u200bwidth", 10, 23],  # reachable
    ]


def test_tab_separated_values_are_read_back(capsys, path):
    answer = call(capsys, "tokens", "--store", path, "--tsv", "--columns", "id,token,norm")
    lines = list(csv.reader(io.StringIO(answer.out), delimiter="\t"))
    norms = np.linalg.norm(static_vectors().astype(np.float64), axis=1)
    assert lines[0] == ["id", "token", "norm"]
    assert [int(line[0]) for line in lines[1:]] == list(range(len(TEXTS)))
    assert [float(line[2]) for line in lines[1:]] == pytest.approx(norms, rel=1e-9)
    assert lines[1 + TEXTS.index("a\tb")][1] == "a\\tb"


DOCS = Path(__file__).parents[1] / "docs" / "tokens.md"
PIECES = [
    "a b",
    "[1]",
    '"',
    "\\",
    "\\n",
    "\n",
    "\t",
    "a | b",
    "\u3000",
    "",
    "王",
    "null",
    " x ",
    ", ",
]  # what separates


@pytest.fixture
def spaced(tmp_path):
    """A store whose tokenizer splits #k into PIECES up to the k-th: every token is unreachable."""
    from kotovec.store.terms import Lookup
    from kotovec.store.tokenizer import Tokenizer

    names = [f"#{number}" for number in range(len(PIECES))]
    path = stores.write_store(
        tmp_path / "spaced.kotovec", stores.make_tokens([*names, *PIECES]), np.eye(2 * len(names))
    )

    def pieces(text):
        return PIECES[: int(text.rpartition("#")[2]) + 1] if re.fullmatch(r"#\d+", text) else ["?"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lookup, "tokenize", Tokenizer(path, pieces), raising=False)
        yield path


def test_pieces_are_an_array_in_tab_separated_values_and_are_read_back(capsys, spaced):
    """By `csv`, by pandas and by pyarrow, as docs/tokens.md says; texts, too."""
    arguments = ("--tsv", "--columns", "id,text,pieces", "-n", len(PIECES) * 2)
    answer = call(capsys, "tokens", "--store", spaced, *arguments)
    assert answer.code == 0, answer.err
    expected = [PIECES[: number + 1] for number in range(len(PIECES))]

    (block,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    documented = {"file": io.StringIO(answer.out)}
    exec(block, documented)  # noqa: S102 — the code of the documentation
    lines = list(csv.reader(io.StringIO(answer.out), delimiter="\t"))[1:]
    assert [json.loads(line[2]) for line in lines][: len(PIECES)] == expected
    assert [documented["text"](line[1]) for line in lines][len(PIECES) :] == PIECES
    frame = documented["frame"]
    assert frame["pieces"].tolist()[: len(PIECES)] == expected
    assert frame["text"].tolist()[len(PIECES) :] == PIECES
    arrow = pytest.importorskip("pyarrow.csv")
    options = arrow.ParseOptions(delimiter="\t"), arrow.ConvertOptions(strings_can_be_null=False)
    table = arrow.read_csv(io.BytesIO(answer.out.encode()), parse_options=options[0], convert_options=options[1])
    assert [json.loads(each) for each in table["pieces"].to_pylist()][: len(PIECES)] == expected


def test_pieces_are_lists_in_parquet_also_where_there_are_none(capsys, spaced, path, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = ("--columns", "id,pieces")
    file = tmp_path / "tokens.parquet"
    for arguments in ((), ("nothing has this",)):
        assert call(capsys, "tokens", "--store", spaced, *arguments, *columns, "--parquet", file).code == 0
        table = parquet.read_table(file)
        assert table.schema.field("pieces").type == pyarrow.list_(pyarrow.string())
        assert table.to_pylist() == listed(capsys, spaced, *arguments, *columns)
    assert call(capsys, "audit", "--store", spaced, "--indicator", "norm", "-q", "--parquet", file).code == 0
    table = parquet.read_table(file)
    assert table["pieces"].to_pylist()[: len(PIECES)] == [PIECES[: number + 1] for number in range(len(PIECES))]
    pandas = pytest.importorskip("pandas")
    assert list(pandas.read_parquet(file)["pieces"][3]) == PIECES[:4]


def test_a_table_shows_pieces_in_the_notation(capsys, spaced):
    answer = call(capsys, "tokens", "--store", spaced, "#8", "--columns", "pieces")
    assert answer.out.splitlines()[-1].strip() == r'a␣b | [1] | " | \\ | \\n | \n | \t | a␣|␣b | \u3000'
    audit = call(capsys, "audit", "--store", spaced, "-n", 99)
    rows = [line.split(maxsplit=2) for line in audit.out.splitlines()]
    assert ["8", "#8", r'a␣b | [1] | " | \\ | \\n | \n | \t | a␣|␣b | \u3000'] in rows


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


def test_the_rows_of_a_listing_are_data_for_json(demo_static):
    with Store.open(demo_static) as store:
        rows = list_tokens(store, Selection("王"), columns=["id", "token"]).rows()
    assert json.loads(json.dumps(rows)) == rows
    assert rows[0] == {"id": 1909, "token": "王"}
