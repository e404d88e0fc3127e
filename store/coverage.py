"""How a vocabulary covers characters and texts: one token, several or none, and tokens per character."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

from kotovec.store.database import Store
from kotovec.store.notation import typed
from kotovec.store.reach import check_vocabulary
from kotovec.store.terms import Lookup
from kotovec.store.tokens import Kind, word_initial

TOGETHER = 1000  # lines of a text that are tokenized at a time


class Cover(StrEnum):
    """What a tokenizer makes of a character."""

    ONE = "one"
    SEVERAL = "several"
    CHANGED = "changed"
    UNKNOWN = "unknown"

    @property
    def label(self) -> str:
        """What it means, for a person."""
        return {
            "one": "one token",
            "several": "several tokens",
            "changed": "read as another character",
            "unknown": "unknown",
        }[self.value]


@dataclass(frozen=True)
class Coverage:
    """What a vocabulary makes of some characters.

    Attributes:
        charset: the name of their list.
        chars: the characters of each kind, in the order of the list.
        tokens: how many tokens they take in all, without the unknown ones and without a lone `▁`.
    """

    charset: str
    chars: dict[Cover, str]
    tokens: int

    @property
    def total(self) -> int:
        """How many characters the list has."""
        return sum(map(len, self.chars.values()))

    @property
    def per_character(self) -> float:
        """Tokens per character that is not unknown; NaN without any."""
        known = self.total - len(self.chars[Cover.UNKNOWN])
        return self.tokens / known if known else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data; the keys are stable."""
        counts = {str(cover): len(chars) for cover, chars in self.chars.items()}
        return (
            {"charset": self.charset, "characters": self.total} | counts | {"tokens_per_character": self.per_character}
        )


@dataclass
class Fertility:
    """How many tokens a text takes.

    Attributes:
        characters: of the text, without line breaks.
        tokens: all that the tokenizer makes of it.
        unknown: those that stand for something unknown.
        unspelled: lines that the tokenizer cannot spell, which count in no other number.
    """

    characters: int = 0
    tokens: int = 0
    unknown: int = 0
    unspelled: int = 0

    @property
    def per_character(self) -> float:
        """Tokens per character; NaN for an empty text."""
        return self.tokens / self.characters if self.characters else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data; the keys are stable."""
        return dict(vars(self)) | {"tokens_per_character": self.per_character}


def cover(store: Store, name: str, chars: str) -> Coverage:
    """Return what a store's tokenizer makes of each of some characters alone.

    A lone `▁`, which only says that a word begins, is not counted. A character is `changed` if its tokens spell another
    one: a tokenizer that strips accents reads が as か.

    Args:
        store: an open store.
        name: the name of their list.
        chars: the characters, each once.

    Raises:
        InputError: the store's rows are words of a list.
        DamagedError, StoreError, MissingDependencyError: the store's tokenizer cannot be used.
    """
    check_vocabulary(store.tokens)
    found = dict.fromkeys(Cover, "")
    tokens = 0
    for char, pieces in zip(chars, store.lookup.pieces(list(chars)), strict=True):
        kind, count = _cover(store.lookup, char, pieces)
        found[kind] += char
        tokens += count
    return Coverage(name, found, tokens)


def _cover(lookup: Lookup, char: str, pieces: list[str]) -> tuple[Cover, int]:
    tokens = lookup.tokens
    rows = [tokens.texts.find(piece) for piece in pieces]
    known = [row for row in rows if row is not None]
    if not rows or len(known) < len(rows) or tokens.row_of_id(tokens.unk_id) in known:
        return Cover.UNKNOWN, 0
    mark = tokens.texts.find(word_initial("", tokens.marking) or "\0")
    without = [row for row in known if row != mark] or known
    if not any(tokens.kinds[row] == Kind.BYTE for row in without):
        read = (typed(tokens.texts[row], tokens.surfaces[row], tokens.marking).text for row in without)
        if "".join(read) != char:
            return Cover.CHANGED, len(without)
    return (Cover.ONE if len(without) == 1 else Cover.SEVERAL), len(without)


def measure(store: Store, lines: Iterable[str]) -> Fertility:
    """Return how many tokens a store's tokenizer makes of a text, line by line.

    Args:
        store: an open store.
        lines: the lines, with or without their ends; they are read once.

    Raises:
        InputError: the store's rows are words of a list.
        DamagedError, StoreError, MissingDependencyError: the store's tokenizer cannot be used.
    """
    check_vocabulary(store.tokens)
    lookup, found = store.lookup, Fertility()
    unknown = lookup.tokens.row_of_id(lookup.tokens.unk_id)
    full = (line for each in lines if (line := each.rstrip("\r\n")).strip())
    while batch := list(islice(full, TOGETHER)):
        for line, pieces in zip(batch, lookup.pieces(batch), strict=True):
            if not pieces:
                found.unspelled += 1
                continue
            rows = map(lookup.tokens.texts.find, pieces)
            found.characters += len(line)
            found.tokens += len(pieces)
            found.unknown += sum(row is None or row == unknown for row in rows)
    return found
