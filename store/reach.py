"""Which tokens a text can have: what the store's own tokenizer makes of every token's text, alone and beside others.

A token that no probe finds is called unreachable. For WordPiece, BPE and Unigram that is what it is, but for rare words
around it that no probe has; where MeCab splits a text into words first, thousands may need a word that it knows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial

from kotovec.errors import InputError
from kotovec.store.nearest import Rows
from kotovec.store.notation import Typed, typed
from kotovec.store.scripts import COMMON, scripts_of
from kotovec.store.terms import Lookup
from kotovec.store.tokens import LONGEST, Kind, Marking, Tokens

TOGETHER = 10_000  # texts that are tokenized at a time: their pieces take 5 MB
# What is put before a token to see whether it continues a word. The first that is in its own script is tried first:
# nine in ten tokens need no other one. A tokenizer may split words between scripts and at digits.
LETTERS = ("q", "x", "a", "e", "s", "Q", "я", "λ", "א", "ا", "क", "ก", "あ", "ア", "亜", "女", "大", "가", "1", "7")
PAIRS = ("qz", "xv", "th", "Zq", "жъ", "のが", "ンゾ", "大山", "뷁가", "00")
SPACED = ("", "a", "q", ".", "。", "王", "1")  # what stands before the space, or the line break, before a token
WORDS = 100  # words of the vocabulary that are put before what is not found otherwise
SEARCHED = 50_000  # tokens among which they are looked for
LONGEST_WORD = 4  # characters of such a word
FOLLOWING = ("q", "a", "x", "я", "あ", "王", "가", "1", ".", " a", "\na")  # what is put behind it

# Punctuation around it, tried last. Where MeCab splits words, a token may be one only there.
PUNCTUATION = ((".",), ("'",), ("-",), ("「",), ("、",), ("(", ")"), ("「", "」"), ("(", "a)"))


class Reach(StrEnum):
    """How a text can have a token; the first that applies, in this order after the three that are not tested."""

    SPECIAL = "special"
    UNUSED = "unused"
    PARTIAL = "partial"
    ALONE = "alone"
    INSIDE = "inside"
    SPACE = "space"
    NEWLINE = "newline"
    UNREACHABLE = "unreachable"
    UNTESTED = "untested"

    @property
    def label(self) -> str:
        """What it means, for a person."""
        return _LABELS[self]


_LABELS = {
    Reach.SPECIAL: "special",
    Reach.UNUSED: "unused",
    Reach.PARTIAL: "partial UTF-8",
    Reach.ALONE: "reachable alone",
    Reach.INSIDE: "only inside a word",
    Reach.SPACE: "only after a space",
    Reach.NEWLINE: "only after a line break",
    Reach.UNREACHABLE: "unreachable",
    Reach.UNTESTED: "not tested",
}


@dataclass(frozen=True)
class Reached:
    """How a text can have a token.

    Attributes:
        reach: how.
        pieces: the tokens that its text becomes instead, for one that is unreachable; else empty.
    """

    reach: Reach
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What stands around a token's text when it is tokenized.

    Attributes:
        reach: what a token is that is found there.
        before, after: texts before and behind it.
        letter: if not negative, one of `LETTERS` stands before it: the one at this index when those of the token's own
            script come first.
    """

    reach: Reach
    before: str = ""
    after: str = ""
    letter: int = -1

    def around(self, text: str) -> str:
        """Return a token's text in this context."""
        before = self.before if self.letter < 0 else _letters(text[:1])[self.letter]
        return f"{before}{text}{self.after}"

    def finds(self, pieces: list[str], text: str) -> bool:
        """Return whether the pieces of the whole text show the token where its own text is."""
        begins, ends = not self.before and self.letter < 0, not self.after
        if begins and ends:
            return pieces == [text]
        if ends:
            return pieces[-1:] == [text]
        return pieces[:1] == [text] and len(pieces) > 1 if begins else text in pieces[1:-1]


@cache
def _letters(first: str) -> list[str]:
    """Return `LETTERS`, first those of the script of a text's first character."""
    own = scripts_of(first) if first else frozenset()
    return sorted(LETTERS, key=lambda letter: not own & scripts_of(letter))


CONTEXTS = (
    Context(Reach.ALONE),
    *(Context(Reach.INSIDE, letter=index) for index in range(len(LETTERS))),
    *(Context(Reach.INSIDE, pair) for pair in PAIRS),
    *(Context(Reach.SPACE, f"{before} ") for before in SPACED),
    *(Context(Reach.NEWLINE, f"{before}\n") for before in SPACED),
    *(Context(Reach.INSIDE, after=after) for after in FOLLOWING),
    *(Context(Reach.SPACE, "a ", after) for after in FOLLOWING),
    *(Context(Reach.INSIDE, *marks) for marks in PUNCTUATION),
)


def check_vocabulary(tokens: Tokens) -> None:
    """Check that the rows of a store are the tokens of a vocabulary.

    Raises:
        InputError: they are words of a list, which no tokenizer gives.
    """
    if tokens.listed:
        raise InputError("the rows of this store are words of a list, and not tokens", hint="use a store of the model")


def find_reach(lookup: Lookup, rows: Rows | Sequence[int]) -> list[Reached]:
    """Return for each of some rows how a text can have its token.

    A token is found `alone` if its text becomes this token and no other; `inside` a word if it is the last token of its
    text behind a letter or a digit, or the first before one; then behind a space, then behind a line break. What is
    not found so far is tried beside punctuation, and counts as `inside`, too.

    Args:
        lookup: the lookup of a store.
        rows: (n,) rows of its tokens.

    Raises:
        InputError: the store's rows are words of a list.
        DamagedError, StoreError, MissingDependencyError: the store's tokenizer cannot be used.
    """
    check_vocabulary(lookup.tokens)
    found: list[Reached] = []
    openings = cache(partial(_openings, lookup.tokens))
    for start in range(0, len(rows), TOGETHER):
        found += _find(lookup, [int(row) for row in rows[start : start + TOGETHER]], openings)
    return found


def _find(lookup: Lookup, rows: list[int], openings: Callable[[str], list[str]]) -> list[Reached]:
    tokens = lookup.tokens
    found: dict[int, Reached] = {}
    waiting: dict[int, Typed] = {}
    texts = {row: tokens.texts[row] for row in rows}
    for row in rows:
        untested = _untested(tokens, row, texts[row])
        if untested is None:
            waiting[row] = typed(texts[row], tokens.surfaces[row], tokens.marking)
        else:
            found[row] = Reached(untested)

    for context in CONTEXTS:
        asked = list(waiting)
        spelled = [context.around(waiting[row].text) for row in asked]
        for row, pieces in zip(asked, lookup.pieces(spelled), strict=True):
            if context.finds(pieces, texts[row]):
                found[row] = Reached(context.reach)
                del waiting[row]
    for index in range(WORDS):
        before = {row: openings(_script(token.text)) for row, token in waiting.items()}
        asked = [row for row in waiting if index < len(before[row])]
        spelled = [before[row][index] + waiting[row].text for row in asked]
        for row, pieces in zip(asked, lookup.pieces(spelled), strict=True):
            if pieces[-1:] == [texts[row]]:
                found[row] = Reached(Reach.INSIDE)
                del waiting[row]
    for row, pieces in zip(waiting, lookup.pieces([_bare(token, tokens) for token in waiting.values()]), strict=True):
        found[row] = Reached(Reach.UNREACHABLE, tuple(pieces))
    return [found[row] for row in rows]


def _script(text: str) -> str:
    return min(scripts_of(text[:1]), default=COMMON) if text else COMMON


def _openings(tokens: Tokens, script: str) -> list[str]:
    """Return short words of a vocabulary that end in a letter of a script, the first by their ids.

    Behind a word that is a token, greedy WordPiece begins a new one: of the 32,000 tokens of bert-base-japanese, these
    find 1,940 that nothing shorter shows, such as ##ング.
    """
    found: list[str] = []
    for row in range(min(len(tokens), SEARCHED)):
        if tokens.kinds[row] == Kind.WORD:
            text = typed(tokens.texts[row], tokens.surfaces[row], tokens.marking).text
            if 1 < len(text) <= LONGEST_WORD and script in scripts_of(text[-1]):
                found.append(text)
                if len(found) == WORDS:
                    break
    return found


def _untested(tokens: Tokens, row: int, text: str) -> Reach | None:
    """Return the category of a token that is not tokenized: it is no text, or the store holds only a part of it."""
    kind = tokens.kinds[row]
    if kind in _BY_KIND:
        return _BY_KIND[Kind(int(kind))]
    return Reach.UNTESTED if len(text.encode()) >= LONGEST - 3 else None  # a cut one may lack up to three bytes


_BY_KIND = {Kind.SPECIAL: Reach.SPECIAL, Kind.UNUSED: Reach.UNUSED, Kind.BYTE: Reach.PARTIAL}


def _bare(token: Typed, tokens: Tokens) -> str:
    """Return a token's text as it is typed, with the space that is a part of it."""
    return f" {token.text}" if token.marked and tokens.marking is Marking.BYTELEVEL else token.text


def count_reach(found: Iterable[Reached]) -> dict[str, int]:
    """Return how many tokens there are of each category, by its name."""
    counts = dict.fromkeys(map(str, Reach), 0)
    for each in found:
        counts[each.reach] += 1
    return counts
