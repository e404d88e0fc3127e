"""`kotovec audit`: duplicates, families, counts, and the report as a table, JSON, Parquet and a page."""

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from kotovec.errors import DamagedError, InputError
from kotovec.store import Store
from kotovec.store.audit import audit
from kotovec.store.families import find_duplicates, find_families
from kotovec.store.listing import list_tokens
from kotovec.store.tokens import Marking
from kotovec.store.vectors import Vectors

from commands import call
from stores import ODD, make_tokens, write_store
from tokenized import NO_LAYERS


@pytest.fixture(scope="module")
def found(demo_static):
    with Store.open(demo_static) as store:
        return audit(store)


def test_the_audit_of_the_demo(found):
    data = found.as_dict()
    assert data["tokens"] == 30_522
    assert data["reach"] | {"alone": 23_694, "inside": 5492, "unreachable": 337} == data["reach"]
    assert (data["indicator"], len(data["references"]["unused"])) == ("component", 994)
    assert len(data["candidates"]) == 584  # 2 % of 29,186 that a text can have
    values = [each["value"] for each in data["candidates"]]
    assert values == sorted(values)
    assert values[-1] <= data["threshold"]
    assert data["unreachable"][0] == {"id": 2133, "token": "...", "pieces": [".", ".", "."]}
    assert data["duplicates"] == []
    assert json.loads(json.dumps(data)) == data


def test_the_counts_by_kind_and_script_add_up(found):
    for column in ("kind", "script"):
        rows = found.counts(column)
        assert sum(row["tokens"] for row in rows) == 30_522
        assert sum(row["candidates"] for row in rows) == 584
        assert sum(row["references"] for row in rows) == 994
        assert sum(row["unreachable"] for row in rows) == 337
        assert sum(row["families"] for row in rows) == len(found.families) == 2808
        assert {row[column]: row["tokens"] for row in rows} == Counter(found.table.values[column])
    han = next(row for row in found.counts("script") if row["script"] == "Han")
    assert (han["tokens"], han["unreachable"]) == (494, 244)  # four of them are ⺩ and ⺼, which are no letters
    norms = found.table.values["norm"]
    rows = [row for row, script in enumerate(found.table.values["script"]) if script == "Han"]
    assert han["median_norm"] == pytest.approx(float(np.median(norms[rows])))


def test_no_candidate_is_unreachable_or_a_reference(found):
    reached = found.table.values["reach"]
    assert {reached[row] for row in found.candidates} <= {"alone", "inside"}
    assert not found.table.values["reference"][found.candidates].any()
    assert found.table.values["candidate"].sum() == len(found.candidates)


def test_duplicates_are_equal_to_the_last_bit():
    vectors = np.random.default_rng(0).standard_normal((3000, 5)).astype(np.float32)
    vectors[[2999, 17]] = vectors[4]
    vectors[100] = vectors[99]
    vectors[200] = np.nextafter(vectors[199], np.float32(9))
    assert find_duplicates(vectors) == [[4, 17, 2999], [99, 100]]


def test_families_are_what_differs_in_mark_case_or_form():
    texts = ["▁king", "king", "King", "▁KING", "ｋｉｎｇ", "queen", "▁ﬁne", "▁fine", "▁ß", "ss", "1", "▁1"]
    tokens = make_tokens(texts, marking=Marking.METASPACE)
    vectors = np.random.default_rng(0).standard_normal((len(texts), 3)).astype(np.float32)
    families = find_families(tokens, vectors)
    pairs = zip(families.first.tolist(), families.other.tolist(), families.relations, strict=True)
    assert sorted((texts[first], texts[other], relation) for first, other, relation in pairs) == sorted(
        [
            ("▁king", "king", "mark"),
            ("▁king", "King", "mark+case"),
            ("▁king", "▁KING", "case"),
            ("▁king", "ｋｉｎｇ", "mark+form"),
            ("▁ﬁne", "▁fine", "form"),
            ("▁ß", "ss", "mark+case"),
            ("1", "▁1", "mark"),
        ]
    )
    left, right = (vectors[rows].astype(np.float64) for rows in (families.first, families.other))
    products = (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
    np.testing.assert_allclose(families.cosine, 1 - products, atol=1e-12)
    np.testing.assert_allclose(families.l2, np.linalg.norm(left - right, axis=1), atol=1e-12)
    summary = {row["relation"]: row for row in families.summary()}
    assert summary["mark"]["pairs"] == 2
    both = families.cosine[[relation == "mark" for relation in families.relations]]
    assert summary["mark"]["median"] == pytest.approx(float(np.median(both)))


def test_the_table_has_the_family_of_each_token_with_its_distances(found):
    """By script and kind, the median of the distances is that of the pairs; the first of a family has none."""
    table, families = found.table.values, found.families
    assert table["family"][families.other].tolist() == table["id"][families.first].tolist()
    np.testing.assert_array_equal(table["family_cosine"][families.other], families.cosine)
    np.testing.assert_array_equal(table["family_l2"][families.other], families.l2)
    assert [table["relation"][row] for row in families.other] == families.relations
    assert np.isnan(table["family_cosine"][families.first]).all()
    assert sum(relation is not None for relation in table["relation"]) == len(families)
    rows = {row["kind"]: row for row in found.counts("kind")}
    kinds = np.array(table["kind"])[families.other]
    assert rows["subword"]["families"] == (kinds == "subword").sum()
    assert rows["subword"]["family_cosine"] == pytest.approx(np.median(families.cosine[kinds == "subword"]))
    assert (rows["special"]["families"], rows["special"]["family_cosine"]) == (0, None)


def odd_store(folder):
    """A store of hostile texts, in which one vector stands twice; it has no tokenizer."""
    tokens = make_tokens(["[unused0]", *ODD, *(f"word{number}" for number in range(100))])
    vectors = np.random.default_rng(3).standard_normal((len(tokens), 8)).astype(np.float32)
    vectors[2] = vectors[1]
    vectors[20] = 0
    return write_store(folder, tokens, vectors, NO_LAYERS, layers=())


@pytest.fixture
def odd(tmp_path):
    return odd_store(tmp_path / "odd.kotovec")


class Page(HTMLParser):
    """The tags of a page, their attributes, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.links = Counter(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.links += [(name, value) for name, value in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_one_file_without_scripts_whatever_the_tokens_are(capsys, odd, tmp_path):
    file = tmp_path / "audit.html"
    answer = call(capsys, "audit", "--store", odd, "--html", file)
    assert answer.code == 0, answer.err
    text = file.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.links == [("href", "https://arxiv.org/abs/2405.05417")]
    assert "default-src 'none'" in text
    assert " | ".join(each.replace(" ", "␣") for each in ODD[:2]) in page.texts  # their vectors are equal
    assert "\u2028" not in text


def test_a_store_without_a_tokenizer_is_audited_without_reach(capsys, odd):
    data = json.loads(call(capsys, "audit", "--store", odd, "--json").out)
    assert data["reach"] is None
    assert "what a text can have is left out: " in data["notes"][0]
    assert [[each["id"] for each in group] for group in data["duplicates"]] == [[1, 2]]
    assert data["references"] == {"unused": [0], "impossible": [], "named": [], "rows_without_token": 0}
    assert len(data["candidates"]) == 3


def test_the_tables_are_cut_where_n_says(capsys, odd):
    answer = call(capsys, "audit", "--store", odd, "-n", "2")
    assert answer.code == 0
    assert "Candidates, least trained first, the first 2" in answer.out
    assert "Vectors that are equal" in answer.out
    assert (
        "reference rows      1 token named as unused" in " ".join(answer.out.split(" "))
        or "1 token named as unused" in answer.out
    )
    assert answer.err.startswith("note: what a text can have is left out: ")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u2028]", answer.out)


def test_references_can_be_named_and_the_indicator_chosen(capsys, odd):
    arguments = ("audit", "--store", odd, "--json", "--reference", "#5,6", "--indicator", "cosine")
    data = json.loads(call(capsys, *arguments).out)
    assert (data["references"]["named"], data["indicator"]) == ([5, 6], "cosine")
    assert not {5, 6} & {each["id"] for each in data["candidates"]}


def test_parquet_has_a_row_per_token(capsys, odd, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    answer = call(capsys, "audit", "--store", odd, "--quiet", "--parquet", tmp_path / "a.parquet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    frame = pandas.read_parquet(tmp_path / "a.parquet")
    assert len(frame) == 101 + len(ODD)
    assert frame.loc[frame["duplicate"] >= 0, "id"].tolist() == [1, 2]
    assert frame.loc[20, ["norm", "cosine", "component"]].tolist() == [0, 1, 1]
    with Store.open(odd) as store:
        same = audit(store).to_pandas()
    pandas.testing.assert_frame_equal(frame, same, check_dtype=False)
    assert same.attrs["indicator"] == "component"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--indicator", "size"], "unknown indicator `size`"),
        (["--reference", "king"], "`king` is no token id"),
        (["--reference", "9999"], "holds no token #9999"),
        (["--html", "nowhere/a.html"], "there is no folder nowhere"),
        (["-n", "-3"], "-n is -3"),
        (["-n", "0"], "-n is 0\nhint: use 1 or more"),
        (["--space", "isolated"], "isolated is not in this store"),
    ],
)
def test_what_cannot_be_used_is_one_line(capsys, odd, arguments, said):
    answer = call(capsys, "audit", "--store", odd, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert re.fullmatch(r"error: \S.*\n(hint: \S.*\n)?", answer.err)


def test_without_references_a_note_says_what_norms_are_worth(capsys, tmp_path):
    tokens = make_tokens([f"t{n}" for n in range(60)])
    vectors = np.random.default_rng(3).standard_normal((60, 8))
    path = write_store(tmp_path / "a.kotovec", tokens, vectors, NO_LAYERS, layers=())
    answer = call(capsys, "audit", "--store", path)
    assert "none found" in answer.out
    assert "note: no reference rows were found" in answer.err
    assert "equal" not in answer.err
    vectors[[50, 55]] = vectors[9]
    path = write_store(tmp_path / "b.kotovec", tokens, vectors, NO_LAYERS, layers=())
    note = "rows that are equal are often untrained: see what --reference 9,50,55 finds"
    assert note in " ".join(call(capsys, "audit", "--store", path).err.split())
    asked = call(capsys, "audit", "--store", path, "--indicator", "component")
    assert "error: no reference rows for the indicator component" in asked.err


def test_mecab_is_named_where_it_may_hide_words(japanese, tmp_path):
    texts = ["[UNK]", "王", "女王", "##・"]
    tokens = make_tokens(texts, special=["[UNK]"])
    path = write_store(tmp_path / "a.kotovec", tokens, np.eye(4), NO_LAYERS, layers=())
    shutil.copytree(japanese / "tokenizer", path / "tokenizer")
    with Store.open(path) as store:
        found = audit(store)
    assert found.as_dict()["unreachable"] == [{"id": 3, "token": "##・", "pieces": ["・"]}]
    assert found.notes[0].startswith("MeCab splits a text into words first: ")


def test_without_a_space_the_usual_one_is_meant_as_in_a_search(capsys, tmp_path):
    """`static` or, without it, the first one, from Python and on the command line; coverage has no space."""
    random = np.random.default_rng(1)
    tokens = make_tokens(["[unused0]", "[unused1]", *(f"t{number}" for number in range(60))])
    static, inner, last = random.standard_normal((3, 62, 8)).astype(np.float32)
    with_static = write_store(tmp_path / "a.kotovec", tokens, static, np.stack([inner, last]), layers=(0, 6))
    path = write_store(tmp_path / "b.kotovec", tokens, static, np.stack([inner, last]), layers=(0, 6))
    for file in (path / "spaces").glob("static*"):
        file.unlink()
    for folder, expected in ((with_static, "static"), (path, "isolated@6")):
        with Store.open(folder) as store:
            assert str(store.search("t1", k=1).space) == expected
            assert str(list_tokens(store, columns=["id", "norm"]).space) == str(audit(store).space) == expected
            assert str(list_tokens(store, space="isolated@0", columns=["id"]).space) == "isolated@0"
            assert str(audit(store, space="isolated@0").space) == "isolated@0"
            norms = np.linalg.norm(store.array(expected).astype(np.float64), axis=1)
            np.testing.assert_allclose(list_tokens(store, columns=["norm"]).table.values["norm"], norms, rtol=1e-6)
        assert json.loads(call(capsys, "audit", "--store", folder, "--json").out)["space"] == expected
        rows = [json.loads(line) for line in call(capsys, "tokens", "--store", folder, "--json").out.splitlines()]
        assert [row["norm"] for row in rows] == pytest.approx(norms.tolist(), rel=1e-6)


def test_words_of_a_list_are_not_audited(odd):
    with Store.open(odd) as store:
        object.__setattr__(store.tokens, "pieces", ())
        with pytest.raises(InputError, match="words of a list, and not tokens"):
            audit(store)


def rows_without_token(monkeypatch, vectors):
    """Let every store have rows #900, #901, … without a token."""
    part = Vectors.part
    made = {"unnamed": vectors, "unnamed_id": np.arange(900, 900 + len(vectors))}
    monkeypatch.setattr(Vectors, "part", lambda self, space, name: made.get(name, part(self, space, name)))


def test_a_row_without_a_token_that_is_not_finite_is_left_out_with_a_note(odd, monkeypatch):
    vectors = np.ones((3, 8), dtype=np.float32)
    rows_without_token(monkeypatch, vectors[[0, 2]])
    with Store.open(odd) as store:
        expected = audit(store).table.values["component"]
    vectors[1, 3] = np.nan
    rows_without_token(monkeypatch, vectors)
    with Store.open(odd) as store:
        found = audit(store)
    assert found.unnamed == 2
    assert found.notes[0] == "1 row without a token left out, as a number is not finite: #901"
    np.testing.assert_array_equal(found.table.values["component"], expected)


def test_a_row_without_a_token_can_be_named_as_a_reference(odd, monkeypatch):
    rows_without_token(monkeypatch, np.eye(3, 8, dtype=np.float32))
    with Store.open(odd) as store:
        found = audit(store, reference=[901, 5], indicator="cosine")
        vectors = store.array("static").astype(np.float64)
    assert (found.unnamed, found.references.named.tolist()) == (1, [5])
    target = (np.eye(3, 8)[1] + vectors[5]) / 2
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(target)
    cosines = np.divide(vectors @ target, lengths, out=np.zeros(len(vectors)), where=lengths > 0)
    np.testing.assert_allclose(found.table.values["cosine"], 1 - cosines, atol=1e-12)


def test_a_tokenizer_that_is_gone_is_said_to_be_missing(bytelevel, tmp_path):
    path = shutil.copytree(bytelevel, tmp_path / "a.kotovec")
    with Store.open(path) as store:
        store.lookup.files = {"tokenizer.json": "0"}
        shutil.rmtree(path / "tokenizer")
        with pytest.raises(DamagedError, match="tokenizer is missing") as caught:
            store.lookup.pieces(["a"])
    assert caught.value.hint == "build the store again with --overwrite"
