"""`kotovec report`: the same numbers as the commands that it names, in three formats and two languages."""

import json
import re
import shlex
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import kotovec
from kotovec.cli.app import run
from kotovec.cli.report_texts import ENGLISH, JAPANESE
from kotovec.space import Space

from commands import PROVENANCE, TEXTS, call, environment, make_store, static_vectors
from stores import ODD, add_means, write_odd_store

EXPRESSION = "king - man + woman"
ANALOGIES = ": family\nman woman king queen\nboy girl prince princess\n: 日本語\n男 女 王 女王\n"
PAIRS = "man\twoman\t8\nking\tqueen\t9\nboy\tgirl\t7\nking\tgirl\t1\nprince\t女\t2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with contexts, and data sets beside it."""
    found = tmp_path_factory.mktemp("report")
    path = make_store(found / "words.kotovec")
    counts = np.where(np.arange(len(TEXTS)) % 7 == 0, 0, 2)
    counts[[TEXTS.index(word) for word in re.findall(r"\w+", ANALOGIES + PAIRS) if word in TEXTS]] = 2
    made = {"hosts": 1, "cpus": ["AVX2"], "settings": {"model": "none"}}
    made |= {name: PROVENANCE[name] for name in ("dtype", "device", "finished")}
    add_means(path, Space("context", 2), static_vectors(), counts, made=made)
    (found / "questions.txt").write_text(ANALOGIES, encoding="utf-8")
    (found / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
    return found


@pytest.fixture
def make(capsys, folder, monkeypatch):
    """Make a report; return its text."""
    monkeypatch.chdir(folder)

    def made(name, *options):
        answer = call(capsys, "report", "words.kotovec", "--out", name, *options)
        assert (answer.code, answer.out, answer.err) == (0, f" report  {name}\n", "")
        return (folder / name).read_text(encoding="utf-8")

    return made


DATA = ("--pairs", "pairs.tsv", "--analogies", "questions.txt")


@pytest.fixture
def sections(make):
    return {each["name"]: each for each in json.loads(make("report.json", *DATA))["sections"]}


def test_ranks_and_nearest_tokens_are_those_of_the_store(sections, folder):
    rows = sections["expression"]["tables"][0]["rows"]
    assert [row[0] for row in rows] == [
        f"words {space}" for space in ("static", "isolated@0", "isolated@2", "context@2")
    ]
    with kotovec.open(folder / "words.kotovec") as store:
        for row in rows:
            space = row[0].partition(" ")[2]
            ranks = [
                store.ranks(EXPRESSION, ["queen"], space=space, exclude_inputs=each)[0].rank for each in (False, True)
            ]
            hits = store.search(EXPRESSION, space=space, k=5, exclude_inputs=True).results
            assert row[1:] == [*ranks, *(hit.token for hit in hits)]


def test_every_command_runs_when_pasted_and_has_the_numbers(sections, capsys):
    found = {}
    for name, section in sections.items():
        assert section["commands"]
        for line in section["commands"]:
            words = shlex.split(line)
            if words[0] == "python":
                done = subprocess.run(
                    [sys.executable, *words[1:]], capture_output=True, text=True, check=True, env=environment()
                )
                found[name] = done.stdout
            else:
                assert words[0] == "kotovec"
                assert run(words[1:]) == 0
                found[name] = found.get(name, "") + capsys.readouterr().out
    for name, section in sections.items():
        for row in section["tables"][0]["rows"]:
            for cell in row[1:]:
                if isinstance(cell, float):
                    assert (repr(cell) if name == "norms" else f"{cell:.3f}") in found[name]


def test_accuracies_stand_beside_their_baseline_with_inputs_in_and_out(sections):
    (table,) = sections["analogies"]["tables"]
    assert table["names"] == [
        "space", "asked", "3CosAdd", "95 %", "3CosAdd, inputs in", "Only-b", "95 %", "Only-b, inputs in"
    ]  # fmt: skip
    assert [row[1] for row in table["rows"]] == [3] * 4
    assert {row[-1] for row in table["rows"]} == {0.0}  # b is its own neighbour


def test_norms_are_medians_of_each_kind(sections):
    rows = {(row[0], row[1]): row[2:] for row in sections["norms"]["tables"][0]["rows"]}
    norms = np.linalg.norm(static_vectors().astype(np.float64), axis=1)
    subwords = [TEXTS.index("##s"), TEXTS.index("##王")]
    assert rows["words static", "subword"] == [2, pytest.approx(np.median(norms[subwords]), rel=1e-6)]


def test_what_is_missing_is_said_in_a_line(make, sections):
    assert sections["context"]["lines"][1].startswith("words holds no self-similarity:")
    text = make("report.md")
    assert "No analogies were asked: `--analogies` names a file, or `google`." in text
    assert "No word pairs were asked: `--pairs` names a file, or `simlex999`." in text


def test_markdown_has_a_table_per_section(make):
    text = make("report.md", *DATA)
    assert text.startswith("# Report on words\n\n## king - man + woman in every space\n")
    assert len(re.findall(r"^\| --- \|", text, re.MULTILINE)) == 5
    assert "| words static | 1 | 1 | queen |" in text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_is_self_contained_and_its_figures_are_described(make, language):
    text = make("report.html", *DATA, "--language", language)
    assert f'<html lang="{language}">' in text
    assert "<script" not in text
    assert not re.search(r"""(src|href)=|url\(|@import""", text)
    assert "default-src 'none'" in text
    figures = [ET.fromstring(figure) for figure in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]  # noqa: S314
    assert len(figures) == 4
    for number, tree in enumerate(figures):
        assert [child.tag for child in tree][:2] == ["title", "desc"]
        assert tree.attrib["aria-labelledby"].split() == [child.attrib["id"] for child in list(tree)[:2]]
        assert all(child.text for child in tree if child.tag in ("title", "desc"))
        texts = {each.text for each in tree.iter("text")}
        assert {"words static", "words context@2"} <= texts if number % 2 == 0 else {"0", "2"} < texts
    captions = re.findall("<figcaption>(.*?)</figcaption>", text)
    assert captions == [{"en": "words isolated by layer", "ja": "words isolated：層ごとの値"}[language]] * 2


def test_both_languages_have_the_same_sentences_and_fields():
    assert list(ENGLISH) == list(JAPANESE)
    for key, text in ENGLISH.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", JAPANESE[key])), key


def test_what_is_typed_is_code_on_the_page(make):
    text = make("report.html", "--language", "ja")
    assert "<code>--analogies</code>にファイルまたは<code>google</code>を指定してください。" in text
    assert "<h2>類推問題</h2>" in text


def test_tokens_of_a_stranger_are_text(capsys, tmp_path):
    path = write_odd_store(tmp_path / "odd.kotovec")
    for name in ("page.html", "page.md"):
        options = ("--expression", "王 + 女", "--target", f'"{ODD[2]}"')
        answer = call(capsys, "report", path, "--out", tmp_path / name, *options)
        assert answer.code == 0
        text = (tmp_path / name).read_text(encoding="utf-8")
        outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        assert not re.search(r"(?<!\\)<(script|img)", outside)


def test_a_store_without_the_words_is_named(capsys, tmp_path):
    path = write_odd_store(tmp_path / "odd.kotovec")
    assert call(capsys, "report", path, "--out", tmp_path / "report.md", "-q").code == 0
    assert "odd: `king` is not" in (tmp_path / "report.md").read_text(encoding="utf-8").replace("\\", "")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "error: no report is named\n"),
        (("--out", "report.pdf"), "error: --out report.pdf is no report\n"),
        (("--out", "report.md", "--language", "de"), "error: unknown language `de`\nhint: choose `en` or `ja`\n"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(capsys, folder, options, problem):
    answer = call(capsys, "report", folder / "words.kotovec", *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(problem)


@pytest.mark.parametrize("expression", ["king -", "(((", "king queen"])
def test_an_expression_that_cannot_be_read_is_an_error_and_no_report(capsys, folder, monkeypatch, expression):
    monkeypatch.chdir(folder)
    answer = call(capsys, "report", "words.kotovec", "--out", "none.md", "--expression", expression)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert "--store" not in answer.err
    assert not (folder / "none.md").exists()
