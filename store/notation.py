r"""Tokens as texts: what a person would type for one, and a notation in which different texts look different.

In the notation, a backslash is `\\`, a space within a token `␣`, and the empty token `\e`. Bytes that are no complete
character are `\xe7`, and what cannot be seen is `\n`, `\t` or its code point, as in `\u200b` or `\U000e0001`. So is
what looks like another spelling: a mark that composes with the letter before it, a compatibility ideograph, and ␣ or ▁
themselves where these stand for a space. In a byte-level vocabulary, a token that is not spelled in its bytes begins
with `\+`: 王, added as it stands, is `\+王`, and çİĭ, the bytes of that character, is `王`. Two texts never share one.
"""

import unicodedata
from typing import NamedTuple

from kotovec.store.tokens import Marking, bytes_of

MARK = "▁"
SPACE = "␣"
EMPTY = "\\e"
ADDED = "\\+"
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}
# Printable by Python's rules, and yet without a glyph: Default_Ignorable_Code_Point of Unicode's
# DerivedCoreProperties.txt, as far as its characters are letters or marks.
_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, 0xFFA0),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)
# Characters that the notation never has, or has for another one.
_SPECIAL = {each: _INVISIBLE | {" ", "\\", SPACE} for each in Marking}
_SPECIAL[Marking.BYTELEVEL] |= {MARK}


class Typed(NamedTuple):
    """A token as a text: `text` without the mark of its place in a word, and whether that mark is there.

    For ▁king, Ġking, ##king and king</w>, `text` is king and `marked` is true.
    """

    text: str
    marked: bool


def typed(text: str, surface: str, marking: Marking) -> Typed:
    """Return what a person would type for a token; bytes that are no complete character become U+FFFD.

    Args:
        text: the token as the vocabulary spells it.
        surface: the token as a person reads it.
        marking: how the vocabulary marks words.
    """
    if marking is Marking.WORDPIECE:
        marked = text.startswith("##") and len(text) > len("##")
        return Typed(text[2:] if marked else text, marked)
    if marking is Marking.SUFFIX:
        return Typed(text.removesuffix("</w>"), text.endswith("</w>"))
    plain = text
    if marking is Marking.METASPACE:
        plain = text.replace(MARK, " ")
    elif marking is Marking.BYTELEVEL and surface != text:
        octets = bytes_of(text)
        plain = text if octets is None else octets.decode("utf-8", "replace")
    return Typed(plain.removeprefix(" "), plain.startswith(" "))


def noted(text: str, surface: str, marking: Marking) -> str:
    """Return a token in the notation; two different texts of a vocabulary never share one.

    Args:
        text: the token as the vocabulary spells it.
        surface: the token as a person reads it.
        marking: how the vocabulary marks words.
    """
    if not text:
        return EMPTY
    if marking is not Marking.BYTELEVEL or _is_plain(text):
        return _visible(text, marking)
    octets = None if surface == text else bytes_of(text)
    if octets is None:
        return ADDED + _visible(text, marking)
    pieces, rest = [], octets
    while rest:
        try:
            pieces.append(_visible(rest.decode("utf-8"), marking))
            break
        except UnicodeDecodeError as error:
            pieces.append(_visible(rest[: error.start].decode("utf-8"), marking))
            pieces.append("".join(f"\\x{octet:02x}" for octet in rest[error.start : error.end]))
            rest = rest[error.end :]
    noted_ = "".join(pieces)
    return MARK + noted_[1:] if octets.startswith(b" ") else noted_


def _is_plain(text: str) -> bool:
    """Return whether a text is graphic ASCII, which a byte-level vocabulary spells as itself."""
    return text.isascii() and text.isprintable() and " " not in text


def _visible(text: str, marking: Marking) -> str:
    if _is_plain(text) and "\\" not in text:
        return text
    composed = _is_composed(text)
    # All but 3,397 of the 250,002 tokens of multilingual-e5-small end here: 0.4 s for all of them, and not 1.1.
    if composed and text.isprintable() and _SPECIAL[marking].isdisjoint(text) and not _is_mark(text[0]):
        return text
    return "".join(_char(char, text[index - 1 : index], marking, composed=composed) for index, char in enumerate(text))


def _is_composed(text: str) -> bool:
    return unicodedata.is_normalized("NFC", text)


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


def _char(char: str, before: str, marking: Marking, *, composed: bool) -> str:
    if char == " ":
        return SPACE
    if char in _NAMED:
        return _NAMED[char]
    hidden = char in _SPECIAL[marking]
    if not composed:  # e + U+0301, which looks like é; U+1112 + U+1161, like 하; U+F900, like U+8C48
        hidden = hidden or unicodedata.combining(char) > 0 or not _is_composed(char)
        hidden = hidden or (_is_composed(before) and not _is_composed(before + char))
    lone = not before and _is_mark(char)  # would sit on what precedes the token
    if char.isprintable() and not hidden and not lone:
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 — the last of the first plane
