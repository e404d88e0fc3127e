"""What is printed on terminals of all widths: broken between words, never inside a word, an option or a command."""

import re
import sys

import numpy as np
import pytest
from rich.cells import cell_len

from kotovec.cli.lines import broken
from kotovec.cli.tables import around
from kotovec.space import Space

import stores
from commands import MAIN, make_store, on_terminal, start

WIDTHS = (40, 60, 80, 200)
LONG = "kotovec query --store demo.kotovec king - man + woman"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 8, ["one two", "  three"]),
        ("one two three", None, ["one two three"]),
        ("one  two\nthree", 20, ["one  two", "three"]),
        (f"run `{LONG}`, then look", 40, ["run", f"  `{LONG}`,", "  then look"]),
        (f"run `{LONG}`, then look", 66, [f"run `{LONG}`, then", "  look"]),
        ("leave --exclude-inputs out", 12, ["leave", "  --exclude-inputs", "  out"]),
        ("王 王王 女女女", 8, ["王 王王", "  女女女"]),
        ("in /a/long/path/of/a/store it is", 12, ["in", "  /a/long/path/of/a/store", "  it is"]),
        ("of `word,subword,special,empty` kinds", 16, ["of `word,", "  subword,", "  special,empty`", "  kinds"]),
        ("an unpaired ` is a word", 14, ["an unpaired `", "  is a word"]),
        ("", 10, [""]),
    ],
)
def test_a_line_is_broken_between_words(text, width, lines):
    assert broken(text, width, follow="  ").split("\n") == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            f"Example: `{LONG}`.",
            ["  Example:", "  `kotovec query \\", "    --store demo.kotovec king - \\", "    man + woman`."],
        ),
        (
            "`kotovec map --label '王 女 男 子 国' -q`",
            ["  `kotovec map \\", "    --label '王 女 男 子 国' -q`"],
        ),
        ("`a command of others, which is long and uncut`", ["  `a command of others, which is long and uncut`"]),
    ],
)
def test_a_long_command_is_continued_where_it_is_to_be_copied(text, lines):
    assert broken(text, 36, indent="  ", commands=True).split("\n") == lines


@pytest.mark.parametrize("width", range(10, 50))
@pytest.mark.parametrize(
    ("expression", "at"),
    [
        ("((king - man) + (queen - woman)) + kingdom", 0),
        ("a + b + c + d + e + f + ) + g + h", 24),
        ("王王王 + 女 ) - 男男男男", 8),
    ],
)
def test_a_caret_stays_under_what_it_points_to(expression, at, width):
    line, caret = around(f"  {expression}", " " * (2 + cell_len(expression[:at])) + "^", width)
    assert cell_len(line) <= width
    column = cell_len(caret) - 1
    shown = next(char for index, char in enumerate(line) if cell_len(line[:index]) == column)
    assert shown == expression[at]
    assert line.strip("… ") in expression


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("narrow") / "words.kotovec")


def shown(store, width, *arguments, named=False):
    command = [sys.executable, "-c", MAIN, *map(str, arguments)]
    return on_terminal(command, width, named=named, KOTOVEC_STORE=str(store), HF_HUB_OFFLINE="1")


MISUSED = {
    "metric": ("query", "--metric", "cosin", "king"),
    "word": ("query", "king - 東京都知事 + woman"),
    "parenthesis": ("query", "((king - man) + (queen - woman)) + (kingdom - king) + )"),
    "model": ("build", "a-model-that-nobody-has"),
    "store": ("query", "--store", "nowhere", "king"),
    "option": ("map", "--lable", "king"),
    "space": ("norms", "--space", "static"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MISUSED)
def test_an_error_and_its_hint_fit_a_terminal_and_are_one_line_each_elsewhere(store, name, width):
    piped = start(*MISUSED[name], environment={"KOTOVEC_STORE": str(store), "HF_HUB_OFFLINE": "1", "COLUMNS": "40"})
    found = shown(store, width, *MISUSED[name])
    assert found.code == piped.returncode == 2
    text = found.out[found.out.index("error: ") :].rstrip("\n")
    assert [line for line in text.split("\n") if cell_len(line) > width] == []
    lines = piped.stderr.splitlines()
    assert lines[0].startswith("error: ")
    if name != "parenthesis":
        assert all(line.startswith("hint: ") for line in lines[1:])
        assert re.sub(r"\n  ", " ", text) == piped.stderr.rstrip("\n")


COMMANDS = {
    "query": ("query", "king - man + woman", "--space", "both", "-k", "5"),
    "norms": ("norms", "king", "queen", "王"),
    "verify": ("verify",),
    "help": ("help", "environment"),
    "index": ("index", "--metric", "cosine"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("named", [True, False], ids=["COLUMNS", "stty"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_commands_print_fits_a_terminal_and_no_word_is_broken(store, name, named, width):
    piped = start(*COMMANDS[name], environment={"KOTOVEC_STORE": str(store)})
    found = shown(store, width, *COMMANDS[name], named=named)
    assert (found.code, piped.returncode) == (0, 0), found.out
    wide = [line for line in found.out.split("\n") if cell_len(line.rstrip()) > width]
    assert all(" " not in line.strip() or line.strip() == f"{store} is complete:" for line in wide)
    if name != "query":  # whose two spaces stand side by side, or one below the other
        words = {word for word in piped.stdout.split() if "─" not in word}
        assert words <= set(found.out.split())


def test_a_long_token_is_whole_on_a_narrow_terminal(tmp_path):
    tokens = stores.make_tokens(["king", "cleopatra-of-eg", "queen"])
    folder = stores.write_store(tmp_path / "s.kotovec", tokens, np.eye(3, dtype=np.float32))
    found = shown(folder, 40, "query", "king", "-k", "3")
    assert "cleopatra-of-eg" in found.out
    assert max(cell_len(line) for line in found.out.splitlines()) <= 40


def test_norms_without_room_for_a_table_are_names_and_values(store):
    found = shown(store, 40, "norms", *(["king", "queen", "man", "woman", "prince", "princess", "kings", "queens"]))
    assert max(cell_len(line) for line in found.out.splitlines()) <= 40
    for word in ("prince", "princess"):
        assert re.search(rf"(?m)^ (term|norm of|{word}) +\S+", found.out)
    assert "…" not in found.out
    for space in (Space("static"), Space("isolated", 2)):
        assert space.title in " ".join(found.out.split())


def test_info_breaks_neither_a_path_nor_a_checksum_nor_the_command(store):
    found, piped = shown(store, 40, "info"), start("info", environment={"KOTOVEC_STORE": str(store)})
    words = [word for word in piped.stdout.split() if word != "|"]
    assert [word for word in words if word not in found.out.split()] == []
    assert all(line.rstrip() == line for line in piped.stdout.splitlines())


@pytest.mark.parametrize(
    ("width", "columns"),
    [(14, ["token"]), (20, ["rank", "token", "id", "score"]), (40, ["rank", "token", "id", "score", "input"])],
)
def test_a_narrow_terminal_keeps_the_token_which_is_the_answer(store, width, columns):
    """It dropped the tokens, and kept ids, scores and inputs."""
    text = re.sub(r"\x1b\[[\d;]*m", "", shown(store, width, "query", "king", "-k", "3").out)
    lines = text.splitlines()
    index = next(index for index, line in enumerate(lines) if "token" in line.split())
    names, rows = lines[index].split(), [line.split() for line in lines[index + 2 : index + 5]]
    assert [name for name in names if name in columns] == columns
    assert set(names) <= {"rank", *columns}
    assert rows[0][names.index("token")] == "king"
    assert all(row[names.index("token")].isalpha() for row in rows)
