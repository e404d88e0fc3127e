"""Lines for a terminal: broken at spaces, never inside a word, an option, quotes or a command in backticks."""

import os
import re
import sys
from collections.abc import Iterator

from rich.cells import cell_len

from kotovec.cli.encodings import echo, message

# An example in quotes is one piece: its quote begins a word, and the one that closes it ends one.
_QUOTED = r"""(?<!\S)(?:'"[^"'\n]*"'|"[^"\n]*"|'[^'\n]*')(?=[\s,;:.)]|$)"""
_PIECE = re.compile(rf"(?:`[^`\n]*`|{_QUOTED}|\S)+")
_LIST = re.compile(r"`?\w+(?:,\w+)+`?\S?")  # in one piece, such as `word,subword,special`
_NAME = re.compile(r"[\w.]+(?:[/-][\w.]+)+\]")  # at the end of a default, such as `[default: owner/name-of-model]`
_COMMAND = re.compile(r"`kotovec [^`\n]+`\S*")
# A part of a command: a word, with what is in quotes, or an option and its value.
_WORD = re.compile(r"""(?:--?\w[\w-]* (?!-))?(?:"[^"]*"|'[^']*'|\S)+""")
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


def broken(text: str, width: int | None, *, indent: str = "", follow: str | None = None, commands: bool = False) -> str:
    r"""Return a text of one or more lines in lines that fit; what is longer than a line alone is a line, uncut.

    Args:
        text: the text; spaces between words stay where a line is not broken.
        width: columns of a terminal; None breaks nothing.
        indent: what a line begins with.
        follow: what a line begins with that continues another; None is the same as `indent`.
        commands: continue a command that is longer than a line with `\\` and a line break, as a shell takes it.
    """
    follow = indent if follow is None else follow
    if not width:
        return "\n".join(f"{indent}{line}" for line in text.split("\n"))
    return "\n".join(each for line in text.split("\n") for each in _lines(line, width, indent, follow, commands))


def _lines(text: str, width: int, indent: str, follow: str, commands: bool) -> Iterator[str]:
    line, is_empty = indent, True
    for gap, piece in _pieces(text, room := width - cell_len(follow)):
        if commands and cell_len(piece) > room and _COMMAND.fullmatch(piece):
            if not is_empty:
                yield line
            *begun, line = _continued(piece, width, follow)
            yield from begun
            is_empty = False
        elif not is_empty and cell_len(line + gap + piece) > width:
            yield line
            line, is_empty = follow + piece, False
        else:
            line, is_empty = line + gap + piece, False
    yield line


def _continued(command: str, width: int, follow: str) -> Iterator[str]:
    """Yield the lines of a command; all but the last end in a backslash."""
    first, *words = _WORD.findall(command)
    line = follow + first
    for index, word in enumerate(words):
        end = "" if index == len(words) - 1 else " \\"
        if cell_len(f"{line} {word}{end}") > width:
            yield f"{line} \\"
            line = f"{follow}  {word}"
        else:
            line = f"{line} {word}"
    yield line


def _pieces(text: str, room: int) -> Iterator[tuple[str, str]]:
    """Yield what is not broken, each with the spaces before it; a list or a default is, where it has no room."""
    end = 0
    for found in _PIECE.finditer(text):
        gap, piece = text[end : found.start()], found.group()
        end = found.end()
        parts = None
        if cell_len(piece) > room:
            parts = r"[^,]+,?" if _LIST.fullmatch(piece) else r"[^/-]+[/-]?" if _NAME.fullmatch(piece) else None
        if parts:
            for part in re.findall(parts, piece):
                yield gap, part
                gap = ""
        else:
            yield gap, piece


def say(text: str, *, stderr: bool = False) -> None:
    """Print a text for a person, which was escaped: in lines that fit a terminal, elsewhere as it is."""
    echo(broken(message(text, stderr=stderr), columns(stderr=stderr), follow="  "), stderr=stderr)
