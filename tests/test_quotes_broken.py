"""Lines of a terminal are broken beside an example in quotes, never inside it."""

import pytest

from kotovec.cli.lines import broken

HINT = "hint: put + or - before this, or quotes around words that belong together: '\"a b\"'"


@pytest.mark.parametrize("width", range(30, 100))
@pytest.mark.parametrize("example", ["'\"a b\"'", '"a b"', "'a b'"])
def test_an_example_in_quotes_stays_whole(width, example):
    text = HINT.replace("'\"a b\"'", example)
    shown = broken(text, width, follow="  ")
    assert example in shown
    assert " ".join(line.strip() for line in shown.split("\n")) == text


def test_an_apostrophe_is_no_quote():
    assert broken("the words' order and the rows' order", 20) == "the words' order and\nthe rows' order"
