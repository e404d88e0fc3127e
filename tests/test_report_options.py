"""`kotovec report` with the options of `kotovec evaluate`: they are passed on, and stand in the commands."""

import json
import re
import shlex

import pytest

import kotovec
from kotovec.cli.report_sections import usual_expression
from kotovec.cli.report_texts import ENGLISH, JAPANESE

from commands import call, make_store

ANALOGIES = ": family\nman woman king queen\nboy girl prince princess\nman woman prince princess\n"
# In the first columns, words that the store does not have.
PAIRS = "x\ty\tscore\tfirst\tsecond\nzzz\tzzz\t{}\tman\twoman\n" + "zzz\tzzz\t{}\t{}\t{}\n" * 4
VECTORS = "6 2\nking 1 0\nqueen 1 1\nman 0 0.5\nwoman 0.5 0.5\nboy 0 2\ngirl 3 0.5\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A vocabulary, an imported store with fewer words, and data sets."""
    from kotovec.cli.app import run

    found = tmp_path_factory.mktemp("options")
    make_store(found / "words.kotovec")
    (found / "few.vec").write_text(VECTORS)
    assert run(["convert", str(found / "few.vec"), str(found / "few.kotovec")]) == 0
    words = (8, 9, "king", "queen", 7, "boy", "girl", 1, "king", "girl", 2, "prince", "princess")
    (found / "pairs.tsv").write_text(PAIRS.format(*words))
    (found / "questions.txt").write_text(ANALOGIES)
    return found


@pytest.fixture
def report(capsys, folder, monkeypatch):
    """Make a report of both stores; return its sections by name."""
    monkeypatch.chdir(folder)

    def made(*options, stores=("words.kotovec", "few.kotovec")):
        answer = call(capsys, "report", *stores, "--out", "a.json", "-q", *options)
        assert (answer.code, answer.err) == (0, "")
        return {each["name"]: each for each in json.loads((folder / "a.json").read_text())["sections"]}

    return made


def test_common_asks_all_stores_the_same_and_the_command_has_it(report, capsys):
    apart = report("--pairs", "pairs.tsv", "--columns", "first,second,score", "--analogies", "questions.txt")
    assert [row[1] for row in apart["pairs"]["tables"][0]["rows"]] == [5, 5, 5, 4]
    assert [row[1] for row in apart["analogies"]["tables"][0]["rows"]] == [3, 3, 3, 1]
    assert ENGLISH["apart"] in apart["pairs"]["lines"]
    options = ("--pairs", "pairs.tsv", "--columns", "4,5,3", "--common", "--seed", 3, "--analogies", "questions.txt")
    common = report(*options)
    for name, asked in (("pairs", 4), ("analogies", 1)):
        assert {row[1] for row in common[name]["tables"][0]["rows"]} == {asked}
        assert ENGLISH["apart"] not in common[name]["lines"]
    assert "words, few: 4 of 5 pairs asked, as 2 of 8 words are missing (2 unknown)." in common["pairs"]["lines"]
    spaces = "--store words.kotovec --store few.kotovec --space static,isolated@0,isolated@2,imported"
    (pairs,), (analogies,) = common["pairs"]["commands"], common["analogies"]["commands"]
    assert pairs == f"kotovec evaluate pairs pairs.tsv {spaces} --columns 4,5,3 --common --seed 3"
    assert analogies == f"kotovec evaluate analogies questions.txt {spaces} --common --seed 3"
    lines = [json.loads(line) for line in call(capsys, *shlex.split(pairs)[1:], "--json").out.splitlines()]
    assert [row[2] for row in common["pairs"]["tables"][0]["rows"]] == [each["spearman"]["value"] for each in lines]


def test_multi_takes_words_of_several_tokens_and_the_command_has_it(report, capsys, folder):
    (folder / "several.tsv").write_text("king\tqueens\t9\nking\tqueen\t8\nboy\tgirl\t7\nking\tgirl\t2\n")
    skipped = report("--pairs", "several.tsv", stores=["words.kotovec"])["pairs"]
    line = "words: 3 of 4 pairs asked, as 1 of 5 words are missing (1 of several tokens)."
    assert line in skipped["lines"]
    meant = report("--pairs", "several.tsv", "--multi", "mean", stores=["words.kotovec"])["pairs"]
    assert "words: all 4 pairs asked." in meant["lines"]
    (command,) = meant["commands"]
    assert command.endswith(" --multi mean")
    lines = [json.loads(line) for line in call(capsys, *shlex.split(command)[1:], "--json").out.splitlines()]
    assert [row[2] for row in meant["tables"][0]["rows"]] == [each["spearman"]["value"] for each in lines]


@pytest.mark.parametrize(("language", "texts"), [("en", ENGLISH), ("ja", JAPANESE)])
def test_a_store_that_cannot_be_asked_has_a_sentence_in_the_language(report, folder, language, texts):
    (folder / "other.tsv").write_text("prince\tprincess\t9\nprince\tboy\t3\nprincess\tgirl\t2\n")
    lines = report("--pairs", "other.tsv", "--language", language)["pairs"]["lines"]
    assert texts["no_pairs"].format(store="few") in lines
    assert texts["all_pairs"].format(store="words", items="3") in lines


def test_an_unknown_policy_is_refused(capsys, folder):
    data = ("--pairs", folder / "pairs.tsv")
    answer = call(capsys, "report", folder / "words.kotovec", "--out", folder / "a.md", "--multi", "all", *data)
    assert answer.code == 2
    assert answer.err == "error: unknown policy `all` for words of several tokens\nhint: choose `skip` or `mean`\n"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--columns", "1,2,3"), "--columns is for word pairs, and none are named\nhint: add --pairs FILE"),
        (("--analogies", "questions.txt", "--columns", "1,2,3"), "--columns is for word pairs, and none are named"),
        (("--common",), "--common is for data sets, and none is named\nhint: add --pairs FILE or --analogies FILE"),
        (("--seed", 1), "--seed is for data sets, and none is named"),
    ],
)
def test_an_option_that_nothing_would_read_is_refused(capsys, folder, monkeypatch, options, problem):
    monkeypatch.chdir(folder)
    answer = call(capsys, "report", "words.kotovec", "--out", "refused.md", *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {problem}\n")
    assert not (folder / "refused.md").exists()


def test_the_usual_expression_is_the_one_that_more_stores_have():
    english, japanese, both, neither = (
        {"king", "man", "woman"},
        {"王", "男", "女"},
        {*"王男女", "king", "man", "woman"},
        {""},
    )
    for stores, language, expected in [
        ([english], "ja", "king - man + woman"),
        ([japanese], "en", "王 - 男 + 女"),
        ([both], "en", "king - man + woman"),
        ([both], "ja", "王 - 男 + 女"),
        ([both, japanese], "en", "王 - 男 + 女"),
        ([neither], "en", "king - man + woman"),
    ]:
        assert usual_expression(stores, language) == expected


def test_options_are_not_broken_behind_their_hyphens(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert call(capsys, "report", "words.kotovec", "--out", "a.html").code == 0
    commands = re.findall("<pre.*?</pre>", (folder / "a.html").read_text(), re.DOTALL)
    assert "<span>--rank</span> queen <span>--exclude-inputs</span>\n" in commands[0]
    assert "king - man + woman" in commands[0]


def test_a_target_without_a_rank_says_why(report, capsys, folder):
    with kotovec.open(folder / "few.kotovec") as store:
        (rank,) = store.ranks("king", ["zebra"])
    lines = report("--expression", "king", "--target", "zebra", stores=("few.kotovec",))["expression"]["lines"]
    assert rank.note.startswith("`zebra` has no rank: ")
    assert lines[1:] == [f"few: {rank.note}."]
    for name in ("--target", "--expression"):
        answer = call(capsys, "report", "few.kotovec", "--out", "b.json", name, " ")
        assert (answer.code, answer.err) == (2, f"error: {name} is empty\nhint: name one, or leave it out\n")
