"""The vocabulary as a table: id, text, surface and kind of every token, and how the vocabulary marks words."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from functools import cache, cached_property
from typing import overload

import numpy as np
import numpy.typing as npt


class Kind(IntEnum):
    """What a token is; stored as an HDF5 enumeration of uint8."""

    WORD = 0
    SUBWORD = 1
    SPECIAL = 2
    UNUSED = 3
    BYTE = 4
    EMPTY = 5

    @property
    def label(self) -> str:
        """The name in lower case, as the command line shows and accepts it."""
        return self.name.lower()


KINDS = tuple(kind.label for kind in Kind)
NEVER = (Kind.SPECIAL, Kind.UNUSED, Kind.EMPTY)  # kinds that no sentence is a context of


class Marking(StrEnum):
    """How a vocabulary distinguishes the beginning of a word from its continuation."""

    WORDPIECE = "wordpiece"  # ##ing continues a word
    METASPACE = "metaspace"  # ▁king begins one (SentencePiece)
    BYTELEVEL = "bytelevel"  # Ġking begins one; bytes are spelled as printable characters (GPT-2, RoBERTa)
    SUFFIX = "suffix"  # king</w> ends one (CLIP, the first GPT)
    NONE = "none"  # characters, or words alone


FEW = 64  # strings that are searched for one by one; beyond that, a dictionary pays
LONGEST = 4096  # most bytes of a text; a longer one is cut and ends in its hash
_UNUSED = re.compile(r"[\[<]\|?unused[_ ]?\d+\|?[\]>]|madeupword\d+", re.IGNORECASE)
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
# Scripts written without spaces between words: there a token without a word-initial mark is as often a word
# as not (XLM-R spells 王 in mid-sentence without ▁), so it counts as one.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


class Strings(Sequence[str]):
    """V strings in one block of UTF-8, decoded one by one on access.

    Decoding 32,000 strings takes 9 ms, and a query shows twenty. A dictionary of their bytes takes 5 to 11 ms, a search
    through all of them less than 0.1 ms: the first few strings are found by such a search. The block grows with the
    total length of the strings, not with the longest of them times their number.

    Attributes:
        block: every string with a NUL on either side; adjacent strings share one, and no string holds one.
    """

    def __init__(self, strings: Iterable[str | bytes] | npt.NDArray[np.uint8]) -> None:
        if isinstance(strings, np.ndarray):
            self.block = strings.tobytes()
        else:
            encoded = [each if isinstance(each, bytes) else _bounded(each) for each in strings]
            self.block = b"\0".join((b"", *encoded, b""))
        self._ends = np.flatnonzero(np.frombuffer(self.block, dtype=np.uint8) == 0)  # (V + 1,)
        self._looked_for = 0

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "Strings": ...
    def __getitem__(self, row: int | slice) -> "str | Strings":
        if isinstance(row, slice):
            return self.take(range(*row.indices(len(self))))
        return self._bytes(range(len(self))[row]).decode()

    def __iter__(self) -> Iterator[str]:
        return (each.decode() for each in self.encoded())

    @property
    def nbytes(self) -> int:
        """Number of bytes in memory."""
        return len(self.block) + self._ends.nbytes

    @property
    def longest(self) -> int:
        """Number of bytes of the longest string, 0 where there is none."""
        return int(np.diff(self._ends).max()) - 1 if len(self) else 0

    def encoded(self) -> list[bytes]:
        """Return all strings in UTF-8."""
        return self.block[1:-1].split(b"\0") if len(self) else []

    def take(self, rows: Iterable[int]) -> "Strings":
        """Return the strings of some rows, in one block."""
        return Strings(self._bytes(row) for row in rows)

    def keep(self, chosen: npt.NDArray[np.bool_]) -> "Strings":
        """Return the chosen strings of V, (V,) bool, in one block; of a million, none becomes an object of its own."""
        block = np.frombuffer(self.block, dtype=np.uint8)
        return Strings(block[np.concatenate(([True], np.repeat(chosen, np.diff(self._ends))))])

    def at(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return the strings of some rows."""
        return [self._bytes(row).decode() for row in rows.tolist()]

    def _bytes(self, row: int) -> bytes:
        return self.block[self._ends[row] + 1 : self._ends[row + 1]]

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        return {string: row for row, string in enumerate(self.encoded())}

    def find(self, string: str) -> int | None:
        """Return the row of a string, or None; the last one of several."""
        try:
            wanted = string.encode()
        except UnicodeEncodeError:  # a lone surrogate, which no vocabulary can hold
            return None
        self._looked_for += 1
        if self._looked_for > FEW:
            return self._rows.get(wanted)
        offset = -1 if b"\0" in wanted else self.block.rfind(b"\0" + wanted + b"\0")
        return None if offset < 0 else int(np.searchsorted(self._ends, offset))


def _bounded(text: str) -> bytes:
    """Return a text in UTF-8, without characters that a table cannot hold; an absurdly long one is cut and hashed."""
    whole = text.encode("utf-8", errors="replace").replace(b"\0", "␀".encode())
    if len(whole) <= LONGEST:
        return whole
    mark = f"…{hashlib.sha256(whole).hexdigest()[:16]}".encode()
    return whole[: LONGEST - len(mark)].decode("utf-8", "ignore").encode() + mark


@dataclass(frozen=True, eq=False)
class Pieces:
    """The tokens of a model that V words consist of, one word after the other.

    Attributes:
        offsets: (V + 1,) int64, ascending: word i is `ids[offsets[i]:offsets[i + 1]]`, never empty.
        ids: (N,) int32 token ids.
    """

    offsets: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(V,) int64, how many tokens each word consists of."""
        return np.diff(self.offsets)

    def slice(self, start: int, stop: int) -> "Pieces":
        """Return the tokens of the words from `start` to `stop`."""
        offsets = self.offsets[start : stop + 1]
        return Pieces(offsets - offsets[0], self.ids[offsets[0] : offsets[-1]])

    def keep(self, chosen: npt.NDArray[np.bool_]) -> "Pieces":
        """Return the tokens of the chosen words, (V,) bool."""
        counts = self.counts
        offsets = np.concatenate(([0], np.cumsum(counts[chosen])))
        return Pieces(offsets, self.ids[np.repeat(chosen, counts)])


@dataclass(frozen=True)
class Tokens:
    """V tokens in the order of their ids; or V words of a list, whose ids are their rows.

    Attributes:
        ids: (V,) int64, ascending.
        texts: (V,) tokens as the vocabulary spells them.
        surfaces: (V,) tokens as a person reads them.
        kinds: (V,) uint8, values of `Kind`.
        marking: how this vocabulary marks words.
        unk_id: id of the unknown token, -1 if there is none.
        pieces: what the words of a list consist of; None for a vocabulary, and for words that were imported.
        imported: whether they are words from a file of vectors, which no tokenizer spells.
    """

    ids: npt.NDArray[np.int64]
    texts: Strings
    surfaces: Strings
    kinds: npt.NDArray[np.uint8]
    marking: Marking
    unk_id: int = -1
    pieces: Pieces | None = None
    imported: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def listed(self) -> bool:
        """Whether these are the words of a list, and not the tokens of a vocabulary."""
        return self.imported or self.pieces is not None

    @property
    def noun(self) -> str:
        """What a row is, for a person: `token` or, in a list of words, `word`."""
        return "word" if self.listed else "token"

    def row_of_id(self, token_id: int) -> int | None:
        """Return the row of a token id, or None."""
        row = int(np.searchsorted(self.ids, token_id))
        return row if row < len(self.ids) and self.ids[row] == token_id else None

    def count(self) -> dict[str, int]:
        """Return how many tokens there are of each kind, by the kind's name."""
        counts = np.bincount(self.kinds, minlength=len(KINDS))
        return {name: int(count) for name, count in zip(KINDS, counts, strict=True)}

    def keep(self, kinds: Iterable[str]) -> "Tokens":
        """Return the table with the tokens of these kinds only."""
        chosen = np.isin(self.kinds, [KINDS.index(kind) for kind in kinds])
        return replace(
            self,
            ids=self.ids[chosen],
            texts=self.texts.keep(chosen),
            surfaces=self.surfaces.keep(chosen),
            kinds=self.kinds[chosen],
            pieces=None if self.pieces is None else self.pieces.keep(chosen),
        )

    def take(self, rows: npt.NDArray[np.int64]) -> "Tokens":
        """Return the tokens of some rows of a vocabulary, in the order of the rows."""
        texts, surfaces = (strings.take(rows.tolist()) for strings in (self.texts, self.surfaces))
        return replace(self, ids=self.ids[rows], texts=texts, surfaces=surfaces, kinds=self.kinds[rows], pieces=None)


def describe_words(words: Strings, pieces: Pieces | None) -> Tokens:
    """Make the table of V words of a list, in their order: each is a word as it stands, and its id is its row.

    Args:
        words: the words.
        pieces: what they consist of; None for those of a file of vectors, which no tokenizer spells.
    """
    return Tokens(
        ids=np.arange(len(words)),
        texts=words,
        surfaces=words,
        kinds=np.full(len(words), Kind.WORD, dtype=np.uint8),
        marking=Marking.NONE,
        pieces=pieces,
        imported=pieces is None,
    )


def describe(
    ids: Sequence[int],
    texts: Sequence[str],
    special: frozenset[int],
    marking: Marking,
    unk_id: int = -1,
    added: frozenset[int] = frozenset(),
) -> Tokens:
    """Make the table from a vocabulary's ids (ascending) and texts; surface and kind follow from the marking.

    Tokens that were `added` beside the vocabulary carry no mark: they are texts as they stand, and words. In a
    byte-level vocabulary, café would else be read as bytes.

    A NUL character, which ends a string in the file, is written as U+2400 (␀); a text of more than 4,096 bytes is cut.
    """
    texts = [_bounded(text).decode() for text in texts]
    marks = [Marking.NONE if token_id in added else marking for token_id in ids]
    surfaces = list(map(surface_of, texts, marks))
    kinds = [
        Kind.SPECIAL if token_id in special else _kind(text, surface, mark)
        for token_id, text, surface, mark in zip(ids, texts, surfaces, marks, strict=True)
    ]
    return Tokens(
        ids=np.asarray(ids, dtype=np.int64),
        texts=Strings(texts),
        surfaces=Strings(surfaces),
        kinds=np.asarray(kinds, dtype=np.uint8),
        marking=marking,
        unk_id=unk_id,
    )


def surface_of(text: str, marking: Marking) -> str:
    r"""Return a token as a person reads it.

    Only byte-level vocabularies need it: their bytes are decoded, the word-initial Ġ becomes ▁, and bytes that
    do not form a complete character become escapes (`\xe7`). Others already spell tokens readably.
    """
    if marking is not Marking.BYTELEVEL:
        return text
    octets = bytes_of(text)
    if octets is None:
        return text  # an added token such as <s> or <mask>: not spelled in bytes
    surface = octets.decode("utf-8", errors="backslashreplace")
    surface = f"▁{surface[1:]}" if surface.startswith(" ") else surface
    return surface.replace("\0", "␀")


def bytes_of(text: str) -> bytes | None:
    """Return the bytes that a token of a byte-level vocabulary stands for; None if it is not spelled in bytes."""
    alphabet = _bytes_of_chars()
    return None if any(char not in alphabet for char in text) else bytes(alphabet[char] for char in text)


def spelled(word: str, marking: Marking) -> str:
    """Return a word as the vocabulary spells it inside a text: its bytes as characters, or the word itself."""
    if marking is not Marking.BYTELEVEL:
        return word
    chars = _chars_of_bytes()
    return "".join(chars[byte] for byte in word.encode("utf-8", errors="replace"))


def word_initial(word: str, marking: Marking) -> str | None:
    """Return the spelling of a word that begins or ends one (`▁king`, `Ġking`, `king</w>`), or None without a mark."""
    if marking is Marking.METASPACE:
        return f"▁{word}"
    if marking is Marking.BYTELEVEL:
        return f"Ġ{spelled(word, marking)}"
    if marking is Marking.SUFFIX:
        return f"{word}</w>"
    return None


# What precedes and what follows a token's word in its text.
_MARKS = {
    Marking.WORDPIECE: ("##", ""),
    Marking.METASPACE: ("▁", ""),
    Marking.BYTELEVEL: ("Ġ", ""),
    Marking.SUFFIX: ("", "</w>"),
    Marking.NONE: ("", ""),
}


def unmarked(text: str, marking: Marking) -> str:
    """Return a token's text without its mark: king for ▁king."""
    before, after = _MARKS[marking]
    return text.removeprefix(before).removesuffix(after)


def other_forms(text: str, marking: Marking) -> list[str]:
    """Return the spellings of a token's word with and without its mark, without the text: ▁king for king."""
    before, after = _MARKS[marking]
    bare = unmarked(text, marking)
    return [form for form in (bare, f"{before}{bare}{after}") if form != text] if bare else []


def _kind(text: str, surface: str, marking: Marking) -> Kind:
    if _UNUSED.fullmatch(text):
        return Kind.UNUSED
    if _BYTE.fullmatch(text) or (marking is Marking.BYTELEVEL and "\\x" in surface and "\\" not in text):
        return Kind.BYTE
    body, begins = _body(text, surface, marking)
    if not body.strip():
        return Kind.EMPTY
    return Kind.WORD if begins else Kind.SUBWORD


def _body(text: str, surface: str, marking: Marking) -> tuple[str, bool]:
    """Return a token without its mark, and whether it is a word or begins one."""
    if marking is Marking.WORDPIECE:
        continues = text.startswith("##") and len(text) > len("##")
        return text, not continues
    if marking is Marking.SUFFIX:
        return surface.removesuffix("</w>"), text.endswith("</w>")
    body = surface.replace("▁", "")
    unmarked = marking is Marking.NONE or (body != "" and is_unspaced(body[0]))
    return body, unmarked or surface.startswith("▁")


def is_unspaced(char: str) -> bool:
    """Return whether a character is of a script that is written without spaces between words."""
    return unicodedata.name(char, "").startswith(_UNSPACED)


@cache
def _chars_of_bytes() -> dict[int, str]:
    """Return GPT-2's alphabet: printable Latin-1 bytes as themselves, the others from U+0100 on in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}


@cache
def _bytes_of_chars() -> dict[str, int]:
    return {char: byte for byte, char in _chars_of_bytes().items()}
