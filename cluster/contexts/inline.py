"""Scan in this process, one piece after the other, without Ray; the bytes are the same."""

from collections.abc import Sequence

from kotovec.cluster.contexts.executor import Limits, Take, Thresholds
from kotovec.cluster.contexts.scan import Found, Scanner, scan_piece
from kotovec.cluster.corpus import Corpus, Counts, Piece, sentences


class Inline:
    """An `Executor` in this process.

    Args:
        scanner: what the pieces are read with.
        corpus: how they are cut into sentences.
    """

    def __init__(self, scanner: Scanner, corpus: Corpus) -> None:
        self._scanner, self._corpus = scanner, corpus

    def run(self, pieces: Sequence[Piece], thresholds: Thresholds, take: Take) -> None:
        """Scan all pieces, in their order; see `Executor.run`."""
        for piece in pieces:
            take(piece, scan(piece, self._corpus, self._scanner, thresholds()))

    def close(self) -> None:
        """Do nothing: nothing was taken."""


def scan(piece: Piece, corpus: Corpus, scanner: Scanner, thresholds: Limits, data: bytes | None = None) -> Found:
    """Return what is found in a piece.

    Args:
        piece: the piece.
        corpus: how it is cut into sentences.
        scanner: what finds the items in them.
        thresholds: (2, V) uint64 of `Sketches.thresholds`.
        data: the bytes of the piece, where this machine does not see its file.

    Raises:
        CorpusError: the file is gone, has changed, or cannot be read.
    """
    counts = Counts()
    return scan_piece(sentences(piece, corpus, counts, data), scanner, thresholds, counts)
