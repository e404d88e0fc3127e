"""The lines of other libraries' errors that kotovec quotes."""

import pytest

from kotovec.errors import first_line, last_line

VALIDATION = "Validation error for field 'size': TypeError: expected int", "    TypeError: expected int"
# As fugashi puts it: the reason stands at the end, above a rule.
MECAB = """
Failed initializing MeCab. Please see the README for possible solutions:

    https://github.com/polm/fugashi

----- ERROR DETAILS -----
arguments: [b'fugashi', b'-C']
[ifs] no such file or directory: /usr/local/etc/mecabrc
---------
"""


@pytest.mark.parametrize(
    ("message", "first", "last"),
    [
        ("one", "one", "one"),
        ("\n one \n two \n", "one", " two "),
        # What Ray's dashboard answers: a traceback, and a full stop on a line of its own.
        ("Request failed: Traceback\n  File\nValueError: no\n.", "Request failed: Traceback", "ValueError: no"),
        ("", "OSError", "OSError"),
        (" \n\n", "OSError", "OSError"),
        ("Validation error for field 'size':\n    TypeError: expected int", *VALIDATION),
        ("ends in a colon:", "ends in a colon:", "ends in a colon:"),
        ("a:\n b:\n\n c\nd", "a: b: c", "d"),
        (MECAB, "[ifs] no such file or directory: /usr/local/etc/mecabrc", "-" * 9),
        (" . ", ".", "OSError"),
    ],
)
def test_the_first_and_the_last_line_of_an_error(message, first, last):
    assert (first_line(OSError(message)), last_line(OSError(message))) == (first, last)


def test_a_key_alone_says_what_it_is():
    assert first_line(KeyError("foo")) == "missing key 'foo'"
