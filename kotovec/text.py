"""How texts of strangers are shown: tokens, names of models, paths, attributes of stores, messages of libraries.

A control code moves a terminal's cursor or ends a line, and a bidirectional one reorders what stands around it, on a
page, too. All that is shown goes through `escaped`, and JSON through `json_line`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from unicodedata import bidirectional, category

COMMAS = ",、，､"  # of lists; the others are what an input method types for the first
WIDE_SPACE = "\u3000"  # separates words in Japanese text
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_FEWEST_DIGITS, _MOST_DIGITS = 4, 9  # after the point; 9 significant digits tell any two numbers of float32 apart
_LONE_BYTES = "".join(map(chr, range(0xDC80, 0xDD00)))  # bytes of a path that are no UTF-8, as Python decodes them
_REORDERING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def escaped(text: str, keep: str = WIDE_SPACE) -> str:
    r"""Return a text whose characters that cannot be seen are escapes, such as `\u001b`, `\u202e` or `\n`.

    They are those of the notation of tokens, in which `\xe7` is a byte, and never the character U+00E7.

    Args:
        text: any text.
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escape(char) for char in text)


def _escape(char: str) -> str:
    escape = char.encode("unicode_escape").decode()
    return f"\\u00{escape[2:]}" if escape.startswith("\\x") else escape


def doubled(token: str, text: str | None = None) -> str:
    r"""Return a token or an expression whose backslashes are two, before it is `escaped`.

    In a table, `a\nb` is then a line break between letters, and the four signs `a\nb` are `a\\nb`.

    Args:
        token: the token as a person reads it, or what was typed.
        text: the token as the vocabulary spells it; without a backslash there, those of the token are escapes already,
            of bytes that are no complete character (`\xe7`).
    """
    return token.replace("\\", "\\\\") if "\\" in (token if text is None else text) else token


def argument(text: str) -> str:
    """Return a text as one argument of a command line that can be copied: quoted as bash, zsh and ksh read it."""
    import shlex

    if text.isprintable():
        return shlex.quote(text)
    return f"$'{''.join(map(_typed, text))}'"


def _typed(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    if char in _LONE_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def parts(text: str) -> list[str]:
    """Return the parts of a list with commas, also those of an input method: `Han,Hiragana`, `Han、Hiragana`."""
    for comma in COMMAS[1:]:
        text = text.replace(comma, COMMAS[0])
    return [part.strip() for part in text.split(COMMAS[0])]


def last_part(text: str) -> int:
    """Return where the last part of such a list begins."""
    return max(map(text.rfind, COMMAS)) + 1


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, as in `1 shard` or `1,024 shards`; the plural is given where it takes no s."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def isolated(text: str) -> str:
    """Return a visible text between isolates if it has letters that run from right to left, and else unchanged.

    Without them, the numbers after such a text in a line are shown before it, and columns change places
    (https://www.unicode.org/reports/tr9/, section 2.4.2). Isolates have no width.
    """
    if text.isascii() or not any(bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return text
    return f"{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}"


def distinct(scores: Sequence[float]) -> list[str]:
    """Return numbers in order with as many digits as tell neighbours apart, if float32 does; at least four.

    Of the answers to a question that lie close together, all would otherwise read 1.0000.
    """
    from struct import pack  # not numpy, which this module is imported without

    pairs = [(left, right) for left, right in pairwise(scores) if pack("f", left) != pack("f", right)]
    for digits in range(_FEWEST_DIGITS, _MOST_DIGITS + 1):
        if all(f"{left:.{digits}f}" != f"{right:.{digits}f}" for left, right in pairs):
            return [f"{score:.{digits}f}" for score in scores]
    return [f"{score:.{_MOST_DIGITS}g}" for score in scores]


def is_restless(text: str) -> bool:
    """Return whether a text would move a terminal's cursor, or reorder what stands around it."""
    return not text.isprintable() and any(category(char) == "Cc" or bidirectional(char) in _REORDERING for char in text)


def json_line(data: Any) -> str:
    r"""Return data as JSON in one line, with characters that cannot be seen as `\u` escapes: it is read as it was.

    JSON has no NaN and no infinity, which only a stranger's store holds: they are null.
    """
    import json

    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(json.loads(json.dumps(data), parse_constant=lambda _: None), ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == WIDE_SPACE else json.dumps(char)[1:-1] for char in text)
