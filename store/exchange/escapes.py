r"""How a text is written where a format cannot hold it: in the notation of tokens, which can be read back.

A format without spaces in a word has `new␣york` for `new york`, `\n` for a line break and `\e` for the empty text.
Where one text of a store needs that, each that has a backslash or a ␣ of its own is escaped as well (`\\`, `\u2423`),
so that two texts never become one; where none does, all stand as they are.
"""

import re
from pathlib import Path

from kotovec.errors import InputError, quoted
from kotovec.store.notation import EMPTY, SPACE, noted
from kotovec.store.tokens import Marking, Strings

ENDING = ".escaped.tsv"
HEADER = "row\twritten\ttext\n"  # of the list of escaped texts
_OWN = re.compile(rf"[\\{SPACE}]")
_ESCAPE = re.compile(rf"\\(?:u([0-9a-f]{{4}})|U([0-9a-f]{{8}})|(.?))|{SPACE}", re.DOTALL)
_NAMED = {"\\": "\\", "n": "\n", "t": "\t", "r": "\r"}


class Escapes:
    """The texts of a store as a format can hold them.

    Attributes:
        needed: whether some of them are escaped.
    """

    def __init__(self, texts: Strings, unfit: re.Pattern[bytes] | None) -> None:
        self._texts = texts
        self._unfit = unfit
        self.needed = unfit is not None and unfit.search(texts.block) is not None

    def written(self, text: str) -> str:
        """Return how a text is written."""
        return escape(text) if self.needed and self.changes(text) else text

    def changes(self, text: str) -> bool:
        """Return whether a text is written otherwise, where some are."""
        if _OWN.search(text):
            return True
        return self._unfit is not None and self._unfit.search(b"\0%s\0" % text.encode()) is not None

    def listed(self) -> list[tuple[int, str, str]]:
        """Return the row, the written form and the text of each that is written otherwise."""
        if not self.needed:
            return []
        return [(row, escape(text), text) for row, text in enumerate(self._texts) if self.changes(text)]


def is_list(path: Path) -> bool:
    """Return whether a file is a list of escaped texts that an export wrote, by its header."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()


def escape(text: str) -> str:
    """Return a text in the notation, in which no two texts are the same."""
    return noted(text, text, Marking.NONE)


def unescape(written: str) -> str:
    """Return the text that `escape` wrote.

    Raises:
        InputError: it holds a backslash that begins no escape.
    """
    if not _OWN.search(written):
        return written
    return "" if written == EMPTY else _ESCAPE.sub(_char, written)


def _char(found: re.Match[str]) -> str:
    short, long, name = found.groups()
    try:
        if found[0] == SPACE:
            return " "
        return _NAMED[name] if name is not None else chr(int(short or long, 16))
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"{quoted(found[0])} is no escape", hint="leave out --escaped") from error
