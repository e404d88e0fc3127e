"""Words of a list as they are spelled within sentences: Ġking, and king behind a sign."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from kotovec.errors import ModelError
from kotovec.store.contexts import offsets_of
from kotovec.store.tokens import Marking, Pieces, Tokens
from kotovec.workers.splitter import Splitter
from kotovec.workers.tokenizer import Vocabulary

BLOCK = 4096  # words that are texts of Python at a time
BEFORE = ("(", "「", '"', ".", "-")  # what may stand before a word while it is split
GAPS = ("", " ")
Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Spellings:
    """S spellings of the V words of a list, each word's own first.

    Attributes:
        pieces: the ids of each spelling.
        rows: (S,) int32, the word.
        blanks: (S,) int32, an id that, put before this spelling, makes another one of the same word; or −1.
    """

    pieces: Pieces
    rows: npt.NDArray[np.int32]
    blanks: npt.NDArray[np.int32]

    @classmethod
    def of(cls, pieces: Pieces) -> "Spellings":
        """Return each word's own pieces as its only spelling."""
        return cls(pieces, np.arange(len(pieces), dtype=np.int32), np.full(len(pieces), -1, dtype=np.int32))


def spell_within(splitter: Splitter, vocabulary: Vocabulary, tokens: Tokens) -> Spellings:
    """Return how the words of a list are spelled: alone, behind a sign, and behind a blank.

    Raises:
        ModelError: as `Splitter.split`; or the table is not of a list of words.
    """
    if tokens.pieces is None:
        raise ModelError("a table of a vocabulary has no spellings")
    if vocabulary.marking not in (Marking.METASPACE, Marking.BYTELEVEL):
        return Spellings.of(tokens.pieces)
    found: list[tuple[int, Ids, int]] = []
    for start in range(0, len(tokens), BLOCK):
        stop = min(start + BLOCK, len(tokens))
        words = list(tokens.texts[start:stop])
        pieces = tokens.pieces.slice(start, stop)
        others = [_behind(splitter, words, gap, vocabulary.unk_id) for gap in GAPS]
        for row, spellings in enumerate(zip(_lists(pieces.ids, pieces.offsets), *others, strict=True), start):
            known = [each for each in dict.fromkeys(spellings) if each]
            found += [(row, each, _blank(each, known)) for each in known]
    ids = np.fromiter((number for _, each, _ in found for number in each), dtype=np.int32)
    lengths = np.asarray([len(each) for _, each, _ in found], dtype=np.int64)
    rows, blanks = (np.asarray([each[index] for each in found], dtype=np.int32) for index in (0, 2))
    return Spellings(Pieces(offsets_of(lengths), ids), rows, blanks)


def _behind(splitter: Splitter, words: Sequence[str], gap: str, unknown: int) -> list[Ids]:
    """Return the ids of each word behind something else; of a word that melts into whatever it follows, none."""
    found: list[Ids] = [()] * len(words)
    missing = list(range(len(words)))
    for before in BEFORE:
        head, *split = _lists(*splitter.split([before, *(before + gap + words[index] for index in missing)]))
        for index, ids in zip(missing, split, strict=True):
            if ids[: len(head)] == head and unknown not in ids[len(head) :]:
                found[index] = ids[len(head) :]
        missing = [index for index in missing if not found[index]]
        if not missing:
            break
    return found


def _blank(spelling: Ids, known: Sequence[Ids]) -> int:
    return next((each[0] for each in known if each[1:] == spelling), -1)


def _lists(ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]) -> Iterator[Ids]:
    numbers, ends = ids.tolist(), offsets.tolist()
    return (tuple(numbers[start:stop]) for start, stop in pairwise(ends))
