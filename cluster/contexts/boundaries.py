"""Where words begin and end in a tokenised sentence, by the ids alone."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.store.tokens import Marking, bytes_of, is_unspaced
from kotovec.workers.tokenizer import Vocabulary

_CONTINUES = 0x80  # the first of the 64 bytes that continue a character in UTF-8
# First bytes of characters that mostly part words, in UTF-8: signs of Latin-1 (C2), punctuation and symbols (E2),
# kana and kanji (E3 to E9), full-width forms (EF), emoji (F0). Byte-level vocabularies split many of them: ’ is two
# tokens of GPT-2.
_PARTING = frozenset((0xC2, *range(0xE2, 0xEA), 0xEF, 0xF0))


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Which tokens have the boundary of a word at their sides, whatever is beside them.

    Attributes:
        before, after: (I,) bool, by the token's id.
        within: (I,) bool, the tokens that begin within a character.
        rest: (I,) bool, those that are nothing but the rest of one, which is judged by its first byte.
    """

    before: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]
    within: npt.NDArray[np.bool_]
    rest: npt.NDArray[np.bool_]

    def edges(self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return where words begin and end: (t + 1,) bool, the gap before each of t tokens, and that behind the last.

        Args:
            ids: (t,) ids of sentences without special tokens, one sentence behind the other.
            offsets: (s + 1,), where each of s sentences begins in `ids`.
        """
        after, rest = self.after[ids], self.rest[ids]
        if rest.any():
            after = after[np.maximum.accumulate(np.where(rest, 0, np.arange(len(ids))))]
        edges = np.empty(len(ids) + 1, dtype=np.bool_)
        edges[:-1] = self.before[ids]
        edges[1:-1] |= after[:-1] & ~self.within[ids[1:]]
        edges[offsets] = True
        return edges


def find_boundaries(vocabulary: Vocabulary) -> Boundaries:
    """Find the boundaries of a vocabulary's tokens.

    In WordPiece a word begins with every token but those with `##`; with `</w>` it ends there. In vocabularies that
    mark blanks (▁, Ġ), a word begins at a blank, and it begins and ends where a character is neither letter, mark nor
    number. In scripts without blanks, the tokens are the only boundaries that there are. Special tokens are no part
    of a word.
    """
    size = max(vocabulary.ids, default=-1) + 1
    found = Boundaries(*(np.full(size, value, dtype=np.bool_) for value in (True, True, False, False)))
    marking = Marking(vocabulary.marking)
    for token_id, text in zip(vocabulary.ids, vocabulary.texts, strict=True):
        if token_id not in vocabulary.special:
            sides = _sides(text, marking, added=token_id in vocabulary.added)
            found.before[token_id], found.after[token_id], found.within[token_id], found.rest[token_id] = sides
    return found


def _sides(text: str, marking: Marking, *, added: bool) -> tuple[bool, bool, bool, bool]:
    if marking is Marking.WORDPIECE:
        begins = not (text.startswith("##") and len(text) > len("##"))
        return begins, False, False, False  # where a word ends, the next token says so
    if marking is Marking.SUFFIX:
        return added, added or text.endswith("</w>"), False, False
    if marking is Marking.NONE or not text:
        return True, True, False, False
    octets = None if added else _octets(text, marking)
    if octets is None:
        return _parts(text[0]), _parts(text[-1]), False, False
    chars = octets.decode("utf-8", errors="surrogateescape")
    within = _goes_on(octets[0])
    return _starts(chars), _ends(octets, chars), within, within and all(map(_goes_on, octets))


def _octets(text: str, marking: Marking) -> bytes | None:
    """Return the bytes that a token is spelled in, or None if it is spelled in characters."""
    if marking is Marking.BYTELEVEL:
        return bytes_of(text)
    is_byte = len(text) == len("<0x00>") and text.startswith("<0x") and text.endswith(">")
    return bytes([int(text[3:5], 16)]) if is_byte else None


def _starts(chars: str) -> bool:
    return ord(chars[0]) & 0xFF in _PARTING if _is_byte(chars[0]) else _parts(chars[0])


def _ends(octets: bytes, chars: str) -> bool:
    if not _is_byte(chars[-1]):
        return _parts(chars[-1])
    first = next((octet for octet in reversed(octets) if not _goes_on(octet)), 0)
    return first in _PARTING


def _goes_on(octet: int) -> bool:
    """Return whether a byte is none of the first ones of a character."""
    return _CONTINUES <= octet < _CONTINUES + 0x40


def _is_byte(char: str) -> bool:
    """Return whether a character stands for a byte that is none, as `surrogateescape` has it."""
    return "\udc80" <= char <= "\udcff"


def _parts(char: str) -> bool:
    """Return whether a character parts words where it is beside one."""
    return unicodedata.category(char)[0] not in "LMN" or is_unspaced(char)
