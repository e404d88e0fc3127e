"""Items in tokenised sentences: where the tokens of a vocabulary, or the words of a list, stand."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotovec.cluster.contexts.boundaries import Boundaries, find_boundaries
from kotovec.cluster.contexts.spellings import Spellings
from kotovec.cluster.contexts.trie import Trie, grow
from kotovec.store.tokens import NEVER, Kind, Tokens
from kotovec.workers.tokenizer import Vocabulary


@dataclass(frozen=True, eq=False)
class Occurrences:
    """m occurrences of items in sentences.

    Attributes:
        rows: (m,) int32, the item.
        sentences: (m,) int32, the number of the sentence.
        positions: (m,) int32, of its first token in the sentence, special tokens not counted.
        lengths: (m,) int32, number of its tokens.
        inside: (m,) bool, whether it is a token of kind `word` that stands inside another word here.
    """

    rows: npt.NDArray[np.int32]
    sentences: npt.NDArray[np.int32]
    positions: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    inside: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, chosen: npt.NDArray[np.bool_]) -> "Occurrences":
        """Return the chosen ones of m, (m,) bool."""
        return Occurrences(
            self.rows[chosen],
            self.sentences[chosen],
            self.positions[chosen],
            self.lengths[chosen],
            self.inside[chosen],
        )


@dataclass(frozen=True, eq=False)
class Matcher:
    """Finds the items of a table in batches of sentences, given as ids without special tokens.

    A token of kind `word` counts where it is a whole word; elsewhere it is inside one. Tokens of kind `subword` and
    `byte` count wherever they stand. The words of a list are sequences of ids, and count between two boundaries alone.

    Attributes:
        items: V, number of rows of the table.
        boundaries: where words begin and end.
        rows: (I,) int32, the row of each id, or −1; of a list of words, all −1.
        bound: (I,) bool, the ids that count as whole only between boundaries.
        words: the sequences of a list of words, or None.
        word_rows: (S,) int32, the row of each sequence.
        word_blanks: (S,) int32, the id before a sequence with which it is another spelling of the same word, or −1.
    """

    items: int
    boundaries: Boundaries
    rows: npt.NDArray[np.int32]
    bound: npt.NDArray[np.bool_]
    words: Trie | None = None
    word_rows: npt.NDArray[np.int32] | None = None
    word_blanks: npt.NDArray[np.int32] | None = None

    def find(self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> Occurrences:
        """Return all occurrences in s sentences, by position; those of a list's words by length, then by position.

        Args:
            ids: (t,) ids of the sentences, one sentence behind the other.
            offsets: (s + 1,) int64, where each sentence begins.
        """
        edges = self.boundaries.edges(ids, offsets)
        sentence = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
        if self.words is None:
            rows = self.rows[ids]
            where = np.flatnonzero(rows >= 0)
            rows, lengths = rows[where], np.ones(len(where), dtype=np.int32)
            inside = self.bound[ids[where]] & ~(edges[where] & edges[where + 1])
        else:
            where, rows, lengths = self._find_words(ids, offsets, edges)
            inside = np.zeros(len(where), dtype=np.bool_)
        sentence = sentence[where]
        return Occurrences(rows, sentence, (where - offsets[sentence]).astype(np.int32), lengths, inside)

    def _find_words(
        self, ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], edges: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return where the words of the list stand between two edges: positions in `ids`, rows and lengths, (m,)."""
        assert self.words is not None and self.word_rows is not None and self.word_blanks is not None  # noqa: S101, PT018 — for the type checker
        first = np.zeros(len(ids) + 1, dtype=np.bool_)
        first[offsets] = True
        where, found, lengths = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int32)], [0]
        for length, positions, sequences in self.words.find(ids, first[:-1]):
            blanks = self.word_blanks[sequences]
            other = (blanks >= 0) & (positions > 0) & ~first[positions]
            other[other] = ids[positions[other] - 1] == blanks[other]
            whole = edges[positions] & edges[positions + length] & ~other
            where.append(positions[whole])
            found.append(sequences[whole])
            lengths.append(length)
        counts = np.repeat(np.asarray(lengths, dtype=np.int32), [len(each) for each in where])
        return np.concatenate(where), self.word_rows[np.concatenate(found)], counts


def make_matcher(vocabulary: Vocabulary, tokens: Tokens, spellings: Spellings | None = None) -> Matcher:
    """Make the matcher of a table.

    Args:
        vocabulary: all tokens of the tokenizer.
        tokens: the V items: tokens of the vocabulary, or the words of a list, which have pieces.
        spellings: how those words are spelled within sentences, beside their pieces.
    """
    boundaries = find_boundaries(vocabulary)
    size = len(boundaries.before)
    rows, bound = np.full(size, -1, dtype=np.int32), np.zeros(size, dtype=np.bool_)
    if tokens.pieces is not None:
        found = spellings or Spellings.of(tokens.pieces)
        words = grow(found.pieces.ids, found.pieces.offsets, size)
        return Matcher(len(tokens), boundaries, rows, bound, words, found.rows, found.blanks)
    counted = np.flatnonzero(~np.isin(tokens.kinds, NEVER))
    rows[tokens.ids[counted]] = counted
    bound[tokens.ids[tokens.kinds == Kind.WORD]] = True
    return Matcher(len(tokens), boundaries, rows, bound)
