"""Pooling: the vector of a word from those of its pieces, with the same bits whatever lies around the word."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

POOLINGS = ("mean", "first", "last")
Numbers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.floating[Any]]


def chosen(offsets: Numbers, pooling: str) -> slice | Numbers:
    """Return which pieces a pooling needs, as an index of all N pieces.

    Args:
        offsets: (V + 1,) int64, ascending: the pieces of word i are those from `offsets[i]` to `offsets[i + 1]`.
        pooling: `mean`, `first` or `last`.
    """
    if pooling == "mean":
        return slice(None)
    return offsets[:-1] if pooling == "first" else offsets[1:] - 1


def means(vectors: Vectors, offsets: Numbers) -> npt.NDArray[np.float64]:
    """Return the mean of each word's vectors, (V, D) float64: added in float64, from the first to the last.

    Args:
        vectors: (N, D) vectors of the pieces.
        offsets: as in `chosen`; no word is empty.
    """
    sums = np.add.reduceat(vectors.astype(np.float64), offsets[:-1], axis=0)
    sums /= np.diff(offsets)[:, np.newaxis]
    return sums


def mean_blocks(blocks: Iterable[npt.NDArray[np.float32]], offsets: Numbers) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the means of words in blocks, (n, D) float32, from the vectors of their pieces in blocks of any size.

    A word whose pieces end in the next block waits for it, so that its bits do not depend on where blocks end.

    Args:
        blocks: (m, D) vectors of all N pieces, in order; each block may take the place of the last.
        offsets: as in `chosen`; no word is empty.
    """
    first = read = 0  # the first word whose mean is missing, and the number of pieces that were read
    rest: Vectors | None = None  # of the pieces that were read, those of that word
    for block in blocks:
        held = block if rest is None else np.concatenate((rest, block))
        read += len(block)
        stop = int(np.searchsorted(offsets, read, side="right")) - 1  # words before it are complete
        ends = offsets[first : stop + 1] - offsets[first]
        if stop > first:
            yield means(held[: ends[-1]], ends).astype(np.float32)
        rest, first = held[ends[-1] :].copy(), stop
