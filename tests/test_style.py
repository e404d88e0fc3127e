"""The documentation has none of the idioms that docs/style.md warns of."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from kotovec.text import counted

ROOT = Path(__file__).parents[1]
STYLE = ROOT / "docs" / "style.md"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
# What these two print is written in the sources: help texts, in blocks that are searched as well, and docstrings.
GENERATED = {"docs/cli.md", "docs/house.md"}
COUNTED = "(?:actor|core|expression|frame|GPU|line|node|row|second|shard|token|vector|word|worker)"
UNIT = "(?:bytes|frames|jobs|[KMG]B|ms|shards|tokens)"
IDIOMS = [
    rf"\b{COUNTED}s? an? {COUNTED}\b",
    rf"\b{UNIT} an? {COUNTED}\b",
    rf"\ban? {COUNTED} each\b",
    r"\bwhat is whole\b",
    r"\bgo(?:es)? on\b",
    r"\b(?:told|tells)\b",
    r"\banew\b",
    r"\bof the random numbers\b",
    r"\bthere is no (?:metric|space|layer|device)\b",
    r"\b(?:clusters?|machines?) that (?:is|are) there\b",
    r"\bnothing to be said\b",
    r"\bmay and may not\b",
    r"\bmake sure of\b",
    r"\b(?:is to|cannot|can) be had\b",
    r"\bof one's own\b|\bone clicks\b",
    r"\bthings?\b",
]
LETTER = r"[ぁ-んァ-ヶー一-龠]"
JAPANESE = [
    "部分語",
    "符号化",
    "引数なしの",
    rf"{LETTER}[(),]|[(),]{LETTER}",  # brackets and commas are full-width
    rf"{LETTER} \w|\w {LETTER}",  # and there are no spaces between words
]

PLURAL = r"\w\((?:e?s|ies)\)"  # in brackets, as in `2 shard(s)`

# Names that say nothing of what they hold; `Metric.sign` is a sign.
VAGUE = {"place", "places", "told", "there", "one", "once", "thing", "things", "_see", "_think", "_attend"}
FOLDERS = ("kotovec", "cluster", "workers", "store", "cli")
SOURCES = sorted(path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def prose(page):
    """A page on one line, without blocks of code, what stands in backticks, and the table of what to avoid."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page == "docs/style.md":
        text = re.sub(r"\n## Idioms to avoid\n.*?\n(?=## )", "\n", text, flags=re.DOTALL)
    if page not in GENERATED:
        text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(re.sub(r"`[^`\n]*`", "``", text).split())


def found(text, idioms):
    return [match[0] for idiom in idioms for match in re.finditer(idiom, text, re.IGNORECASE)]


@pytest.mark.parametrize("page", [page for page in PAGES if not page.endswith(".ja.md")])
def test_no_page_has_an_idiom_of_the_list(page):
    assert found(prose(page), IDIOMS) == []


def test_the_list_finds_every_idiom_of_the_style_page():
    table = STYLE.read_text(encoding="utf-8").partition("## Idioms to avoid")[2].partition("## ")[0]
    idioms = [idiom for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[1:] for idiom in row.split("; ")]
    assert len(idioms) > 15
    assert [idiom for idiom in idioms if not found(idiom, IDIOMS)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".ja.md")])
def test_the_japanese_page_is_written_in_japanese(page):
    lines = (ROOT / page).read_text(encoding="utf-8")
    lines = re.sub(r"^ *```.*?^ *```", "", lines, flags=re.DOTALL | re.MULTILINE)
    assert found(re.sub(r"\[[^\]]*\]\([^)]*\)|`[^`\n]*`", "``", lines), JAPANESE) == []


@pytest.mark.parametrize("source", SOURCES)
def test_no_docstring_comment_or_message_has_an_idiom_of_the_list(source):
    text = (ROOT / source).read_text(encoding="utf-8")
    kinds = (tokenize.COMMENT, tokenize.STRING)
    prose = [token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type in kinds]
    assert found(" ".join(" ".join(prose).split()), IDIOMS) == []


@pytest.mark.parametrize("source", SOURCES)
def test_no_message_has_a_plural_in_brackets(source):
    """Not `2 shard(s)`: `kotovec.text.counted` writes a number with its noun."""
    text = (ROOT / source).read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    assert [
        token.string for token in tokens if token.type in kinds and re.search(r"\w\((?:e?s|ies)\)", token.string)
    ] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_no_page_has_a_plural_in_brackets(page):
    assert re.findall(PLURAL, (ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("count", "nouns", "text"),
    [
        (0, ("shard",), "0 shards"),
        (1, ("shard",), "1 shard"),
        (2, ("damaged shard",), "2 damaged shards"),
        (1, ("query", "queries"), "1 query"),
        (30_522, ("query", "queries"), "30,522 queries"),
    ],
)
def test_a_number_and_its_noun_agree(count, nouns, text):
    assert counted(count, *nouns) == text


def bound(tree):
    """The names that a module gives to something: variables, arguments, attributes, functions, classes."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


@pytest.mark.parametrize("source", SOURCES)
def test_no_source_has_a_name_that_says_nothing(source):
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
    assert VAGUE & set(bound(tree)) == set()
