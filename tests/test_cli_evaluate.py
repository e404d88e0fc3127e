"""`kotovec evaluate analogies`: its table, its JSON and its details."""

import json
import re

import pytest

from kotovec.store import Store

from commands import ROOT, call, make_store

FAMILY = ": family\nman woman king queen\nboy girl prince princess\nking kings man men\n"
PAIRS = [("man", "woman"), ("king", "queen"), ("boy", "girl"), ("prince", "princess"), ("男", "女"), ("王", "女王")]
JAPANESE = ": 日本語\n男 女 王 女王\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("evaluate") / "words.kotovec")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(FAMILY + JAPANESE, encoding="utf-8")
    return path


def rank_by_search(store, b, a, a_star, answer):
    """The rank of the answer to `b - a + a_star` as `kotovec query` finds it."""
    with Store.open(store) as opened:
        options = {"metric": "cosine", "exclude_inputs": True, "unit_terms": True, "k": 10}
        found = opened.search(f"{b} - {a} + {a_star}", **options)
    return 1 + [hit.token for hit in found.results].index(answer)


def fields(line):
    return re.split("  +", line.strip())


def test_the_table_has_what_was_asked_and_where_the_answers_are(capsys, store, file):
    answer = call(capsys, "evaluate", "analogies", file, "--store", store, "--space", "static,isolated")
    assert (answer.code, answer.err) == (0, "")
    title, head, _, *rows = answer.out.splitlines()
    assert title == (
        "questions: 4 questions, 3 asked; 2 of 14 words missing (1 unknown, 1 of several tokens); --multi skip, "
        "words as they are"
    )
    score = ["@1", "95 %", "@5", "@10", "1/rank", "95 %"]
    assert fields(head) == ["space", "measure", "asked", *score, "difference", "95 %"]
    names = [["static", "3cosadd"], ["static", "only-b"], ["isolated@2", "3cosadd"], ["isolated@2", "only-b"]]
    assert [fields(row)[:2] for row in rows[:4]] == names
    asked = [("king", "man", "woman", "queen"), ("prince", "boy", "girl", "princess"), ("王", "男", "女", "女王")]
    ranks = [rank_by_search(store, *words) for words in asked]
    share = f"{ranks.count(1) / 3:.3f}"
    assert fields(rows[0]) == [
        "static", "3cosadd", "3", share, "—", *fields(rows[0])[5:7], f"{sum(1 / rank for rank in ranks) / 3:.3f}", "—",
        "—", "—",
    ]  # fmt: skip
    assert fields(rows[2])[9] == f"{float(fields(rows[2])[3]) - float(share):+.3f}"
    title, head, _, *rows = rows[4:]
    assert title == "questions, with the words of the question among the rows"
    assert fields(head) == ["space", "measure", *score, "b", "a*", "a", "other"]
    assert [fields(row)[:2] for row in rows] == names
    assert sum(map(float, [fields(rows[0])[2], *fields(rows[0])[-4:]])) == pytest.approx(1, abs=0.002)
    assert fields(rows[1])[-4:] == ["1.000", "0.000", "0.000", "0.000"]


def test_one_space_is_compared_to_none(capsys, store, file):
    answer = call(capsys, "evaluate", "analogies", file, "--store", store)
    assert "difference" not in answer.out


def test_means_of_several_tokens_are_asked_and_are_no_answers(capsys, store, tmp_path):
    path = tmp_path / "several.txt"
    path.write_text(": c\nking kings man woman\nking queen man kings\n")
    title = call(capsys, "evaluate", "analogies", path, "--store", store, "--multi", "mean").out.splitlines()[0]
    assert title == (
        "several: 2 questions, 1 asked; 0 of 5 words missing; --multi mean, answers of one token, words as they are"
    )


def test_a_data_set_of_one_category_has_the_interval_of_its_pairs(capsys, store, tmp_path):
    path, pairs = tmp_path / "one.txt", [("man", "woman"), ("king", "queen"), ("boy", "girl"), ("prince", "princess")]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    found = json.loads(call(capsys, "evaluate", "analogies", path, "--store", store, "--json").out.splitlines()[0])
    score = found["without_inputs"]["reciprocal"]
    assert found["asked"] == 12
    assert score["low"] < score["value"] < score["high"]
    assert found["categories"]["one"]["without_inputs"] == found["without_inputs"]


def test_every_category_has_a_table_if_asked_for(capsys, store, file):
    answer = call(capsys, "evaluate", "analogies", file, "--store", store, "--categories", "--measure", "3cosadd")
    titles = [line for line in answer.out.splitlines() if line.startswith("questions")]
    assert titles[2:] == ["questions, family: 2 asked", "questions, 日本語: 1 asked"]
    reciprocal = 1 / rank_by_search(store, "王", "男", "女", "女王")
    assert fields(answer.out.splitlines()[-2])[6] == f"{reciprocal:.3f}"


def test_json_has_a_stable_schema_and_details_have_every_question(capsys, store, file, tmp_path):
    details = tmp_path / "d.jsonl"
    options = ["--measure", "3cosadd", "--measure", "l2", "--json", "--details", details]
    answer = call(capsys, "evaluate", "analogies", file, "--store", store, *options)
    assert (answer.code, answer.err) == (0, f"9 items written to {details}\n")
    add, squared, base = map(json.loads, answer.out.splitlines())
    assert list(add) == [
        "task", "data", "store", "space", "measure", "questions", "asked", "words", "unknown", "several", "absent",
        "without_inputs", "among_all", "landed", "categories", "multi", "lower", "common", "seed",
    ]  # fmt: skip
    assert (add["measure"], squared["measure"], base["measure"]) == ("3cosadd", "l2", "only-b")
    assert (add["questions"], add["asked"]) == (4, 3)
    assert list(add["among_all"]) == [
        "questions", "accuracy@1", "accuracy@5", "accuracy@10", "reciprocal", "difference"
    ]  # fmt: skip
    assert set(add["among_all"]["accuracy@5"]) == set(add["among_all"]["reciprocal"]) == {"value", "low", "high"}
    assert list(add["categories"]) == ["family", "日本語"]
    assert set(add["landed"]) == {"answer", "b", "a*", "a", "other"}
    lines = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    assert [line["measure"] for line in lines] == ["3cosadd"] * 3 + ["l2"] * 3 + ["only-b"] * 3
    first = lines[0]
    assert (first["a"], first["a_star"], first["b"], first["answers"]) == ("man", "woman", "king", ["queen"])
    assert (first["category"], first["space"]) == ("family", "static")
    assert first["without_inputs"] == rank_by_search(store, "king", "man", "woman", "queen")
    ranks = [line["without_inputs"] for line in lines[3:6]]
    assert squared["without_inputs"]["reciprocal"]["value"] == pytest.approx(sum(1 / rank for rank in ranks) / 3)
    landed = [line["first"] for line in lines[3:6]].count("queen")
    assert landed / 3 <= squared["landed"]["answer"]


def test_a_measure_that_is_unknown_and_questions_that_nobody_can_answer_are_errors(capsys, store, file, tmp_path):
    answer = call(capsys, "evaluate", "analogies", file, "--store", store, "--measure", "l1")
    assert (answer.code, answer.err.splitlines()[0]) == (2, "error: unknown measure `l1`")
    assert answer.err.splitlines()[1].startswith("hint: choose `all`, `3cosadd`, `only-b`")
    none = tmp_path / "none.txt"
    none.write_text("a b c d\n")
    answer = call(capsys, "evaluate", "analogies", none, "--store", store)
    assert answer.code == 2
    assert answer.err.startswith("error: words: no question of 1 has all its words in all spaces\nhint: use --lower")


def test_measures_that_learn_from_the_other_pairs_are_asked_each_pair(capsys, store, file, tmp_path):
    details = tmp_path / "d.jsonl"
    options = ["--measure", "all", "--details", details, "-q"]
    answer = call(capsys, "evaluate", "analogies", file, "--store", store, *options)
    assert (answer.code, answer.err) == (0, "")
    rows = {fields(row)[1]: fields(row)[2] for row in answer.out.splitlines()[3:10]}
    assert rows == {
        "3cosadd": "3", "only-b": "3", "l2": "3", "3cosmul": "3", "pairdirection": "3", "3cosavg": "6", "lrcos": "6"
    }  # fmt: skip
    lines = [json.loads(line) for line in details.read_text(encoding="utf-8").splitlines()]
    words = [(line["a"], line["b"], line["answers"]) for line in lines if line["measure"] == "lrcos"]
    assert words == [(None, b, [answer]) for b, answer in PAIRS]


def test_details_in_parquet_are_those_of_json_lines(capsys, store, file, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    lines, table = tmp_path / "d.jsonl", tmp_path / "d.parquet"
    for details in (lines, table):
        options = ["--store", store, "--measure", "3cosavg,lrcos,only-b", "--details", details]
        assert call(capsys, "evaluate", "analogies", file, *options).code == 0
    found = parquet.read_table(table)
    assert found.to_pylist() == [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    kinds = dict(zip(found.schema.names, map(str, found.schema.types), strict=True))
    assert (kinds["a"], kinds["among_all"], kinds["without_inputs"]) == ("string", "int64", "int64")
    assert kinds["answers"].startswith("list<")


def test_the_page_has_the_numbers_of_the_demo(capsys, demo_static):
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    answer = call(capsys, "evaluate", "pairs", "simlex999", "--store", demo_static)
    assert (answer.code, answer.err) == (0, "")
    title, _, _, row = answer.out.splitlines()
    shown = page.partition(f"{title}\n")[2].splitlines()
    assert fields(shown[2])[:5] == fields(row)


def test_the_page_has_the_seconds_and_the_memory_that_were_measured():
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    record = json.loads((ROOT / "benchmarks" / "results" / "evaluate.json").read_text(encoding="utf-8"))
    assert all(promise["holds"] for promise in record["promises"])
    for label, numbers in record["measured"].items():
        measure, rows = label.removesuffix(" rows").split(" among ")
        values = [numbers[name]["median"] for name in ("seconds", "processors", "allocated", "resident")]
        cells = [rows, measure, *(f"{value:.1f}" for value in values[:2]), *(f"{value:,.0f}" for value in values[2:])]
        assert f"| {' | '.join(cells)} |" in page


def test_data_sets_of_one_name_are_called_by_their_paths(capsys, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("p1/x.txt", "p2/x.txt", "p2/y.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("man\twoman\t8\nking\tqueen\t9\nboy\tgirl\t7\n")
    options = ("--store", store, "--details", "d.jsonl")
    answer = call(capsys, "evaluate", "pairs", "p1/x.txt", "p2/x.txt", "p2/y.txt", *options)
    titles = [line.partition(":")[0] for line in answer.out.splitlines() if ": " in line]
    assert titles == ["p1/x.txt", "p2/x.txt", "y"]
    lines = [json.loads(line)["data"] for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert lines == ["p1/x.txt"] * 3 + ["p2/x.txt"] * 3 + ["y"] * 3
    for name in ("p1/x.txt", "p2/x.txt"):
        (tmp_path / name).write_text("man woman king queen\n")
    answer = call(capsys, "evaluate", "analogies", "p1/x.txt", "p2/x.txt", "--store", store, "--json")
    assert [json.loads(line)["data"] for line in answer.out.splitlines()][::2] == ["p1/x.txt", "p2/x.txt"]
