r"""A line break and the letters `\n` are two tokens, and look like two in every table."""

import numpy as np
import pytest

from kotovec.store import Store
from kotovec.store.tokens import Marking
from kotovec.text import doubled

from commands import call
from stores import make_tokens, write_store

# What each of them reads in a table.
SHOWN = {"a\nb": r"a\nb", "a\\nb": r"a\\nb", "a\\\nb": r"a\\\nb", "\\": r"\\", "\\\\": r"\\\\", "a\u200bb": r"a\u200bb"}
SHOWN |= {"a\\u200bb": r"a\\u200bb", "king": "king"}


@pytest.fixture
def store(tmp_path):
    return write_store(tmp_path / "x.kotovec", make_tokens([*SHOWN]), np.eye(len(SHOWN)))


def test_the_answers_of_a_query_are_all_different(capsys, store):
    lines = call(capsys, "query", "king", "-k", len(SHOWN), "--store", store).out.splitlines()
    cells = {int(cells[2]): cells[1] for line in lines if (cells := line.split())[:1] and cells[0].isdigit()}
    assert [cells[row] for row in range(len(SHOWN))] == list(SHOWN.values())


@pytest.mark.parametrize("text", ["a\nb", "a\\nb"])
def test_title_norms_and_notebook_tell_them_apart(capsys, store, text):
    asked = f'"{text}"'
    assert call(capsys, "query", asked, "--store", store).out.startswith(f"{SHOWN[text]}  (static; ")
    norms = call(capsys, "norms", asked, "--store", store).out.splitlines()[2].split()
    assert norms[:2] == [SHOWN[text], SHOWN[text]]
    page = Store.open(store).search(asked, k=1)._repr_html_()
    assert f"<td>{SHOWN[text]}</td>" in page


def test_tokens_show_their_texts_apart(capsys, store):
    out = call(capsys, "tokens", "a", "--columns", "id,text,notation", "--store", store).out.splitlines()
    assert [line.split() for line in out[2:]] == [
        [str(row), shown, shown] for row, (text, shown) in enumerate(SHOWN.items()) if "a" in text
    ]


def test_the_columns_of_tokens_have_names_of_their_own_and_one_notation(capsys, store):
    """Two columns were headed `token`, and the first did not double backslashes."""
    out = call(capsys, "tokens", "a", "--columns", "id,token,notation", "--store", store).out.splitlines()
    assert out[0].split() == ["id", "token", "notation"]
    assert [line.split() for line in out[2:]] == [
        [str(row), shown, shown] for row, (text, shown) in enumerate(SHOWN.items()) if "a" in text
    ]
    alone = call(capsys, "tokens", "a", "--columns", "id,notation", "--store", store).out.splitlines()
    assert alone[0].split() == ["id", "token"]


@pytest.mark.parametrize(
    ("token", "shown"), [("a\x85b", "a\\u0085b"), ("z\xa0z", "z\\u00a0z"), ("a\U000e0041b", "a\\U000e0041b")]
)
def test_a_character_is_never_shown_as_a_byte(capsys, tmp_path, token, shown):
    """U+0085 was `\\x85`, which is a byte in the notation of tokens."""
    store = write_store(tmp_path / "x.kotovec", make_tokens([token, "king"]), np.eye(2))
    assert shown in call(capsys, "query", "king", "--store", store).out.split()
    rows = call(capsys, "tokens", "--columns", "token,notation", "--store", store).out.splitlines()
    assert [shown, shown] in [line.split() for line in rows]


def test_bytes_that_are_no_character_stay_as_they_are_written(capsys, tmp_path):
    tokens = make_tokens(["çİ", "king", "\\x"], marking=Marking.BYTELEVEL)
    store = write_store(tmp_path / "x.kotovec", tokens, np.eye(3))
    out = call(capsys, "query", "king", "-k", 3, "--store", store).out
    assert " \\xe7\\x8e " in out
    assert " \\\\x " in out


@pytest.mark.parametrize(
    ("token", "text", "expected"), [("\\xe7", "ç", "\\xe7"), ("\\x", "\\x", "\\\\x"), ("a", None, "a")]
)
def test_only_the_backslashes_of_a_text_are_doubled(token, text, expected):
    assert doubled(token, text) == expected
