"""Where words begin and end in a tokenised sentence, by the ids alone."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.store.tokens import Marking, bytes_of, is_unspaced
from kotovec.workers.tokenizer import Vocabulary


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Which tokens have the boundary of a word at their sides, whatever is beside them.

    Attributes:
        before, after: (I,) bool, by the token's id.
    """

    before: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]

    def edges(self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return where words begin and end: (t + 1,) bool, the gap before each of t tokens, and that behind the last.

        Args:
            ids: (t,) ids of sentences without special tokens, one sentence behind the other.
            offsets: (s + 1,), where each of s sentences begins in `ids`.
        """
        edges = np.empty(len(ids) + 1, dtype=np.bool_)
        edges[:-1] = self.before[ids]
        edges[1:-1] |= self.after[ids[:-1]]
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
    before, after = np.ones(size, dtype=np.bool_), np.ones(size, dtype=np.bool_)
    marking = Marking(vocabulary.marking)
    for token_id, text in zip(vocabulary.ids, vocabulary.texts, strict=True):
        if token_id not in vocabulary.special:
            before[token_id], after[token_id] = _sides(text, marking, added=token_id in vocabulary.added)
    return Boundaries(before, after)


def _sides(text: str, marking: Marking, *, added: bool) -> tuple[bool, bool]:
    if marking is Marking.WORDPIECE:
        begins = not (text.startswith("##") and len(text) > len("##"))
        return begins, False  # what comes next says so itself
    if marking is Marking.SUFFIX:
        return added, added or text.endswith("</w>")
    if marking is Marking.NONE or not text:
        return True, True
    if not added:
        text = _characters(text, marking)
    return _parts(text[0]), _parts(text[-1])


def _characters(text: str, marking: Marking) -> str:
    """Return what a token stands for, bytes that are no characters as lone surrogates."""
    if marking is Marking.BYTELEVEL:
        octets = bytes_of(text)
    else:
        is_byte = len(text) == len("<0x00>") and text.startswith("<0x") and text.endswith(">")
        octets = bytes([int(text[3:5], 16)]) if is_byte else None
    return text if octets is None else octets.decode("utf-8", errors="surrogateescape")


def _parts(char: str) -> bool:
    """Return whether a character parts words where it is beside one; half a character (a surrogate) does not."""
    category = unicodedata.category(char)
    return not (category[0] in "LMN" or category == "Cs") or is_unspaced(char)
