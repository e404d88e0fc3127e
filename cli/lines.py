"""Lines for a terminal: broken at spaces, never inside a word, an option or a command in backticks."""

import os
import re
import sys
from collections.abc import Iterator

from rich.cells import cell_len

from kotovec.cli.encodings import echo, message

_PIECE = re.compile(r"(?:`[^`\n]*`|\S)+")
_LIST = re.compile(r"`?\w+(?:,\w+)+`?\S?")  # in one piece, such as `word,subword,special`
_USUAL = 80  # columns of a terminal that does not say how many it has


def columns(*, stderr: bool = False) -> int | None:
    """Return how many columns the terminal has that stdout or stderr is; None where it is none."""
    stream = sys.stderr if stderr else sys.stdout
    if stream is None or not stream.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    try:
        return int(named) if named.isdecimal() and int(named) else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # a stream without a descriptor
        return _USUAL


def broken(text: str, width: int | None, *, indent: str = "", follow: str | None = None) -> str:
    """Return a text of one or more lines in lines that fit; what is longer than a line alone is a line, uncut.

    Args:
        text: the text; spaces between words stay where a line is not broken.
        width: columns of a terminal; None breaks nothing.
        indent: what a line begins with.
        follow: what a line begins with that continues another; None is the same as `indent`.
    """
    follow = indent if follow is None else follow
    if not width:
        return "\n".join(f"{indent}{line}" for line in text.split("\n"))
    return "\n".join(each for line in text.split("\n") for each in _lines(line, width, indent, follow))


def _lines(text: str, width: int, indent: str, follow: str) -> Iterator[str]:
    line, is_empty = indent, True
    for gap, piece in _pieces(text, width - cell_len(follow)):
        if not is_empty and cell_len(line + gap + piece) > width:
            yield line
            line, is_empty = follow + piece, False
        else:
            line, is_empty = line + gap + piece, False
    yield line


def _pieces(text: str, room: int) -> Iterator[tuple[str, str]]:
    """Yield what is not broken, each with the spaces before it; a list without spaces is, where it has no room."""
    end = 0
    for found in _PIECE.finditer(text):
        gap, piece = text[end : found.start()], found.group()
        end = found.end()
        if cell_len(piece) > room and _LIST.fullmatch(piece):
            for part in re.findall(r"[^,]+,?", piece):
                yield gap, part
                gap = ""
        else:
            yield gap, piece


def say(text: str, *, stderr: bool = False) -> None:
    """Print a text for a person, which was escaped: in lines that fit a terminal, elsewhere as it is."""
    echo(broken(message(text, stderr=stderr), columns(stderr=stderr), follow="  "), stderr=stderr)
