"""The lines of other libraries' errors that kotovec quotes."""

import pytest

from kotovec.errors import first_line, last_line


@pytest.mark.parametrize(
    ("message", "first", "last"),
    [
        ("one", "one", "one"),
        ("\n one \n two \n", "one ", " two "),
        # What Ray's dashboard answers: a traceback, and a full stop on a line of its own.
        ("Request failed: Traceback\n  File\nValueError: no\n.", "Request failed: Traceback", "ValueError: no"),
        ("", "OSError", "OSError"),
        (" . ", ".", "OSError"),
    ],
)
def test_the_first_and_the_last_line_of_an_error(message, first, last):
    assert (first_line(OSError(message)), last_line(OSError(message))) == (first, last)
